"""Reductions.

`reduction(name, ref)` samples: everything, one dim, negative dims, several dims, `keepdim`, 0-d, zero-size, and rows at
1, 255, 256, 257 and 4097 elements along the inner and the outer dim, which is where kernels change their way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from opinfo.core import ALL, FLOATS, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, sample

SUMS = (4, "thousands of terms that cancel: the error follows the terms, not the sum")
FACTORS = (6, "hundreds of factors, and a rounding after each")
LENGTHS = (1, 255, 256, 257, 4097)
DIM = lambda name: error(IndexError, rf"^{name}: .*dim.*got 2", floats(2, 3), dim=2)  # noqa: E731


def axis(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else dim


def numpy_reduction(f: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy reduction under torch's keyword names."""
    return lambda x, dim=None, keepdim=False: f(x, axis=axis(dim) if x.ndim else None, keepdims=keepdim)


def reduction(
    name: str,
    ref: Callable[..., Any],
    *,
    several: bool = True,
    empty: bool = True,
    full: bool = True,
    distinct: bool = False,
    low: float = -3.0,
    high: float = 3.0,
    nan: bool = True,
    **info: Any,
) -> OpInfo:
    """`several`: takes lists of dims; `empty`: defined for no elements; `full`: works without `dim`."""

    def samples(draw: Draw) -> Iterator[Sample]:
        def x(*shape: int) -> Array:
            return draw.distinct(*shape) if distinct else draw(*shape, low=low, high=high)

        if full:
            for shape in ((3, 4), (), (1,), (2, 3, 5), *((n,) for n in LENGTHS)):
                yield sample(x(*shape))
        for dim in (0, 1, 2, -1, -2):
            yield sample(x(2, 3, 5), dim=dim)
            yield sample(x(2, 3, 5), dim=dim, keepdim=True)
        for n in LENGTHS:
            yield sample(x(3, n), dim=1)
            yield sample(x(n, 3), dim=0)
        yield sample(x(), dim=0)
        yield sample(x(), dim=-1, keepdim=True)
        yield sample(x(2, 300, 3), dim=1)
        if several:
            yield sample(x(2, 3, 5), dim=[0, 2])
            yield sample(x(2, 3, 5), dim=[-1, 0], keepdim=True)
            yield sample(x(2, 3, 4, 5), dim=[1, 2])
            yield sample(x(2, 3), dim=[0, 1])
        yield sample(x(2, 0, 3), dim=0)  # the result is empty
        yield sample(x(2, 0, 3), dim=-1, keepdim=True)
        if empty:
            yield sample(x(2, 0, 3), dim=1, grad=False)
            if full:
                yield sample(x(0), grad=False)
        if nan and draw.is_float:
            values = draw(4, 6)
            values[1, 2], values[2, 3], values[3, :] = math.nan, math.inf, -math.inf
            yield sample(draw.cast(values), dim=1, label="NaN, inf and -inf rows", grad=False, gpu=False)
            if full:
                yield sample(draw.cast(values), label="NaN in a whole tensor", grad=False, gpu=False)

    errors = [DIM(name), error(IndexError, rf"^{name}: .*dim.*got -3", floats(2, 3), dim=-3)]
    if several:
        errors.append(error(ValueError, rf"^{name}: .*dim", floats(2, 3), dim=[0, 0]))
    if not empty:
        errors.append(error(IndexError, rf"^{name}: .*empty", floats(2, 0), dim=1))
    return OpInfo(name, ref, samples, errors=(*errors, *info.pop("errors", ())), **info)


# --- references ----------------------------------------------------------------------------------------------------


