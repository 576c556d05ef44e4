"""pyneuro: a small, fast deep-learning runtime with PyTorch's API.

>>> x = pn.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

import math as _math

from pyneuro._core import (
    Generator,
    Tensor,
    __version__,
    bfloat16,
    bool,
    default_generator,
    device,
    dtype,
    float16,
    float32,
    float64,
    from_numpy,
    get_default_dtype,
    get_num_threads,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    result_type,
    set_default_dtype,
    set_num_threads,
    uint8,
)
from pyneuro._size import Size
from pyneuro.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from pyneuro.functions import *
from pyneuro.serialization import load, save

from pyneuro import autograd, cpu, data, functions, gpu, nn, optim, utils  # isort: skip - they need the names above

# torch's other names of the dtypes
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

e, inf, nan, pi = _math.e, _math.inf, _math.nan, _math.pi
newaxis = None

__all__ = [
    "__version__",
    # classes and constants
    "Generator", "Size", "Tensor", "device", "dtype", "default_generator",
    "bfloat16", "bool", "double", "float", "float16", "float32", "float64", "half",
    "int", "int8", "int16", "int32", "int64", "long", "short", "uint8",
    "e", "inf", "nan", "newaxis", "pi",
    # functions that no family has
    "from_numpy", "get_default_dtype", "get_num_threads", "load", "promote_types", "result_type", "save",
    "set_default_dtype", "set_num_threads",
    "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled",
    # parts
    "autograd", "cpu", "data", "functions", "gpu", "nn", "optim", "utils",
]  # fmt: skip
__all__ += functions.__all__
