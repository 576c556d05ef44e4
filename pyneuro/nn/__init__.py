"""Layers, containers and losses, with torch's names and defaults."""

from pyneuro.nn import functional, init, utils
from pyneuro.nn.activation import *
from pyneuro.nn.activation import __all__ as _activation
from pyneuro.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from pyneuro.nn.conv import Conv1d, Conv2d
from pyneuro.nn.dropout import Dropout, Dropout1d, Dropout2d
from pyneuro.nn.linear import Bilinear, Identity, Linear
from pyneuro.nn.loss import *
from pyneuro.nn.loss import __all__ as _loss
from pyneuro.nn.module import Module
from pyneuro.nn.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from pyneuro.nn.parameter import Parameter
from pyneuro.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from pyneuro.nn.shape import Flatten, Unflatten
from pyneuro.nn.sparse import Embedding

__all__ = [
    *_activation,
    *_loss,
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RMSNorm",
    "Sequential",
    "Unflatten",
    "functional",
    "init",
    "utils",
]
