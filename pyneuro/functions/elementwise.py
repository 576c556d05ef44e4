"""Elementwise arithmetic and mathematics.

Unless a function says otherwise: inputs broadcast together, dtypes promote as in torch (a Python number or
a 0-d tensor does not widen a tensor of its own kind), functions with real results turn integers and booleans
into float32, gradients of any order exist, and each is also the method `x.name(...)` and the in-place
`x.name_(...)`. A shape that does not broadcast is a ValueError.
"""

from __future__ import annotations

import math

from pyneuro._core import Tensor, ops, result_type
from pyneuro._typing import Number, TensorOrNumber
from pyneuro.functions._common import composed, elementwise, tensor_method

__all__ = [
    # signs and rounding
    "abs", "absolute", "neg", "negative", "positive", "sign", "signbit",
    "ceil", "floor", "round", "trunc", "fix", "frac",
    # powers, exponentials, logarithms
    "square", "sqrt", "rsqrt", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
    # trigonometry
    "sin", "cos", "tan", "asin", "arcsin", "acos", "arccos", "atan", "arctan", "atan2", "arctan2",
    "sinh", "cosh", "tanh", "asinh", "arcsinh", "acosh", "arccosh", "atanh", "arctanh",
    # activations and special functions
    "relu", "sigmoid", "erf", "erfc",
    # two operands
    "add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide", "floor_divide",
    "remainder", "fmod", "pow", "maximum", "minimum", "copysign", "xlogy", "logaddexp",
    # three operands
    "clamp", "clip", "lerp", "addcmul", "addcdiv",
]  # fmt: skip


# ---- signs and rounding ----------------------------------------------------------------------------------------------


@elementwise
def abs(input: Tensor) -> Tensor:
    """Absolute value. The gradient at 0 is 0.

    >>> pn.abs(pn.tensor([-1, 2, 0]))
    tensor([1, 2, 0])
    """
    return ops["abs"](input)


@elementwise
def neg(input: Tensor) -> Tensor:
    """Minus each element; a TypeError for bool.

    >>> pn.neg(pn.tensor([1, -2]))
    tensor([-1,  2])
    """
    return ops["neg"](input)


@tensor_method
def positive(input: Tensor) -> Tensor:
    """Return the tensor itself, as `+x` does.

    >>> pn.positive(pn.tensor([1, -2]))
    tensor([ 1, -2])
    """
    return input


