"""Tensor methods that have no function form, as in torch."""

from __future__ import annotations

from typing import Any

from pyneuro import _core
from pyneuro._core import Generator, Tensor, ops
from pyneuro._typing import Number, TensorOrNumber
from pyneuro.functions._common import shape_of, tensor_method
from pyneuro.functions.movement import repeat_dims

__all__ = [
    "repeat", "reshape_as", "view_as", "type_as", "where",
    "uniform_", "normal_", "random_", "bernoulli_",
]  # fmt: skip


@tensor_method
def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Repeat the whole tensor, one count per dim; more counts than dims add dims in front.

    >>> pn.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    return repeat_dims("repeat", input, shape_of("repeat", repeats))


@tensor_method
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return _core.reshape(input, list(other.shape))


@tensor_method
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` with the shape of another tensor."""
    return input.view(*other.shape)


@tensor_method
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Convert to the dtype of another tensor."""
    return input.to(other.dtype)


@tensor_method
def where(input: Tensor, condition: Tensor, other: TensorOrNumber) -> Tensor:
    """This tensor where the condition holds, else `other`.

    >>> pn.tensor([1.0, 2.0]).where(pn.tensor([True, False]), 0.0)
    tensor([1., 0.])
    """
    return ops["where"](condition, input, other)


@tensor_method
def uniform_(input: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers uniform in [low, high).

    >>> pn.zeros(2).uniform_(3.0, 3.0)
    tensor([3., 3.])
    """
    if not low <= high:
        raise ValueError(f"uniform_: low must not exceed high, got {low} and {high}")
    draw = _core.rand(list(input.shape), input.dtype, input.device, generator)
    return input.copy_(ops["add"](ops["mul"](draw, high - low), low))


@tensor_method
def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers.

    >>> pn.zeros(2).normal_(5.0, 0.0)
    tensor([5., 5.])
    """
    if not std >= 0:
        raise ValueError(f"normal_: std must not be negative, got {std}")
    draw = _core.randn(list(input.shape), input.dtype, input.device, generator)
    return input.copy_(ops["add"](ops["mul"](draw, std), mean))


@tensor_method
def random_(input: Tensor, low: int, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Fill with integers uniform in [low, high), or in [0, low).

    >>> bool((pn.zeros(9).random_(4) < 4).all())
    True
    """
    if high is None:
        low, high = 0, low
    shape = list(input.shape)
    return input.copy_(_core.randint(low, high, shape, input.dtype, input.device, generator))


@tensor_method
def bernoulli_(input: Tensor, p: Number = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 with probability p, else 0.

    >>> pn.zeros(2).bernoulli_(1.0)
    tensor([1., 1.])
    """
    if not 0 <= p <= 1:
        raise ValueError(f"bernoulli_: p must be in [0, 1], got {p}")
    draw = _core.rand(list(input.shape), None, input.device, generator)
    return input.copy_(ops["lt"](draw, p))
