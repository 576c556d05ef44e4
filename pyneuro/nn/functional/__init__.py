"""The computations of `pyneuro.nn` as functions; usually imported as `F`. Layers keep parameters and call these."""

from pyneuro.functions import one_hot
from pyneuro.nn.functional.activation import *
from pyneuro.nn.functional.activation import __all__ as _activation
from pyneuro.nn.functional.conv import conv1d, conv2d
from pyneuro.nn.functional.dropout import dropout, dropout1d, dropout2d
from pyneuro.nn.functional.linear import bilinear, linear
from pyneuro.nn.functional.loss import *
from pyneuro.nn.functional.loss import __all__ as _loss
from pyneuro.nn.functional.normalization import (
    batch_norm,
    group_norm,
    layer_norm,
    normalize,
    rms_norm,
)
from pyneuro.nn.functional.padding import pad
from pyneuro.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from pyneuro.nn.functional.sparse import embedding

__all__ = [
    *_activation,
    *_loss,
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "conv1d",
    "conv2d",
    "dropout",
    "dropout1d",
    "dropout2d",
    "embedding",
    "group_norm",
    "layer_norm",
    "linear",
    "max_pool1d",
    "max_pool2d",
    "normalize",
    "one_hot",
    "pad",
    "rms_norm",
]