@elementwise
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of each element; the gradient is 0.

    >>> pn.sign(pn.tensor([-3.0, 0.0, 0.5]))
    tensor([-1.,  0.,  1.])
    """
    return ops["sign"](input)


@tensor_method
def signbit(input: Tensor) -> Tensor:
    """Whether the sign bit is set; it is for -0.0.

    >>> pn.signbit(pn.tensor([-1.0, 0.0, -0.0]))
    tensor([ True, False,  True])
    """
    return ops["signbit"](input)


@elementwise
def ceil(input: Tensor) -> Tensor:
    """Round up to an integer; the gradient is 0.

    >>> pn.ceil(pn.tensor([1.2, -1.2]))
    tensor([ 2., -1.])
    """
    return ops["ceil"](input)


@elementwise
def floor(input: Tensor) -> Tensor:
    """Round down to an integer; the gradient is 0.

    >>> pn.floor(pn.tensor([1.2, -1.2]))
    tensor([ 1., -2.])
    """
    return ops["floor"](input)


@elementwise
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Round to the nearest, ties to even; the gradient is 0.

    Args:
        input: any shape, any dtype; integers are returned as they are.
        decimals: digits after the point to keep (before it, where negative).

    >>> pn.round(pn.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    if decimals == 0 or not input.is_floating_point():
        return ops["round"](input)
    scale = 10.0**decimals
    return ops["div"](ops["round"](ops["mul"](input, scale)), scale)


@elementwise
def trunc(input: Tensor) -> Tensor:
    """Round towards zero; the gradient is 0.

    >>> pn.trunc(pn.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """
    return ops["trunc"](input)


@elementwise
def frac(input: Tensor) -> Tensor:
    """The fractional part, `x - trunc(x)`.

    >>> pn.frac(pn.tensor([1.5, -2.25]))
    tensor([ 0.5000, -0.2500])
    """
    return ops["frac"](input)


# ---- powers, exponentials, logarithms --------------------------------------------------------------------------------


@elementwise
def square(input: Tensor) -> Tensor:
    """x².

    >>> pn.square(pn.tensor([-2.0, 3.0]))
    tensor([4., 9.])
    """
    return ops["square"](input)


@elementwise
def sqrt(input: Tensor) -> Tensor:
    """Square root; NaN below 0.

    >>> pn.sqrt(pn.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """
    return ops["sqrt"](input)


@elementwise
def rsqrt(input: Tensor) -> Tensor:
    """1/√x; infinite at 0, NaN below.

    >>> pn.rsqrt(pn.tensor([4.0, 0.25]))
    tensor([0.5000, 2.0000])
    """
    return ops["rsqrt"](input)


@elementwise
def reciprocal(input: Tensor) -> Tensor:
    """1/x.

    >>> pn.reciprocal(pn.tensor([4.0, 0.5]))
    tensor([0.2500, 2.0000])
    """
    return ops["reciprocal"](input)


@elementwise
def exp(input: Tensor) -> Tensor:
    """e to the power of each element.

    >>> pn.exp(pn.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return ops["exp"](input)


@elementwise
def exp2(input: Tensor) -> Tensor:
    """2 to the power of each element.

    >>> pn.exp2(pn.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return ops["exp2"](input)


@elementwise
def expm1(input: Tensor) -> Tensor:
    """exp(x) - 1, exact near 0.

    >>> pn.expm1(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.7183])
    """
    return ops["expm1"](input)


@elementwise
def log(input: Tensor) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below.

    >>> pn.log(pn.tensor([1.0, 2.0]))
    tensor([0.0000, 0.6931])
    """
    return ops["log"](input)


@elementwise
def log2(input: Tensor) -> Tensor:
    """Logarithm to base 2.

    >>> pn.log2(pn.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return ops["log2"](input)


@elementwise
def log10(input: Tensor) -> Tensor:
    """Logarithm to base 10.

    >>> pn.log10(pn.tensor([1.0, 100.0]))
    tensor([0., 2.])
    """
    return ops["log10"](input)


@elementwise
def log1p(input: Tensor) -> Tensor:
    """log(1 + x), exact near 0.

    >>> pn.log1p(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])
    """
    return ops["log1p"](input)


# ---- trigonometry ----------------------------------------------------------------------------------------------------


@elementwise
def sin(input: Tensor) -> Tensor:
    """Sine of an angle in radians.

    >>> pn.sin(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """
    return ops["sin"](input)


@elementwise
def cos(input: Tensor) -> Tensor:
    """Cosine of an angle in radians.

    >>> pn.cos(pn.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """
    return ops["cos"](input)


@elementwise
def tan(input: Tensor) -> Tensor:
    """Tangent of an angle in radians.

    >>> pn.tan(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5574])
    """
    return ops["tan"](input)


@elementwise
def asin(input: Tensor) -> Tensor:
    """The angle in [-π/2, π/2] whose sine is x; NaN outside [-1, 1].

    >>> pn.asin(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5708])
    """
    return ops["asin"](input)


@elementwise
def acos(input: Tensor) -> Tensor:
    """The angle in [0, π] whose cosine is x; NaN outside [-1, 1].

    >>> pn.acos(pn.tensor([0.0, 1.0]))
    tensor([1.5708, 0.0000])
    """
    return ops["acos"](input)


@elementwise
def atan(input: Tensor) -> Tensor:
    """The angle in (-π/2, π/2) whose tangent is x.

    >>> pn.atan(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7854])
    """
    return ops["atan"](input)


@elementwise
def atan2(input: Tensor, other: TensorOrNumber) -> Tensor:
    """The angle in [-π, π] of the point (other, input), by both signs.

    >>> pn.atan2(pn.tensor([1.0, -1.0]), pn.tensor([1.0, -1.0]))
    tensor([ 0.7854, -2.3562])
    """
    return ops["atan2"](input, other)


@elementwise
def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine.

    >>> pn.sinh(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.1752])
    """
    return ops["sinh"](input)


