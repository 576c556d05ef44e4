"""pyneuro: a small, fast deep-learning runtime with PyTorch's API.

>>> x = pn.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

import importlib as _importlib
import math as _math
from typing import TYPE_CHECKING as _TYPE_CHECKING, Any as _Any

from pyneuro import autograd as autograd, cpu as cpu, functions as functions
from pyneuro._core import (
    Generator as Generator,
    Tensor as Tensor,
    __version__ as __version__,
    bfloat16 as bfloat16,
    bool as bool,
    default_generator as default_generator,
    device as device,
    dtype as dtype,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    from_dlpack as from_dlpack,
    from_numpy as from_numpy,
    get_default_dtype as get_default_dtype,
    get_num_threads as get_num_threads,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    promote_types as promote_types,
    result_type as result_type,
    set_default_dtype as set_default_dtype,
    set_num_threads as set_num_threads,
    uint8 as uint8,
)
from pyneuro._size import Size as Size
from pyneuro.autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from pyneuro.functions.comparison import *
from pyneuro.functions.creation import *
from pyneuro.functions.elementwise import *
from pyneuro.functions.index import *
from pyneuro.functions.linalg import *
from pyneuro.functions.movement import *
from pyneuro.functions.random import *
from pyneuro.functions.reduce import *
from pyneuro.functions.sort_scan import *
from pyneuro.serialization import load as load, save as save

if _TYPE_CHECKING:
    from pyneuro import data as data, gpu as gpu, nn as nn, optim as optim, utils as utils

# torch's other names of the dtypes
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

e, inf, nan, pi = _math.e, _math.inf, _math.nan, _math.pi
newaxis = None

_PARTS = ("data", "gpu", "nn", "optim", "utils")


def __getattr__(name: str) -> _Any:
    """Import a part of the package when it is first used: a program that needs tensors only starts faster."""
    if name in _PARTS:
        return _importlib.import_module(f"pyneuro.{name}")
    raise AttributeError(f"module 'pyneuro' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PARTS])
