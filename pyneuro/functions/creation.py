"""New tensors from numbers, shapes and ranges, and facts about dtypes.

`dtype` is by default float32 (see `set_default_dtype`), int64 for integers and bool for booleans; `device`
is "cpu", "gpu" or "gpu:1". A size that no machine can hold is a MemoryError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor, ops
from pyneuro._size import Size
from pyneuro._typing import Device, DType, Number
from pyneuro.functions._common import composed, shape_of, tracked

__all__ = [
    "tensor", "as_tensor", "asarray", "zeros", "ones", "empty", "full", "zeros_like", "ones_like",
    "empty_like", "full_like", "clone", "arange", "linspace", "logspace", "eye", "meshgrid",
    "broadcast_shapes", "finfo", "iinfo",
]  # fmt: skip


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new tensor with a copy of the data.

    Args:
        data: a number, nested sequences of numbers of equal lengths, a NumPy array, or a tensor.
        dtype: by default that of the data; Python floats become float32.
        device: where to put it, by default the CPU.
        requires_grad: record ops on it for `backward()`; needs a floating-point dtype.

    >>> pn.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    return tracked(_core.tensor(data, dtype, device), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Device = None) -> Tensor:
    """A tensor that shares the data's memory where it can: tensors and NumPy arrays.

    >>> import numpy as np
    >>> a = np.zeros(2, np.float32)
    >>> pn.as_tensor(a)[0] = 7
    >>> a
    array([7., 0.], dtype=float32)
    """
    return _core.as_tensor(data, dtype, device)


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Device = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`as_tensor`, or with `copy=True` always a copy.

    >>> pn.asarray([1, 2])
    tensor([1, 2])
    """
    make = _core.tensor if copy else _core.as_tensor
    return tracked(make(obj, dtype, device), requires_grad)


# ---- filled ----------------------------------------------------------------------------------------------------------