def amax(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    return np.max(x, axis=axis(dim), keepdims=keepdim)


def amin(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    return np.min(x, axis=axis(dim), keepdims=keepdim)


def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return arg(np.argmax, x, dim, keepdim)


def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return arg(np.argmin, x, dim, keepdim)


def arg(f: Callable[..., Any], x: Array, dim: int | None, keepdim: bool) -> Array:
    if x.ndim == 0:
        return np.zeros((), np.int64)
    return np.asarray(f(x, axis=dim, keepdims=keepdim))


def extreme(values: Callable[..., Any], indices: Callable[..., Any]) -> Callable[..., Any]:
    """`max` and `min`: a value without `dim`, values and indices with it."""

    def reference(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return values(x)
        return values(x, dim, keepdim), indices(x, dim, keepdim)

    return reference


def deviation(f: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Array, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Array:
        return np.asarray(f(x, axis=axis(dim), ddof=correction, keepdims=keepdim))

    return reference


def norm(x: Array, p: float = 2, dim: Any = None, keepdim: bool = False) -> Array:
    a, where = np.abs(x), axis(dim)
    if p == math.inf:
        return np.asarray(np.max(a, axis=where, keepdims=keepdim))
    if p == -math.inf:
        return np.asarray(np.min(a, axis=where, keepdims=keepdim))
    if p == 0:
        return np.asarray(np.sum(a != 0, axis=where, keepdims=keepdim).astype(np.float64))
    return np.asarray(np.sum(a**p, axis=where, keepdims=keepdim) ** (1 / p))


def logsumexp(x: Array, dim: Any, keepdim: bool = False) -> Array:
    if x.size == 0:
        return np.log(np.sum(np.exp(x), axis=axis(dim), keepdims=keepdim))
    top = np.max(x, axis=axis(dim), keepdims=True)
    shift = np.where(np.isfinite(top), top, 0)
    total = np.log(np.sum(np.exp(x - shift), axis=axis(dim), keepdims=True)) + shift
    return total if keepdim else np.squeeze(total, axis=axis(dim) if x.ndim else ())


# --- samples -------------------------------------------------------------------------------------------------------


def prod_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (), (1,), (5,), (0,), (257,)):
        yield sample(draw(*shape, low=0.8, high=1.25))
    for dim in (0, 1, 2, -1):
        yield sample(draw(2, 3, 5, low=-2, high=2, away=(0,)), dim=dim)
        yield sample(draw(2, 3, 5, low=-2, high=2, away=(0,)), dim=dim, keepdim=True)
    for n in (255, 256, 257):
        yield sample(draw(3, n, low=0.9, high=1.1), dim=1)
        yield sample(draw(n, 3, low=0.9, high=1.1), dim=0)
    yield sample(draw(2, 0, 3), dim=1)
    yield sample(draw(2, 0, 3), dim=0)
    zeros = draw(3, 4, low=0.5, high=2)
    zeros[1, 2] = 0
    zeros[2, :2] = 0
    yield sample(zeros, dim=1, label="one zero and two zeros in a row")
    yield sample(zeros, label="three zeros")


def variance_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (2, 3, 5), (257,), (4097,)):
        yield sample(draw(*shape))
        yield sample(draw(*shape), correction=0)
    for dim in (0, -1, [0, 1]):
        yield sample(draw(4, 5, 3), dim=dim)
        yield sample(draw(4, 5, 3), dim=dim, correction=2, keepdim=True)
    for n in (255, 256, 257, 4097):
        yield sample(draw(2, n), dim=1)
        yield sample(draw(n, 2), dim=0)
    yield sample(draw.cast(draw(3, 50, low=0, high=1) + 100), dim=1, label="mean far above the deviation", grad=False)
    yield sample(draw(0, 3), dim=1)
    yield sample(draw(3, 1), dim=1, correction=0, grad=False)  # std has no derivative at 0


def mean_with(f: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Array, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Any:
        return deviation(f)(x, dim, correction, keepdim), np.asarray(x.mean(axis=axis(dim), keepdims=keepdim))

    return reference


def count_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim in (((3, 4), None), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), [0, 2]), ((0,), None), ((4097,), 0)):
        yield sample(draw(*shape, low=-1, high=1), dim=dim)


def norm_samples(draw: Draw) -> Iterator[Sample]:
    for p in (2, 1, 3, math.inf, -math.inf, 0.5):
        x = draw.cast(draw.distinct(3, 4) * 0.4 + 0.11)  # no ties in size for the infinite norms
        yield sample(x, p)
        yield sample(x, p, dim=1)
        yield sample(x, p, dim=-2, keepdim=True)
    yield sample(draw(2, 3, 4), 2, dim=[0, 2])
    yield sample(draw(3, 4), 0, dim=1, grad=False)
    for n in (1, 255, 256, 257, 4097):
        yield sample(draw(2, n, low=0.1), dim=1)
    yield sample(draw())
    yield sample(draw(0))


def ties(draw: Draw) -> Iterator[Sample]:
    """`argmax` and `argmin` of equal values: the first index; NaN wins."""
    yield sample(draw.cast([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]]), dim=1, label="ties")
    yield sample(draw.cast([1, 0, 1, 0]), label="ties in a whole tensor")


