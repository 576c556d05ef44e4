"""Sorting and running sums."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from opinfo.core import ALL, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, sample

FACTORS = (6, "hundreds of factors, and a rounding after each")
HOST = "it runs on the CPU only"


def argsort(x: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    if x.ndim == 0:
        return np.zeros((), np.int64)
    if descending:  # stable: equal values stay in their order, so sort the reversed array and turn the result round
        n = x.shape[dim]
        return np.flip(n - 1 - np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return np.argsort(x, axis=dim, kind="stable")


def sort(x: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> tuple[Array, Array]:
    order = argsort(x, dim, descending)
    return (np.take_along_axis(x, order, dim) if x.ndim else x), order


def topk(x: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Array, Array]:
    values, order = sort(x, dim, largest)
    if x.ndim == 0:
        return values, order
    return np.take(values, range(k), axis=dim), np.take(order, range(k), axis=dim)


def cumsum(x: Array, dim: int) -> Array:
    return np.cumsum(x, dim) if x.ndim else x


def sort_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (5,), (1,), (), (0,), (2, 0), (3, 257), (4097,), (2, 3, 5)):
        x = np.asarray(draw.distinct(*shape)) if draw.is_float else draw(*shape, low=-100, high=100)
        yield sample(x, stable=True)
        yield sample(x, stable=True, descending=True)
    yield sample(draw.distinct(4, 3), dim=0, stable=True)
    yield sample(draw.cast(draw.rng.integers(0, 3, (3, 50))), stable=True, label="ties keep their order", grad=False)
    yield sample(
        draw.cast(draw.rng.integers(0, 3, (3, 50))), stable=True, descending=True, label="ties, descending", grad=False
    )
    if draw.is_float:
        yield sample(draw.cast([1.0, math.nan, -math.inf, math.inf, 0.0]), stable=True, label="NaN last", grad=False)


def topk_samples(draw: Draw) -> Iterator[Sample]:
    for shape, k, dim in (((3, 4), 2, 1), ((3, 4), 3, 0), ((5,), 5, 0), ((5,), 0, 0), ((3, 4097), 7, -1), ((), 1, 0)):
        size = int(np.prod(shape))
        x = draw.cast((draw.rng.permutation(size) - size // 2).reshape(shape) * (0.5 if draw.is_float else 1))
        yield sample(x, k, dim=dim)
        yield sample(x, k, dim=dim, largest=False)


def cumsum_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim in (
        ((3, 4), 0),
        ((3, 4), 1),
        ((2, 3, 4), -2),
        ((5,), 0),
        ((), 0),
        ((0,), 0),
        ((2, 0, 3), 1),
        ((2, 0, 3), 0),
    ):
        yield sample(draw(*shape), dim)
    for n in (1, 255, 256, 257, 1025, 4097):
        yield sample(draw(2, n, low=-1, high=1), 1)
        yield sample(draw(n, 2, low=-1, high=1), 0)
    if draw.is_float:
        yield sample(draw.cast([[1, math.nan, 2], [1, math.inf, 2]]), 1, label="NaN and inf", grad=False, gpu=False)


def cumprod(x: Array, dim: int) -> Array:
    return np.cumprod(x, dim) if x.ndim else x


def cumprod_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim in (((3, 4), 0), ((3, 4), 1), ((2, 3, 4), -2), ((), 0), ((0,), 0), ((2, 0, 3), 1)):
        yield sample(draw(*shape, low=-2, high=2, away=(0,)), dim)
    for n in (255, 257):
        yield sample(draw(2, n, low=0.9, high=1.1), 1)
    zeros = draw(3, 5, low=0.5, high=2)
    zeros[1, 2], zeros[2, 1], zeros[2, 3] = 0, 0, 0
    yield sample(zeros, 1, label="one zero and two zeros in a row")


def bad(name: str, *args: Any, **kwargs: Any) -> Any:
    return error(IndexError, rf"^{name}: .*dim.*got", *args, **kwargs)


OPS: tuple[OpInfo, ...] = (
    OpInfo("sort", sort, sort_samples, dtypes=NUMERIC, result=("same", "int64"), gpu=HOST, errors=(
        bad("sort", floats(2, 3), dim=2),)),
    OpInfo("argsort", argsort, sort_samples, dtypes=NUMERIC, result="int64", grad=0, gpu=HOST, errors=(
        bad(r"(arg)?sort", floats(2, 3), dim=2),)),
    OpInfo("topk", topk, topk_samples, dtypes=("float32", "float64", "int64", "int32"), result=("same", "int64"), gpu=HOST,
           errors=(error(ValueError, r"^topk: .*k.*got 4", floats(2, 3), 4), error(ValueError, r"^topk: ", floats(2, 3), -1),
                   bad("topk", floats(2, 3), 1, dim=2))),
    OpInfo("cumprod", cumprod, cumprod_samples, dtypes=NUMERIC, result="sum", gpu=HOST, slack=FACTORS,
           errors=(bad("cumprod", floats(2, 3), 2),)),
    OpInfo("cumsum", cumsum, cumsum_samples, dtypes=ALL, result="sum", errors=(bad("cumsum", floats(2, 3), 2),)),
)  # fmt: skip