def full(
    size: Sequence[int] | int,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """All one value; the dtype follows the value where it is not given.

    >>> pn.full((2,), 7)
    tensor([7, 7])
    """
    shape = shape_of("full", (size,))
    return tracked(_core.full(shape, fill_value, dtype, device), requires_grad)


@composed
def zeros(*size: Any, dtype: DType | None = None, device: Device = None, requires_grad: bool = False) -> Tensor:
    """All 0; the size as numbers or as one sequence.

    >>> pn.zeros(2)
    tensor([0., 0.])
    """
    return tracked(_core.full(shape_of("zeros", size), 0.0, dtype, device), requires_grad)


@composed
def ones(*size: Any, dtype: DType | None = None, device: Device = None, requires_grad: bool = False) -> Tensor:
    """All 1; the size as numbers or as one sequence.

    >>> pn.ones((1, 2))
    tensor([[1., 1.]])
    """
    return tracked(_core.full(shape_of("ones", size), 1.0, dtype, device), requires_grad)


def empty(*size: Any, dtype: DType | None = None, device: Device = None, requires_grad: bool = False) -> Tensor:
    """Of the given size, with unspecified contents.

    >>> pn.empty(2, 3).shape
    (2, 3)
    """
    return tracked(_core.empty(shape_of("empty", size), dtype, device), requires_grad)


def full_like(
    input: Tensor,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """All one value, with the shape, dtype and device of another tensor.

    >>> pn.full_like(pn.zeros(2), 7)
    tensor([7., 7.])
    """
    made = _core.full(list(input.shape), fill_value, dtype or input.dtype, device or input.device)
    return tracked(made, requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 0, with the shape, dtype and device of another tensor.

    >>> pn.zeros_like(pn.tensor([1, 2]))
    tensor([0, 0])
    """
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 1, with the shape, dtype and device of another tensor.

    >>> pn.ones_like(pn.tensor([3, 4]))
    tensor([1, 1])
    """
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Unspecified contents, with the shape, dtype and device of another tensor.

    >>> pn.empty_like(pn.zeros(2, 3)).shape
    (2, 3)
    """
    made = _core.empty(list(input.shape), dtype or input.dtype, device or input.device)
    return tracked(made, requires_grad)


def clone(input: Tensor) -> Tensor:
    """A copy in memory of its own; gradients flow through it.

    >>> pn.clone(pn.tensor([1, 2]))
    tensor([1, 2])
    """
    return input.clone()


# ---- ranges and grids ------------------------------------------------------------------------------------------------


def arange(
    start: Number,
    end: Number | None = None,
    step: Number = 1,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to but without `end`; `arange(n)` counts from 0.

    Args:
        start: the first value, or with one argument the end.
        end: where to stop.
        step: not 0.
        dtype: by default int64 where all three are integers, else float32.
        device: where to put it.
        requires_grad: record ops on it.

    >>> pn.arange(3)
    tensor([0, 1, 2])
    >>> pn.arange(1.0, 2.0, 0.5)
    tensor([1.0000, 1.5000])
    """
    if end is None:
        start, end = 0, start
    return tracked(_core.arange(start, end, step, dtype, device), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced values from `start` to `end`, both included.

    >>> pn.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    return tracked(_core.linspace(start, end, steps, dtype, device), requires_grad)


@composed
def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` values from base**start to base**end, evenly spaced in the exponent.

    >>> pn.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    exponents = _core.linspace(start, end, steps, dtype, device)
    return tracked(ops["pow"](float(base), exponents), requires_grad)


@composed
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """1 on the diagonal of an (n, m) matrix, 0 elsewhere; m = n by default.

    >>> pn.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    rows, columns = shape_of("eye", (n, n if m is None else m))
    i = _core.reshape(_core.arange(0, rows, 1, None, device), [rows, 1])
    j = _core.arange(0, columns, 1, None, device)
    return tracked(ops["eq"](i, j).to(dtype or _core.get_default_dtype()), requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: tensor k of the result holds the k-th coordinate of each point.

    Args:
        tensors: vectors (or 0-d tensors), as arguments or as one sequence.
        indexing: "ij" for dims in the order of the vectors, "xy" to exchange the first two.

    >>> x, y = pn.meshgrid(pn.tensor([1, 2]), pn.tensor([3, 4, 5]))
    >>> x.shape, y[0].tolist()
    ((2, 3), [3, 4, 5])
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", got {indexing!r}')
    vectors = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    if any(len(v.shape) > 1 for v in vectors):
        raise ValueError(f"meshgrid: vectors are required, got shapes {[tuple(v.shape) for v in vectors]}")
    exchange = indexing == "xy" and len(vectors) >= 2
    if exchange:
        vectors[:2] = vectors[1::-1]
    shape = [v.numel() for v in vectors]
    spread = (_core.reshape(v, [n if i == k else 1 for i, n in enumerate(shape)]) for k, v in enumerate(vectors))
    grids = [_core.expand(v, shape) for v in spread]
    if exchange:
        grids[:2] = grids[1::-1]
    return tuple(grids)


# ---- shapes and dtypes -----------------------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Sequence[int] | int) -> Size:
    """The shape that all shapes broadcast to; a ValueError where there is none.

    >>> pn.broadcast_shapes((3, 1), (2,))
    (3, 2)
    """
    return _core.broadcast_shapes(*shapes)


class finfo:
    """What a floating-point dtype can hold.

    >>> pn.finfo(pn.float32).max
    3.4028234663852886e+38
    """

    __slots__ = ("dtype",)

    def __init__(self, dtype: DType) -> None:
        if not dtype.is_floating_point:
            raise TypeError(f"finfo: a floating-point dtype is required, got {dtype}")
        self.dtype = dtype

    @property
    def _format(self) -> tuple[int, int]:
        """(bits of the stored mantissa, largest exponent)."""
        formats = {
            "float16": (10, 15),
            "bfloat16": (7, 127),
            "float32": (23, 127),
            "float64": (52, 1023),
        }
        return formats[str(self.dtype).rpartition(".")[2]]

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return 8 * self.dtype.itemsize

    @property
    def eps(self) -> float:
        """The gap between 1 and the next number."""
        return math.ldexp(1.0, -self._format[0])

    @property
    def max(self) -> float:
        """The largest finite number."""
        mantissa, exponent = self._format
        return math.ldexp(2.0 - math.ldexp(1.0, -mantissa), exponent)

    @property
    def min(self) -> float:
        """The most negative finite number."""
        return -self.max

    @property
    def tiny(self) -> float:
        """The smallest normal positive number."""
        return math.ldexp(1.0, 1 - self._format[1])

    smallest_normal = tiny

    def __repr__(self) -> str:
        return f"finfo({self.dtype}: {self.min} to {self.max}, eps {self.eps})"


class iinfo:
    """What an integer dtype can hold.

    >>> pn.iinfo(pn.int8).min
    -128
    """

    __slots__ = ("dtype",)

    def __init__(self, dtype: DType) -> None:
        if dtype.is_floating_point or dtype == _core.bool:
            raise TypeError(f"iinfo: an integer dtype is required, got {dtype}")
        self.dtype = dtype

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return 8 * self.dtype.itemsize

    @property
    def max(self) -> int:
        """The largest value."""
        return int(2 ** (self.bits - self.dtype.is_signed)) - 1

    @property
    def min(self) -> int:
        """The smallest value."""
        return -int(2 ** (self.bits - 1)) if self.dtype.is_signed else 0

    def __repr__(self) -> str:
        return f"iinfo({self.dtype}: {self.min} to {self.max})"