def arg_reduction(name: str, ref: Callable[..., Any]) -> OpInfo:
    base = reduction(name, ref, several=False, empty=False, distinct=True, dtypes=NUMERIC, result="int64", grad=0)

    def samples(draw: Draw) -> Iterator[Sample]:
        yield from base.samples(draw)
        yield from ties(draw)

    return OpInfo(
        name,
        ref,
        samples,
        dtypes=NUMERIC,
        result="int64",
        grad=0,
        errors=(
            *base.errors,
            error(IndexError, rf"^{name}: .*empty", floats(0)),
        ),
    )


def amax_errors(name: str) -> Any:
    return (error(IndexError, rf"^{name}: .*empty", floats(0)),)


OPS: tuple[OpInfo, ...] = (
    reduction("sum", numpy_reduction(np.sum), dtypes=ALL, result="sum", slack=SUMS),
    reduction("mean", numpy_reduction(np.mean), errors=(error(TypeError, r"^mean: .*float", np.ones(3, np.int64)),)),
    OpInfo("prod", numpy_reduction(np.prod), prod_samples, dtypes=NUMERIC, result="sum", slack=FACTORS, errors=(DIM("prod"),)),
    reduction("amax", amax, empty=False, distinct=True, dtypes=ALL, errors=amax_errors("amax")),
    reduction("amin", amin, empty=False, distinct=True, dtypes=ALL, errors=amax_errors("amin")),
    reduction("max", extreme(amax, argmax), several=False, empty=False, distinct=True, dtypes=NUMERIC,
              result=("same", "int64"), covers=("max_dim",), errors=amax_errors("amax")),
    reduction("min", extreme(amin, argmin), several=False, empty=False, distinct=True, dtypes=NUMERIC,
              result=("same", "int64"), covers=("min_dim",), errors=amax_errors("amin")),
    arg_reduction("argmax", argmax),
    arg_reduction("argmin", argmin),
    reduction("any", numpy_reduction(np.any), low=-1, high=1, dtypes=ALL, result="bool", grad=0),
    reduction("all", numpy_reduction(np.all), low=-1, high=1, dtypes=ALL, result="bool", grad=0),
    OpInfo("var", deviation(np.var), variance_samples, errors=(
        DIM("var"), error(TypeError, r"^var: .*float", np.ones(3, np.int64)),
    )),
    OpInfo("std", deviation(np.std), variance_samples, errors=(
        DIM("std"), error(TypeError, r"^(std|var): .*float", np.ones(3, np.int64)),
    )),
    reduction("aminmax", lambda x, dim=None, keepdim=False: (amin(x, dim, keepdim), amax(x, dim, keepdim)), several=False,
              empty=False, distinct=True, dtypes=NUMERIC, result=("same", "same")),
    OpInfo("var_mean", mean_with(np.var), variance_samples, result=("same", "same"), method=False),
    OpInfo("std_mean", mean_with(np.std), variance_samples, result=("same", "same"), method=False),
    OpInfo("count_nonzero", lambda x, dim=None: np.asarray(np.count_nonzero(x, axis=axis(dim))), count_samples,
           dtypes=ALL, result="int64", grad=0),
    OpInfo("norm", norm, norm_samples, errors=(DIM("norm"),)),
    reduction("logsumexp", logsumexp, full=False, dtypes=FLOATS),
)  # fmt: skip
