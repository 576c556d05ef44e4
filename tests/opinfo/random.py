"""Random ops: shape, range and moments of many numbers.  Bounds are five standard errors; seeds are fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from opinfo.core import Array, Draw, OpInfo, Sample, error, floats, sample

MANY = 200_000


def drawn(name: str, check: Callable[..., None], *calls: tuple[Any, ...], **info: Any) -> OpInfo:
    def samples(draw: Draw) -> Iterator[Sample]:
        for call in calls:
            yield sample(*call)

    info.setdefault("dtypes", ("float32",))
    return OpInfo(name, None, samples, grad=0, method=False, check=check, **info)


def moments(x: Array, mean: float, variance: float) -> None:
    """Mean and variance of many values, and no correlation between neighbours."""
    if x.size < 1000:
        return
    x = x.reshape(-1).astype(np.float64)
    error_of_mean = math.sqrt(variance / x.size)
    assert abs(x.mean() - mean) < 5 * error_of_mean, f"mean {x.mean():.5f}, expected {mean:.5f}"
    assert abs(x.var() / variance - 1) < 5 * math.sqrt(3 / x.size), f"variance {x.var():.5f}, expected {variance:.5f}"
    centred = (x - mean) / math.sqrt(variance)
    for lag in (1, 2, 3, 4, 8, 64):
        correlation = float((centred[lag:] * centred[:-lag]).mean())
        assert abs(correlation) < 5 / math.sqrt(x.size), f"correlation {correlation:.5f} at distance {lag}"


def is_uniform(x: Array, shape: tuple[int, ...]) -> None:
    assert x.shape == shape
    assert ((x >= 0) & (x < 1)).all(), "a value outside [0, 1)"
    moments(x, 0.5, 1 / 12)


def is_normal(x: Array, shape: tuple[int, ...]) -> None:
    assert x.shape == shape
    assert np.isfinite(x).all()
    moments(x, 0.0, 1.0)
    if x.size >= 1000:  # the tails and the middle have the right weight
        for bound, inside in ((0.5, 0.3829249), (1.0, 0.6826895), (2.0, 0.9544997), (3.0, 0.9973002)):
            share = float((np.abs(x) < bound).mean())
            assert abs(share - inside) < 5 * math.sqrt(inside * (1 - inside) / x.size), f"share within {bound}: {share}"


def is_integer_range(x: Array, low: int, high: int, shape: tuple[int, ...]) -> None:
    assert x.shape == shape
    assert x.dtype == np.int64
    assert ((x >= low) & (x < high)).all(), f"a value outside [{low}, {high})"
    if x.size >= 1000:
        counts = np.bincount((x - low).reshape(-1), minlength=high - low)
        expected = x.size / (high - low)
        assert np.all(np.abs(counts - expected) < 5 * math.sqrt(expected)), f"counts {counts}, expected {expected:.0f}"


def is_permutation(x: Array, n: int) -> None:
    assert x.dtype == np.int64
    assert np.array_equal(np.sort(x), np.arange(n))
    if n > 10:
        assert not np.array_equal(x, np.arange(n))


def is_bernoulli(x: Array, p: Array) -> None:
    assert x.shape == p.shape
    assert set(np.unique(x)) <= {0.0, 1.0}
    assert (x[p == 0] == 0).all()
    assert (x[p == 1] == 1).all()
    middle = x[p == 0.25]
    if middle.size >= 1000:
        moments(middle, 0.25, 0.1875)


def is_dropout(x: Array, source: Array, p: float, training: bool = True) -> None:
    assert x.shape == source.shape
    if not training or p == 0:
        assert np.array_equal(x, source)
        return
    kept = x != 0
    if p < 1:
        np.testing.assert_allclose(x[kept], source[kept] / (1 - p), rtol=1e-6)
        moments(kept.astype(np.float64), 1 - p, p * (1 - p))
    else:
        assert not kept.any()


def like(name: str, check: Callable[..., None]) -> OpInfo:
    return drawn(name, lambda x, other: check(x, other.shape), (floats(3, 4),), (floats(0),))


OPS: tuple[OpInfo, ...] = (
    drawn("rand", is_uniform, ((MANY,),), ((3, 5),), ((),), ((0,),), ((257, 300),),
          covers=("random",), errors=(error((ValueError, TypeError), r"^rand: ", (-1,)),)),
    drawn("randn", is_normal, ((MANY,),), ((3, 5),), ((),), ((0,),), ((257, 300),),
          errors=(error((ValueError, TypeError), r"^randn: ", (-1,)),)),
    drawn("randint", is_integer_range, (0, 10, (MANY,)), (-3, 4, (50_000,)), (5, 6, (4,)), (0, 3, (2, 0)), result="int64",
          errors=(error(ValueError, r"^randint: .*got", 3, 3, (2,)), error(ValueError, r"^randint: ", 5, 3, (2,)))),
    drawn("randperm", is_permutation, (1,), (0,), (10,), (1000,), result="int64",
          errors=(error(ValueError, r"^randperm: .*got -1", -1),)),
    drawn("bernoulli", is_bernoulli, (np.full(MANY, 0.25, np.float32),), (np.array([0.0, 1.0] * 500, np.float32),),
          errors=(error(ValueError, r"^bernoulli: .*\[0, 1\]", floats(3) + 2),)),
    drawn("dropout", is_dropout, (np.ones(MANY, np.float32), 0.3), (floats(3, 4) + 2, 0.0), (floats(3, 4) + 2, 1.0),
          (floats(3, 4) + 2, 0.5, False), (floats(0, 3), 0.5),
          errors=(error(ValueError, r"^dropout: .*got 1.5", floats(3), 1.5), error(ValueError, r"^dropout: .*got -0.1", floats(3), -0.1))),
    like("rand_like", is_uniform),
    like("randn_like", is_normal),
)  # fmt: skip
