"""Comparisons, logic, bits, and the choice between two tensors.

Comparisons and logic return bool and have no gradient. Inputs broadcast and promote as in `elementwise`;
each function is also a method.
"""

from __future__ import annotations

from typing import overload

from pyneuro import _core
from pyneuro._core import Tensor, ops
from pyneuro._typing import TensorOrNumber
from pyneuro.functions._common import composed, elementwise, tensor_method
from pyneuro.functions.creation import finfo
from pyneuro.functions.index import nonzero

__all__ = [
    "eq", "ne", "not_equal", "lt", "less", "le", "less_equal", "gt", "greater", "ge", "greater_equal",
    "isnan", "isinf", "isfinite", "isclose", "allclose", "equal", "nan_to_num",
    "logical_and", "logical_or", "logical_xor", "logical_not",
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift",
    "where",
]  # fmt: skip


@tensor_method
def eq(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input == other, elementwise.

    >>> pn.eq(pn.tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return ops["eq"](input, other)


@tensor_method
def ne(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input != other, elementwise; NaN differs from itself.

    >>> pn.ne(pn.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return ops["ne"](input, other)


@tensor_method
def lt(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input < other, elementwise.

    >>> pn.lt(pn.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return ops["lt"](input, other)


@tensor_method
def le(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input <= other, elementwise.

    >>> pn.le(pn.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return ops["le"](input, other)


@tensor_method
def gt(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input > other, elementwise.

    >>> pn.gt(pn.tensor([1, 2, 3]), 2)
    tensor([False, False,  True])
    """
    return ops["gt"](input, other)


@tensor_method
def ge(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input >= other, elementwise.

    >>> pn.ge(pn.tensor([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """
    return ops["ge"](input, other)


@tensor_method
def isnan(input: Tensor) -> Tensor:
    """Which elements are NaN.

    >>> pn.isnan(pn.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return ops["isnan"](input)


@tensor_method
def isinf(input: Tensor) -> Tensor:
    """Which elements are infinite, of either sign.

    >>> pn.isinf(pn.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return ops["isinf"](input)


@tensor_method
def isfinite(input: Tensor) -> Tensor:
    """Which elements are neither infinite nor NaN.

    >>> pn.isfinite(pn.tensor([1.0, float("nan")]))
    tensor([ True, False])
    """
    return ops["isfinite"](input)


@tensor_method
@composed
def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Which elements satisfy |input - other| <= atol + rtol · |other|.

    >>> pn.isclose(pn.tensor([1.0, 2.0]), pn.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if not input.is_floating_point() and not other.is_floating_point():
        input, other = input.long(), other.long()  # the difference of unsigned numbers would wrap
    close = ops["eq"](input, other)  # equal infinities, whose difference is NaN
    bound = ops["add"](ops["mul"](ops["abs"](other), rtol), atol)
    near = ops["le"](ops["abs"](ops["sub"](input, other)), bound)
    close = ops["logical_or"](close, ops["logical_and"](near, ops["isfinite"](other)))
    if equal_nan:
        both = ops["logical_and"](ops["isnan"](input), ops["isnan"](other))
        close = ops["logical_or"](close, both)
    return close


@tensor_method
def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether `isclose` holds for every element.

    >>> pn.allclose(pn.tensor([1.0]), pn.tensor([1.0 + 1e-7]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@tensor_method
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements.

    >>> pn.equal(pn.tensor([1, 2]), pn.tensor([1, 2]))
    True
    """
    return input.shape == other.shape and bool(ops["eq"](input, other).all().item())


@elementwise
@composed
def nan_to_num(input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Replace NaN and infinities by numbers (infinities by the dtype's largest, where not given).

    >>> pn.nan_to_num(pn.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    if not input.is_floating_point():
        return input.clone()
    limits = finfo(input.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    infinite = ops["isinf"](input)
    result = where(ops["logical_and"](infinite, ops["gt"](input, 0)), high, input)
    result = where(ops["logical_and"](infinite, ops["lt"](input, 0)), low, result)
    return where(ops["isnan"](input), nan, result)


@elementwise
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both are non-zero.

    >>> pn.logical_and(pn.tensor([True, True]), pn.tensor([True, False]))
    tensor([ True, False])
    """
    return ops["logical_and"](input, other)


@elementwise
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether either is non-zero.

    >>> pn.logical_or(pn.tensor([False, True]), pn.tensor([False, False]))
    tensor([False,  True])
    """
    return ops["logical_or"](input, other)


@elementwise
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one is non-zero.

    >>> pn.logical_xor(pn.tensor([True, True]), pn.tensor([True, False]))
    tensor([False,  True])
    """
    return ops["logical_xor"](input, other)


@elementwise
def logical_not(input: Tensor) -> Tensor:
    """Whether it is zero.

    >>> pn.logical_not(pn.tensor([0, 3]))
    tensor([ True, False])
    """
    return ops["logical_not"](input)


@elementwise
def bitwise_and(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`&` on the bits of integers, or on bools; a TypeError for floats.

    >>> pn.bitwise_and(pn.tensor([6, 3]), 2)
    tensor([2, 2])
    """
    return ops["bitwise_and"](input, other)


@elementwise
def bitwise_or(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`|` on the bits of integers, or on bools; a TypeError for floats.

    >>> pn.bitwise_or(pn.tensor([4, 3]), 2)
    tensor([6, 3])
    """
    return ops["bitwise_or"](input, other)


@elementwise
def bitwise_xor(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`^` on the bits of integers, or on bools; a TypeError for floats.

    >>> pn.bitwise_xor(pn.tensor([6, 3]), 2)
    tensor([4, 1])
    """
    return ops["bitwise_xor"](input, other)


@elementwise
def bitwise_not(input: Tensor) -> Tensor:
    """`~`: all bits of integers flipped, or bools; a TypeError for floats.

    >>> pn.bitwise_not(pn.tensor([0, 5]))
    tensor([-1, -6])
    """
    if input.is_floating_point():
        raise TypeError(f"bitwise_not: an integer or bool tensor is required, got {input.dtype}")
    return ops["logical_not"](input) if input.dtype == _core.bool else ops["bitwise_xor"](input, -1)


@elementwise
def bitwise_left_shift(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`<<` on integers.

    >>> pn.bitwise_left_shift(pn.tensor([1, 3]), 2)
    tensor([ 4, 12])
    """
    return ops["bitwise_left_shift"](input, other)


@elementwise
def bitwise_right_shift(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`>>` on integers; the sign stays.

    >>> pn.bitwise_right_shift(pn.tensor([8, -8]), 2)
    tensor([ 2, -2])
    """
    return ops["bitwise_right_shift"](input, other)


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Tensor, input: TensorOrNumber, other: TensorOrNumber) -> Tensor: ...
def where(
    condition: Tensor, input: TensorOrNumber | None = None, other: TensorOrNumber | None = None
) -> Tensor | tuple[Tensor, ...]:
    """Take `input` where the condition holds, else `other`; all three broadcast.

    With the condition alone: `nonzero(condition, as_tuple=True)`.

    Args:
        condition: a bool tensor.
        input: tensor or number; receives the gradient where the condition holds.
        other: tensor or number; receives the gradient elsewhere.

    >>> pn.where(pn.tensor([True, False]), pn.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where: both input and other are required, or neither")
    return ops["where"](condition, input, other)


not_equal = ne
less, less_equal = lt, le
greater, greater_equal = gt, ge