@elementwise
def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine.

    >>> pn.cosh(pn.tensor([0.0, 1.0]))
    tensor([1.0000, 1.5431])
    """
    return ops["cosh"](input)


@elementwise
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent.

    >>> pn.tanh(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return ops["tanh"](input)


@elementwise
def asinh(input: Tensor) -> Tensor:
    """Inverse hyperbolic sine.

    >>> pn.asinh(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8814])
    """
    return ops["asinh"](input)


@elementwise
def acosh(input: Tensor) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1.

    >>> pn.acosh(pn.tensor([1.0, 2.0]))
    tensor([0.0000, 1.3170])
    """
    return ops["acosh"](input)


@elementwise
def atanh(input: Tensor) -> Tensor:
    """Inverse hyperbolic tangent; NaN outside [-1, 1].

    >>> pn.atanh(pn.tensor([0.0, 0.5]))
    tensor([0.0000, 0.5493])
    """
    return ops["atanh"](input)


# ---- activations and special functions -------------------------------------------------------------------------------


@elementwise
def relu(input: Tensor) -> Tensor:
    """max(x, 0). The gradient at 0 is 0.

    >>> pn.relu(pn.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return ops["relu"](input)


@elementwise
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)).

    >>> pn.sigmoid(pn.tensor([0.0, 2.0]))
    tensor([0.5000, 0.8808])
    """
    return ops["sigmoid"](input)


