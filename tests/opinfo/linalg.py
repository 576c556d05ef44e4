"""Products of matrices and vectors.  Sizes sit around the tiles of the kernels (6, 8, 14, 16, 32) and their edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from opinfo.core import COMPOSED, FLOATS, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, longs, sample

SUMS = (6, "hundreds of products that cancel: the error follows the terms, not the sum")
PRODUCTS = (
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((1, 7), (7, 1)),
    ((17, 33), (33, 9)),
    ((64, 64), (64, 64)),
    ((65, 129), (129, 67)),
    ((4, 257), (257, 3)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
)  # fmt: skip
MATMUL = (
    *PRODUCTS,
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((0, 3, 4), (4, 5)),
    ((2, 3, 0), (0, 5)),
    ((7, 16, 24), (7, 24, 8)),
)


def scaled(draw: Draw, shape: tuple[int, ...]) -> Array:
    return draw(*shape, low=-1, high=1) if draw.is_float else draw(*shape, low=-100, high=100)


def products(name: str, ref: Callable[..., Any], pairs: Any, **info: Any) -> OpInfo:
    def samples(draw: Draw) -> Iterator[Sample]:
        for left, right in pairs:
            yield sample(scaled(draw, left), scaled(draw, right))

    info.setdefault("dtypes", (*FLOATS, "int64", "int32"))
    info.setdefault("gpu_dtypes", ("float32",))
    info.setdefault("slack", SUMS)
    mixed = error(
        (TypeError, ValueError), rf"^({name}|matmul): .*dtype", *(f(*s) for f, s in zip((floats, longs), pairs[0]))
    )
    return OpInfo(name, ref, samples, errors=(mixed, *info.pop("errors", ())), **info)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    return np.matmul(x, weight.T) + (0 if bias is None else bias)


def linear_samples(draw: Draw) -> Iterator[Sample]:
    for shape, n in (((3, 4), 5), ((4,), 5), ((2, 3, 4), 5), ((1, 8), 8), ((33, 65), 17), ((0, 4), 5), ((64, 512), 10)):
        yield sample(draw(*shape, low=-1, high=1), draw(n, shape[-1], low=-1, high=1))
        yield sample(draw(*shape, low=-1, high=1), draw(n, shape[-1], low=-1, high=1), draw(n))


def addmm_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 5), draw(3, 4), draw(4, 5))
    yield sample(draw(5), draw(3, 4), draw(4, 5), beta=0.5, alpha=2.0)
    yield sample(draw(3, 1), draw(3, 4), draw(4, 5))


def tensordot_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(2, 3, 4), draw(3, 4, 5), 2)
    yield sample(draw(2, 3, 4), draw(4, 5), 1)
    yield sample(draw(2, 3), draw(4), 0)
    yield sample(draw(2, 3, 4), draw(4, 2, 5), ([2, 0], [0, 1]))


def bilinear(x: Array, y: Array, weight: Array, bias: Array | None = None) -> Array:
    return np.einsum("...i,oij,...j->...o", x, weight, y) + (0 if bias is None else bias)


def bilinear_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(5, 3), draw(5, 4), draw(2, 3, 4), draw(2))
    yield sample(draw(2, 5, 3), draw(2, 5, 4), draw(2, 3, 4))


def addmm(x: Array, a: Array, b: Array, beta: float = 1, alpha: float = 1) -> Array:
    return beta * x + alpha * (a @ b)


OPS: tuple[OpInfo, ...] = (
    products("matmul", np.matmul, MATMUL, errors=(
        error(ValueError, r"^matmul: .*got", floats(2, 3), floats(4, 5)),
        error(ValueError, r"^matmul: ", floats(2, 3, 4), floats(3, 4, 5)),
        error(ValueError, r"^matmul: ", floats(), floats(3)),
        error(ValueError, r"^matmul: ", floats(3), floats(4)),
    )),
    products("mm", np.matmul, PRODUCTS, errors=(
        error(ValueError, r"^(mm|matmul): ", floats(2, 3), floats(4, 5)),
        error(ValueError, r"^mm: ", floats(2, 3, 4), floats(4, 5)),
    )),
    products("bmm", np.matmul, (((2, 3, 4), (2, 4, 5)), ((5, 17, 9), (5, 9, 33)), ((0, 3, 4), (0, 4, 5))), errors=(
        error(ValueError, r"^bmm: ", floats(2, 3, 4), floats(3, 4, 5)),
        error(ValueError, r"^bmm: ", floats(3, 4), floats(4, 5)),
    )),
    products("mv", np.matmul, (((3, 4), (4,)), ((257, 33), (33,)), ((0, 4), (4,))), errors=(
        error(ValueError, r"^(mv|matmul): ", floats(3, 4), floats(3)),
        error(ValueError, r"^mv: ", floats(4), floats(4)),
    )),
    products("dot", np.dot, (((4,), (4,)), ((1,), (1,)), ((257,), (257,)), ((4097,), (4097,)), ((0,), (0,))), errors=(
        error(ValueError, r"^(dot|matmul): ", floats(3), floats(4)),
        error(ValueError, r"^dot: ", floats(3, 3), floats(3, 3)),
    )),
    OpInfo("outer", np.outer, lambda d: iter([sample(d(3), d(4)), sample(d(0), d(4)), sample(d(257), d(33))]),
           dtypes=NUMERIC, errors=(error(ValueError, r"^outer: ", floats(2, 2), floats(2)),)),
    products("inner", np.inner, (((4,), (4,)), ((2, 4), (3, 4)), ((2, 3, 4), (4,))), errors=(
        error(ValueError, r"^(inner|tensordot): ", floats(3), floats(4)),)),
    OpInfo("trace", np.trace, lambda d: iter([sample(d(4, 4)), sample(d(3, 5)), sample(d(0, 0))]), dtypes=NUMERIC, result="sum",
           errors=(error(ValueError, r"^trace: ", floats(3)),)),
    OpInfo("tensordot", lambda a, b, dims: np.tensordot(a, b, dims), tensordot_samples, method=False, errors=(
        error(ValueError, r"^\w+: ", floats(3, 4), floats(3, 4), 1),)),
    OpInfo("addmv", addmm, lambda d: iter([sample(d(3), d(3, 4), d(4)), sample(d(3), d(3, 4), d(4), beta=0.5, alpha=2.0)]), dtypes=FLOATS),
    OpInfo("baddbmm", addmm, lambda d: iter([sample(d(2, 3, 5), d(2, 3, 4), d(2, 4, 5)), sample(d(5), d(2, 3, 4), d(2, 4, 5), beta=2, alpha=0.5)]), dtypes=FLOATS),
    OpInfo("bilinear", bilinear, bilinear_samples, method=False, dtypes=COMPOSED),
    OpInfo("linear", linear, linear_samples, method=False, slack=SUMS, errors=(
        error(ValueError, r"^linear: .*got", floats(2, 3), floats(5, 4)),
        error(ValueError, r"^linear: .*bias", floats(2, 4), floats(5, 4), floats(4)),
        error(ValueError, r"^linear: ", floats(2, 4), floats(5, 4, 1)),
        error((TypeError, ValueError), r"^linear: .*dtype", floats(2, 4), longs(5, 4)),
    )),
    OpInfo("addmm", addmm, addmm_samples, dtypes=FLOATS, errors=(error(ValueError, r"^\w+: ", floats(3, 5), floats(3, 4), floats(3, 5)),)),
)  # fmt: skip
