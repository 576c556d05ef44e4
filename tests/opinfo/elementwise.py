"""Elementwise ops: one line each.

`unary(name, ref, low, high)` and `binary(...)` make the samples: shapes from 0-d to zero-size, lengths around the SIMD
and chunk boundaries, broadcasting, Python scalars, and (on the CPU) NaN, infinities, signed zeros and denormals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from opinfo.core import ALL, COMPOSED, FLOATS, INTS, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, sample

SHAPES = ((3, 4), (), (1,), (0,), (2, 0, 3), (2, 3, 5), (17,), (257,), (3, 4097))
# (result shape is the broadcast of both)
SHAPE_PAIRS = (
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((), (3, 4)),
    ((2, 1, 5), (3, 1)),
    ((2, 0, 3), (3,)),
    ((1,), (0,)),
    ((), ()),
    ((257,), (257,)),
    ((3, 4097), (3, 4097)),
    ((5, 1, 129), (1, 7, 129)),
)
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-40, -1e-40, 3e-5, 88.0, -104.0, 1e4, -1e4)
CANCELS = (10, "the difference of two numbers that are nearly equal")
BITS = (*INTS, "bool")
UNEQUAL = ((0.25, 0.0), (0.25, 0.125))
MODULO = ((0.5, 0.25), (1.0, 0.0))  # the quotient is never an integer
MISMATCH = (floats(2, 3), floats(4, 3))


def unary(
    name: str,
    ref: Callable[..., Any],
    low: float = -3.0,
    high: float = 3.0,
    *,
    away: Sequence[float] = (),
    special: bool = True,
    kwargs: Sequence[dict[str, Any]] = ({},),
    **info: Any,
) -> OpInfo:
    """An op of one tensor; samples lie in [low, high], away from the points where it has a kink."""

    def samples(draw: Draw) -> Iterator[Sample]:
        for options in kwargs:
            for shape in SHAPES:
                yield sample(draw(*shape, low=low, high=high, away=away), **options)
            if special and draw.is_float:
                yield sample(draw.cast(SPECIAL), label=f"special values {options}", grad=False, gpu=False, **options)

    info.setdefault("result", "float")
    if info["result"] in ("float", "same") and "inplace" not in info:
        info["inplace"] = True
    return OpInfo(name, ref, samples, **info)


def binary(
    name: str,
    ref: Callable[..., Any],
    low: float = -3.0,
    high: float = 3.0,
    *,
    away: Sequence[float] = (),
    gap: float = 0.05,
    second: tuple[float, float] | None = None,
    grid: tuple[tuple[float, float], tuple[float, float]] | None = None,
    scalar: float | None = 2,
    special: bool = True,
    **info: Any,
) -> OpInfo:
    """An op of two broadcast tensors.

    `second` is the range of the second operand, `away` what it avoids by `gap`.  `grid` gives a step and an offset for
    each operand: floats on grids that never meet stay clear of kinks and jumps (where both are equal, for `maximum`).
    """
    low2, high2 = second or (low, high)

    def snap(draw: Draw, values: Array, which: int) -> Array:
        if grid is None or not draw.is_float:
            return values
        step, offset = grid[which]
        return draw.cast(np.round(values / step) * step + offset)

    def samples(draw: Draw) -> Iterator[Sample]:
        for left, right in SHAPE_PAIRS:
            x = snap(draw, draw(*left, low=low, high=high), 0)
            yield sample(x, snap(draw, draw(*right, low=low2, high=high2, away=away, gap=gap), 1))
        if scalar is not None and not draw.is_bool:
            x = snap(draw, draw(3, 4, low=low, high=high), 0)
            yield sample(x, int(scalar))
            if draw.is_float:
                yield sample(x, scalar + 0.5)
        if special and draw.is_float:
            values = draw.cast(SPECIAL)
            yield sample(values[:, None], values[None, :], label="special values", grad=False, gpu=False)

    info.setdefault("inplace", info.get("result", "same") == "same")
    info.setdefault("dtypes", NUMERIC)
    info["errors"] = (error(ValueError, rf"^{name}: .*got", *MISMATCH), *info.get("errors", ()))
    return OpInfo(name, ref, samples, **info)


def comparison(name: str, ref: Callable[..., Any]) -> OpInfo:
    return binary(name, ref, 0, 3, dtypes=ALL, result="bool", grad=0, inplace=False)


# --- references that NumPy does not have ---------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    scaled = x * beta
    return np.where(scaled > threshold, x, np.logaddexp(0, scaled) / beta)


def gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * erfc(-x / math.sqrt(2))


def elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(x))


def selu(x: Array) -> Array:
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return scale * elu(x, alpha)


def relu(x: Array) -> Array:
    return np.where(np.isnan(x), x, np.maximum(x, 0))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def divide(x: Array, y: Array, rounding_mode: str | None = None) -> Array:
    if rounding_mode == "floor":
        return np.floor_divide(x, y)
    return np.trunc(np.divide(x, y)) if rounding_mode == "trunc" else np.divide(x, y)


def power(x: Array, y: Array) -> Array:
    return np.power(x, y)


def clamp(x: Array, min: Any = None, max: Any = None) -> Array:
    x = x if min is None else np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


def xlogy(x: Array, y: Array) -> Array:
    return np.where(x == 0, 0.0, x * np.log(y))


def isclose(x: Array, y: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    return np.isclose(x, y, rtol, atol, equal_nan)


# --- samples of their own ------------------------------------------------------------------------------------------


def where_samples(draw: Draw) -> Iterator[Sample]:
    for condition, x, y in (
        ((3, 4),) * 3,
        ((4,), (3, 1), ()),
        ((2, 0, 3), (3,), (1,)),
        ((), (5,), (5,)),
        ((257,),) * 3,
    ):
        yield sample(draw.mask(*condition), draw(*x), draw(*y))
    yield sample(draw.mask(3, 4097), draw(3, 4097), draw(4097))
    if not draw.is_bool:
        yield sample(draw.mask(3, 4), draw(3, 4), 2)
        yield sample(draw.mask(3, 4), 1, draw(3, 4))
    if draw.is_float:  # what is not chosen must not leak: 0 * inf
        bad = draw.cast([math.nan, math.inf, 1.0, -math.inf])
        yield sample(np.array([False, False, True, False]), bad, draw(4), label="NaN and inf not chosen", grad=False)


def clamp_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (), (0,), (257,), (3, 4097)):
        x = draw(*shape, low=-6, high=6, away=(-2, 2))
        low = 1 if draw.carrier.kind == "u" else -2
        yield sample(x, low, 2)
        yield sample(x, min=low)
        yield sample(x, max=2)
    yield sample(draw(5, low=0, high=6), 3, 1, label="min above max gives max", grad=False)
    yield sample(draw(3, 4), draw(4, low=-3, high=-2), draw(3, 1, low=2, high=3), label="tensor bounds", grad=False)
    if draw.is_float:
        yield sample(draw.cast([math.nan, math.inf, -math.inf]), -1.0, 1.0, label="NaN stays", grad=False, gpu=False)


def lerp_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (), (0,), (257,), (3, 4097)):
        yield sample(draw(*shape), draw(*shape), 0.25)
        yield sample(draw(*shape), draw(*shape), draw(*shape, low=0, high=1))
    yield sample(draw(3, 1), draw(4), draw(2, 1, 1))


def ternary_samples(draw: Draw) -> Iterator[Sample]:
    for a, b, c in (((3, 4),) * 3, ((3, 4), (4,), (3, 1)), ((0,),) * 3, ((),) * 3, ((257,),) * 3):
        yield sample(draw(*a), draw(*b), draw(*c, away=(0,), gap=0.5))
        yield sample(draw(*a), draw(*b), draw(*c, away=(0,), gap=0.5), value=2)


def cast_samples(draw: Draw) -> Iterator[Sample]:
    for target in ALL:
        low, high = (0, 100) if target == "uint8" else (-100, 100)  # a float out of range has no defined integer
        gpu = target not in ("float64", "float16", "bfloat16")  # those do not exist there
        yield sample(draw(3, 4, low=low, high=high), target, grad=target == "float64", gpu=gpu)
        yield sample(
            draw(67, low=low, high=high), target, grad=target == "float32" and draw.dtype == "float32", gpu=gpu
        )
    yield sample(draw(2, 0, 3), "float32", grad=False)
    yield sample(draw(low=0), "int64", grad=False)


def cast_reference(x: Array, target: str) -> Array:
    return x.astype(np.bool_) if target == "bool" else np.trunc(x) if target in INTS else x


def cast(x: Any, target: str) -> Any:
    import pyneuro as pn

    return x.to(getattr(pn, target))


def isclose_samples(draw: Draw) -> Iterator[Sample]:
    x = draw(4, 5)
    near = draw.cast(x + draw.rng.choice([0.0, 1.0], x.shape))
    yield sample(x, near)
    yield sample(x, near, rtol=0.5, atol=0.0)
    if draw.is_float:
        special = draw.cast([math.nan, math.inf, -math.inf, 0.0])
        yield sample(special[:, None], special[None, :], gpu=False)
        yield sample(special[:, None], special[None, :], equal_nan=True, gpu=False)


def prelu_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4, away=(0,)), draw(1, low=0.1, high=1))
    yield sample(draw(2, 3, 4, away=(0,)), draw(3, low=0.1, high=1))


def channel(x: Array, w: Array) -> Array:
    return w.reshape(1, -1, *(1,) * (x.ndim - 2)) if w.size > 1 else w


def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    return np.where(np.isnan(x), nan, np.where(x == np.inf, posinf, np.where(x == -np.inf, neginf, x)))


def nan_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), nan=1, posinf=2, neginf=3)
    if draw.is_float:
        yield sample(
            draw.cast([math.nan, math.inf, -math.inf, 1]), nan=0.5, posinf=2.0, neginf=-2.0, grad=False, gpu=False
        )


def equal_samples(draw: Draw) -> Iterator[Sample]:
    x = draw(3, 4)
    yield sample(x, x.copy())
    yield sample(x, np.logical_not(x).astype(x.dtype))
    yield sample(x, x[:2])


def as_tensor(name: str) -> Callable[..., Any]:
    """A function that gives a Python bool, with a tensor around the result."""

    def fn(*args: Any, **kwargs: Any) -> Any:
        import pyneuro as pn

        result = getattr(pn, name)(*args, **kwargs)
        assert isinstance(result, bool)
        return pn.tensor(result)

    return fn


NO_BITS = (error(TypeError, r"^bitwise_\w+: ", floats(3), floats(3)),)

OPS: tuple[OpInfo, ...] = (
    # unary, any number
    unary("abs", np.abs, away=(0,), dtypes=NUMERIC, result="same"),
    unary("neg", np.negative, dtypes=NUMERIC, result="same"),
    unary("positive", np.positive, dtypes=NUMERIC, result="same", inplace=False),
    unary("square", np.square, dtypes=NUMERIC, result="same"),
    unary("sign", np.sign, away=(0,), dtypes=NUMERIC, result="same"),
    unary("ceil", np.ceil, away=range(-3, 4), dtypes=NUMERIC, result="same"),
    unary("floor", np.floor, away=range(-3, 4), dtypes=NUMERIC, result="same"),
    unary("trunc", np.trunc, away=range(-3, 4), dtypes=NUMERIC, result="same"),
    unary("round", np.round, away=np.arange(-3.5, 4), dtypes=NUMERIC, result="same"),
    unary("frac", lambda x: x - np.trunc(x), away=range(-3, 4), special=False),
    unary("relu", relu, away=(0,), dtypes=NUMERIC, result="same"),
    # unary, real functions: integers become float32
    unary("exp", np.exp, dtypes=ALL),
    unary("exp2", np.exp2),
    unary("expm1", np.expm1),
    unary("log", np.log, 0.1, 5, dtypes=ALL),
    unary("log2", np.log2, 0.1, 5),
    unary("log10", np.log10, 0.1, 5),
    unary("log1p", np.log1p, -0.9, 5),
    unary("sqrt", np.sqrt, 0.1, 5, dtypes=ALL),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), 0.1, 5),
    unary("reciprocal", np.reciprocal, 0.2, 5),
    unary("sin", np.sin, -10, 10, dtypes=ALL),
    unary("cos", np.cos, -10, 10),
    unary("tan", np.tan, -1.2, 1.2, special=False),
    unary("asin", np.arcsin, -0.9, 0.9),
    unary("acos", np.arccos, -0.9, 0.9),
    unary("atan", np.arctan),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh, dtypes=ALL),
    unary("asinh", np.arcsinh),
    unary("acosh", np.arccosh, 1.2, 5),
    unary("atanh", np.arctanh, -0.9, 0.9),
    unary("sigmoid", sigmoid, -6, 6, dtypes=ALL),
    unary("erf", erf),
    unary("erfc", erfc),
    unary("softplus", softplus, method=False, inplace=False, kwargs=({}, {"beta": 2.0, "threshold": 3.0})),
    unary("silu", silu, -6, 6, method=False, inplace=False, special=False),
    unary("gelu", gelu, method=False, inplace=False, special=False, kwargs=({}, {"approximate": "tanh"}), covers=("gelu_tanh",)),
    unary("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope), away=(0,),
          method=False, inplace=False, kwargs=({}, {"negative_slope": 0.2})),
    unary("elu", elu, away=(0,), method=False, inplace=False, kwargs=({}, {"alpha": 0.7})),
    unary("selu", selu, away=(0,), method=False, inplace=False),
    unary("logsigmoid", lambda x: -np.logaddexp(0, -x), -6, 6, method=False, inplace=False),
    unary("hardtanh", lambda x, min_val=-1.0, max_val=1.0: clamp(x, min_val, max_val), away=(-1, 1, -0.5),
          method=False, inplace=False, kwargs=({}, {"min_val": -0.5, "max_val": 1.0})),
    unary("relu6", lambda x: clamp(x, 0, 6), -2, 8, away=(0, 6), method=False, inplace=False),
    unary("hardswish", lambda x: x * clamp(x + 3, 0, 6) / 6, -5, 5, away=(-3, 3), method=False, inplace=False,
          special=False),
    unary("hardsigmoid", lambda x: clamp(x / 6 + 0.5, 0, 1), -5, 5, away=(-3, 3), method=False, inplace=False),
    unary("mish", lambda x: x * np.tanh(softplus(x)), method=False, inplace=False, special=False),
    unary("softsign", lambda x: x / (1 + np.abs(x)), method=False, inplace=False, special=False),
    unary("celu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)), away=(0,), method=False,
          inplace=False, kwargs=({}, {"alpha": 0.7})),
    unary("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0), away=(-0.5, 0.5, -1, 1), method=False,
          inplace=False, special=False, kwargs=({}, {"lambd": 1.0})),
    unary("softshrink", lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0), away=(-0.5, 0.5, -1, 1),
          method=False, inplace=False, special=False, kwargs=({}, {"lambd": 1.0})),
    unary("tanhshrink", lambda x: x - np.tanh(x), method=False, inplace=False, special=False, slack=CANCELS, dtypes=COMPOSED),
    unary("threshold", lambda x, threshold, value: np.where(x > threshold, x, value), away=(0.5,), method=False,
          inplace=False, special=False, kwargs=({"threshold": 0.5, "value": 2.0},)),
    # unary, to bool or between integers
    unary("isnan", np.isnan, dtypes=NUMERIC, result="bool", grad=0),
    unary("signbit", np.signbit, dtypes=NUMERIC, result="bool", grad=0),
    unary("isinf", np.isinf, dtypes=NUMERIC, result="bool", grad=0),
    unary("isfinite", np.isfinite, dtypes=NUMERIC, result="bool", grad=0),
    unary("logical_not", np.logical_not, -1, 1, dtypes=ALL, result="bool", grad=0),
    unary("bitwise_not", np.invert, dtypes=BITS, result="same", grad=0,
          errors=(error(TypeError, r"^bitwise_not: ", floats(3)),)),
    # binary
    binary("add", np.add, dtypes=ALL),
    binary("sub", np.subtract),
    binary("rsub", lambda x, y: y - x, method=False, inplace=False),
    binary("mul", np.multiply, dtypes=ALL),
    binary("div", divide, away=(0,), dtypes=ALL, result="float", inplace=False),
    binary("pow", power, 0.1, 3, second=(0, 3)),
    binary("floor_divide", np.floor_divide, -9, 9, away=(0,), gap=1, grid=MODULO, special=False),
    binary("remainder", np.remainder, -9, 9, away=(0,), gap=1, grid=MODULO, special=False),
    binary("fmod", np.fmod, -9, 9, away=(0,), gap=1, grid=MODULO, special=False),
    binary("maximum", np.maximum, grid=UNEQUAL, dtypes=ALL, scalar=None, inplace=False),
    binary("minimum", np.minimum, grid=UNEQUAL, dtypes=ALL, scalar=None, inplace=False),
    binary("atan2", np.arctan2, away=(0,), gap=0.5, scalar=None, dtypes=FLOATS),
    binary("copysign", np.copysign, away=(0,), gap=0.2, dtypes=FLOATS, inplace=False),
    binary("xlogy", xlogy, second=(0.2, 3), dtypes=FLOATS, inplace=False, special=False),
    binary("logaddexp", np.logaddexp, dtypes=FLOATS, scalar=None, inplace=False, special=False),
    comparison("eq", np.equal),
    comparison("ne", np.not_equal),
    comparison("lt", np.less),
    comparison("le", np.less_equal),
    comparison("gt", np.greater),
    comparison("ge", np.greater_equal),
    binary("logical_and", np.logical_and, -1, 1, dtypes=ALL, result="bool", grad=0, scalar=None),
    binary("logical_or", np.logical_or, -1, 1, dtypes=ALL, result="bool", grad=0, scalar=None),
    binary("logical_xor", np.logical_xor, -1, 1, dtypes=ALL, result="bool", grad=0, scalar=None),
    binary("bitwise_and", np.bitwise_and, dtypes=BITS, grad=0, errors=NO_BITS),
    binary("bitwise_or", np.bitwise_or, dtypes=BITS, grad=0, errors=NO_BITS),
    binary("bitwise_xor", np.bitwise_xor, dtypes=BITS, grad=0, errors=NO_BITS),
    binary("bitwise_left_shift", np.left_shift, 0, 3, dtypes=INTS, grad=0, special=False, errors=NO_BITS, inplace=False),
    binary("bitwise_right_shift", np.right_shift, 0, 3, dtypes=INTS, grad=0, special=False, errors=NO_BITS, inplace=False),
    # of three tensors, casts
    OpInfo("where", np.where, where_samples, dtypes=ALL, method=False, errors=(
        error(TypeError, r"^where: .*bool", floats(3), floats(3), floats(3)),
        error(ValueError, r"^where: ", np.zeros(3, np.bool_), floats(3), floats(4)),
    )),
    OpInfo("clamp", clamp, clamp_samples, dtypes=NUMERIC, inplace=True, errors=(
        error(ValueError, r"^clamp: .*min.*max", floats(3)),
    )),
    OpInfo("lerp", lambda x, end, weight: x + weight * (end - x), lerp_samples, inplace=True, errors=(
        error(ValueError, r"^lerp: ", floats(2, 3), floats(4, 3), 0.5),
    )),
    OpInfo("addcmul", lambda x, a, b, value=1: x + value * a * b, ternary_samples, dtypes=NUMERIC, inplace=True),
    OpInfo("addcdiv", lambda x, a, b, value=1: x + value * a / b, ternary_samples, inplace=True),
    OpInfo("prelu", lambda x, w: np.where(x > 0, x, x * channel(x, w)), prelu_samples, method=False, errors=(
        error(ValueError, r"^prelu: ", floats(2, 3), floats(2)),
    )),
    OpInfo("nan_to_num", nan_to_num, nan_samples, dtypes=NUMERIC),
    OpInfo("allclose", np.allclose, lambda d: (Sample(s.args, s.kwargs, grad=False) for s in isclose_samples(d)), fn=as_tensor("allclose"),
           dtypes=("float32", "float64", "int64"), result="bool", grad=0, gpu_dtypes=()),
    OpInfo("equal", lambda x, y: np.array_equal(x, y), equal_samples, fn=as_tensor("equal"), dtypes=ALL, result="bool", grad=0,
           gpu_dtypes=()),
    OpInfo("isclose", isclose, isclose_samples, dtypes=NUMERIC, result="bool", grad=0),
    OpInfo("cast", cast_reference, cast_samples, fn=cast, dtypes=ALL, result="given", method=False, docs=False),
)  # fmt: skip