@elementwise
def erf(input: Tensor) -> Tensor:
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt.

    >>> pn.erf(pn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    return ops["erf"](input)


@elementwise
def erfc(input: Tensor) -> Tensor:
    """1 - erf(x), exact for large x.

    >>> pn.erfc(pn.tensor([0.0, 1.0]))
    tensor([1.0000, 0.1573])
    """
    return ops["erfc"](input)


# ---- two operands ----------------------------------------------------------------------------------------------------


@elementwise
def add(input: Tensor, other: TensorOrNumber, *, alpha: Number = 1) -> Tensor:
    """input + alpha · other.

    >>> pn.add(pn.tensor([1, 2]), pn.tensor([10, 20]), alpha=2)
    tensor([21, 42])
    """
    return ops["add"](input, other if alpha == 1 else ops["mul"](other, alpha))


@elementwise
def sub(input: Tensor, other: TensorOrNumber, *, alpha: Number = 1) -> Tensor:
    """input - alpha · other; a TypeError for two bools.

    >>> pn.sub(pn.tensor([10, 20]), 1)
    tensor([ 9, 19])
    """
    return ops["sub"](input, other if alpha == 1 else ops["mul"](other, alpha))


@elementwise
@composed
def rsub(input: Tensor, other: TensorOrNumber, *, alpha: Number = 1) -> Tensor:
    """other - alpha · input.

    >>> pn.rsub(pn.tensor([1, 2]), 10)
    tensor([9, 8])
    """
    return ops["sub"](other, input if alpha == 1 else ops["mul"](input, alpha))


@elementwise
def mul(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input · other.

    >>> pn.mul(pn.tensor([[1], [2]]), pn.tensor([10, 20]))
    tensor([[10, 20],
            [20, 40]])
    """
    return ops["mul"](input, other)


@elementwise
def div(input: Tensor, other: TensorOrNumber, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, a float even for integers.

    Args:
        input: the dividend.
        other: the divisor. Division by zero gives inf or NaN for floats; rounded division of integers by zero
            is a ZeroDivisionError.
        rounding_mode: None, "floor" (Python's `//`) or "trunc" (C's `/`); rounded results keep integer dtypes.

    >>> pn.div(pn.tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    >>> pn.div(pn.tensor([7, -7]), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    if rounding_mode is None:
        return ops["div"](input, other)
    if rounding_mode == "floor":
        return ops["floor_divide"](input, other)
    if rounding_mode == "trunc":
        if result_type(input, other).is_floating_point:
            return ops["trunc"](ops["div"](input, other))
        # What fmod leaves has the dividend's sign; without it the division is exact, for every int64.
        return ops["floor_divide"](ops["sub"](input, ops["fmod"](input, other)), other)
    raise ValueError(f'div: rounding_mode must be None, "floor" or "trunc", got {rounding_mode!r}')


@elementwise
def floor_divide(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`//`: the quotient rounded down.

    >>> pn.floor_divide(pn.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    return ops["floor_divide"](input, other)


@elementwise
def remainder(input: Tensor, other: TensorOrNumber) -> Tensor:
    """`%`: what `//` leaves; it has the sign of `other`.

    >>> pn.remainder(pn.tensor([7, -7]), 3)
    tensor([1, 2])
    """
    return ops["remainder"](input, other)


@elementwise
def fmod(input: Tensor, other: TensorOrNumber) -> Tensor:
    """C's fmod: what truncating division leaves; it has the sign of `input`.

    >>> pn.fmod(pn.tensor([7, -7]), 3)
    tensor([ 1, -1])
    """
    return ops["fmod"](input, other)


@elementwise
def pow(input: TensorOrNumber, exponent: TensorOrNumber) -> Tensor:
    """input to the power of exponent; either may be a number.

    An integer to a negative integer power is a ValueError.

    >>> pn.pow(pn.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> pn.pow(2, pn.tensor([1.0, 3.0]))
    tensor([2., 8.])
    """
    return ops["pow"](input, exponent)


@elementwise
def maximum(input: Tensor, other: TensorOrNumber) -> Tensor:
    """The larger of each pair; NaN where either is. Equal operands share the gradient.

    >>> pn.maximum(pn.tensor([1.0, 5.0]), pn.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return ops["maximum"](input, other)


@elementwise
def minimum(input: Tensor, other: TensorOrNumber) -> Tensor:
    """The smaller of each pair; NaN where either is. Equal operands share the gradient.

    >>> pn.minimum(pn.tensor([1.0, 5.0]), pn.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return ops["minimum"](input, other)


@elementwise
def copysign(input: Tensor, other: TensorOrNumber) -> Tensor:
    """The magnitude of `input` with the sign of `other`.

    >>> pn.copysign(pn.tensor([1.0, -2.0]), pn.tensor([-1.0, 1.0]))
    tensor([-1.,  2.])
    """
    return ops["copysign"](input, other)


@elementwise
def xlogy(input: Tensor, other: TensorOrNumber) -> Tensor:
    """input · log(other), and 0 where `input` is 0.

    >>> pn.xlogy(pn.tensor([0.0, 2.0]), pn.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    return ops["xlogy"](input, other)


@tensor_method
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow.

    >>> pn.logaddexp(pn.tensor([1000.0]), pn.tensor([1000.0]))
    tensor([1000.6932])
    """
    return ops["logaddexp"](input, other)


# ---- three operands --------------------------------------------------------------------------------------------------


@elementwise
def clamp(input: Tensor, min: TensorOrNumber | None = None, max: TensorOrNumber | None = None) -> Tensor:
    """Limit each element to [min, max]; the gradient is 0 where a limit acts.

    Args:
        input: any shape.
        min: lower limit, or None; broadcasts.
        max: upper limit, or None; it wins where it lies below `min`. At least one limit is required.

    >>> pn.clamp(pn.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given, got neither")
    if input.is_floating_point() and not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return ops["clamp"](input, -math.inf if min is None else min, math.inf if max is None else max)
    if min is not None:
        input = ops["maximum"](input, min)
    return input if max is None else ops["minimum"](input, max)


@elementwise
def lerp(input: Tensor, end: Tensor, weight: TensorOrNumber) -> Tensor:
    """Linear interpolation, input + weight · (end - input).

    >>> pn.lerp(pn.tensor([0.0, 10.0]), pn.tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5000, 15.0000])
    """
    return ops["lerp"](input, end, weight)


@elementwise
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value · tensor1 · tensor2.

    >>> pn.addcmul(pn.tensor([1.0]), pn.tensor([2.0]), pn.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    if not result_type(input, tensor1, tensor2).is_floating_point:
        return add(input, ops["mul"](tensor1, tensor2), alpha=value)
    return ops["addcmul"](input, tensor1, tensor2, value)


@elementwise
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value · tensor1 / tensor2.

    >>> pn.addcdiv(pn.tensor([1.0]), pn.tensor([3.0]), pn.tensor([2.0]), value=2)
    tensor([4.])
    """
    return ops["addcdiv"](input, tensor1, tensor2, value)


# ---- other names of the same functions -------------------------------------------------------------------------------

absolute = abs
negative = neg
fix = trunc
arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh
subtract, multiply, divide, true_divide = sub, mul, div, div
clip = clamp
