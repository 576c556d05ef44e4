"""Ops with index or mask operands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from opinfo.core import ALL, BY_WIDTH, FLOATS, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, longs, raw, sample

HOST = "the size of the result depends on the values, so the host has to see them"


# --- references ----------------------------------------------------------------------------------------------------


def index_select(x: Array, dim: int, index: Array) -> Array:
    return np.take(x, index, axis=dim)


def gather(x: Array, dim: int, index: Array) -> Array:
    positions = list(np.indices(index.shape))
    positions[dim] = index
    return x[tuple(positions)] if index.ndim else x.reshape(-1)[index]


def scatter(x: Array, dim: int, index: Array, src: Any) -> Array:
    out = x.copy()
    positions = list(np.indices(index.shape))
    positions[dim] = index
    values = src[tuple(slice(n) for n in index.shape)] if isinstance(src, np.ndarray) else src
    out[tuple(positions)] = values
    return out


def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Array:
    out = x.copy()
    positions = list(np.indices(index.shape))
    positions[dim] = index
    np.add.at(out, tuple(positions), src[tuple(slice(n) for n in index.shape)])
    return out


def take_along_dim(x: Array, indices: Array, dim: int | None = None) -> Array:
    if dim is None:
        return x.reshape(-1)[indices.reshape(-1)]
    n = x.ndim
    dim %= n
    shape = np.broadcast_shapes(
        (*x.shape[:dim], 1, *x.shape[dim + 1 :]), (*indices.shape[:dim], 1, *indices.shape[dim + 1 :])
    )
    full = lambda a: np.broadcast_to(a, (*shape[:dim], a.shape[dim], *shape[dim + 1 :]))  # noqa: E731
    return np.take_along_axis(full(x), full(indices), dim)


def masked_fill(x: Array, mask: Array, value: Any) -> Array:
    return np.where(mask, np.asarray(value).astype(x.dtype), x)


def masked_select(x: Array, mask: Array) -> Array:
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def nonzero(x: Array) -> Array:
    if x.ndim == 0:
        return np.zeros((int(bool(x)), 0), np.int64)
    return np.argwhere(x)


def one_hot(x: Array, num_classes: int = -1) -> Array:
    n = int(x.max()) + 1 if num_classes == -1 else num_classes
    return (x[..., None] == np.arange(n)).astype(np.int64)


def embedding(index: Array, weight: Array, padding_idx: int | None = None) -> Array:
    return weight[index]


def assigned(x: Array, key: Any, value: Any) -> Array:
    out = x.copy()
    out[key] = value
    return out


# --- samples -------------------------------------------------------------------------------------------------------


def index_select_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim, n in (
        ((3, 4), 0, 5),
        ((3, 4), 1, 2),
        ((2, 3, 4), -1, 7),
        ((5,), 0, 1),
        ((3, 257), 0, 4),
        ((300, 3), 0, 500),
    ):
        yield sample(draw(*shape), dim, draw.index(n, high=shape[dim]))
    yield sample(draw(3, 4), 0, longs(0))
    yield sample(draw(3, 0), 0, draw.index(2, high=3))
    yield sample(draw(3, 4), 1, draw.index(6, high=4).astype(np.int32), label="int32 index")


def gather_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), 1, draw.index(3, 2, high=4))
    yield sample(draw(3, 4), 0, draw.index(5, 4, high=3))
    yield sample(draw(3, 4), 0, draw.index(2, 3, high=3))  # smaller than the input in the other dims
    yield sample(draw(2, 3, 4), -1, draw.index(2, 3, 6, high=4))
    yield sample(draw(5), 0, draw.index(7, high=5))
    yield sample(draw(3, 4), 1, longs(3, 0))
    yield sample(draw(60, 257), 1, draw.index(60, 33, high=257))


def scatter_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim, size in (
        ((3, 4), 1, (3, 2)),
        ((3, 4), 0, (2, 4)),
        ((2, 5, 3), 1, (2, 4, 3)),
        ((7,), 0, (5,)),
        ((40, 257), -1, (40, 200)),
    ):
        dim_ = dim % len(shape)
        index = draw.permuted(size, dim_, shape[dim_])
        yield sample(draw(*shape), dim, index, draw(*size))
    yield sample(draw(3, 4), 1, draw.permuted((2, 2), 1, 4), draw(3, 4), label="source larger than the index")
    yield sample(draw(3, 4), 1, draw.permuted((3, 2), 1, 4), 2, label="a number")
    yield sample(draw(3, 4), 1, longs(3, 0), draw(3, 0))


def scatter_add_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim, size in (
        ((3, 4), 1, (3, 6)),
        ((3, 4), 0, (5, 4)),
        ((2, 5, 3), 1, (2, 7, 3)),
        ((7,), 0, (50,)),
        ((4, 3), -1, (4, 300)),
    ):
        yield sample(draw(*shape), dim, draw.index(*size, high=shape[dim]), draw(*size, low=-1, high=1))
    yield sample(draw(3, 4), 1, longs(3, 0), draw(3, 0))


def take_along_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), draw.index(3, 2, high=4), 1)
    yield sample(draw(3, 4), draw.index(1, 4, high=3), 0)
    yield sample(draw(1, 4), draw.index(3, 2, high=4), 1)
    yield sample(draw(3, 4), draw.index(5, high=12))
    yield sample(draw(3, 4), draw.index(3, 2, high=4), dim=-1)


def index_add(x: Array, dim: int, index: Array, source: Array) -> Array:
    out = x.copy()
    np.add.at(np.moveaxis(out, dim, 0), index, np.moveaxis(source, dim, 0))
    return out


def index_add_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), 0, draw.index(5, high=3), draw(5, 4))
    yield sample(draw(2, 3, 4), -1, draw.index(9, high=4), draw(2, 3, 9))
    yield sample(draw(3), 0, longs(0), draw(0))


def take_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), draw.index(2, 5, high=12))
    yield sample(draw(5), longs(0))


def masked_fill_samples(draw: Draw) -> Iterator[Sample]:
    for shape, mask in (
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((3, 4), (3, 1)),
        ((), ()),
        ((0, 3), (3,)),
        ((3, 4097), (4097,)),
    ):
        yield sample(draw(*shape), draw.mask(*mask), 1)
    if draw.is_float:
        yield sample(draw(3, 4), draw.mask(3, 4), -np.inf, label="-inf", grad=False)
        yield sample(draw(3, 4), draw.mask(3, 4), draw(), label="a 0-d tensor")


def masked_select_samples(draw: Draw) -> Iterator[Sample]:
    for shape, mask in (((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 1)), ((0, 3), (3,)), ((3, 4097), (3, 4097))):
        yield sample(draw(*shape), draw.mask(*mask))
    yield sample(draw(3), np.zeros(3, np.bool_), label="nothing selected")


def nonzero_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (5,), (2, 3, 4), (0, 3), (), (3, 4097)):
        x = draw(*shape, low=-1, high=1)
        yield sample(np.where(draw.mask(*shape), x, np.zeros_like(x)))
    yield sample(draw.cast(np.zeros((2, 2))), label="all zero")


def one_hot_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw.index(5, high=4), 4)
    yield sample(draw.index(2, 3, high=4), 7)
    yield sample(np.array([0, 3, 1]))
    yield sample(longs(0), 3)
    yield sample(np.array(2), 3)


def embedding_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw.index(5, high=4), draw(4, 3))
    yield sample(draw.index(2, 3, high=4), draw(4, 3))
    yield sample(draw.index(50, high=4), draw(4, 257))
    yield sample(np.array(1), draw(4, 3))
    yield sample(longs(0), draw(4, 3))
    yield sample(np.array([0, 2, 1, 2]), draw(4, 3), padding_idx=2, grad=False, label="padding_idx")
    yield sample(draw.index(4, high=4).astype(np.int32), draw(4, 3), label="int32 index")


def advanced_samples(draw: Draw) -> Iterator[Sample]:
    i = draw.index
    yield sample(draw(5, 4), i(3, high=5, low=-5))
    yield sample(draw(5, 4), (i(3, high=5), i(3, high=4)))
    yield sample(draw(5, 4), (slice(None), i(2, 3, high=4)))
    yield sample(draw(5, 4, 3), (i(2, high=5), slice(None), i(2, high=3)), label="advanced parts kept apart by a slice")
    yield sample(draw(5, 4, 3), (..., i(2, 1, high=4), i(3, high=3)))
    yield sample(draw(5, 4, 3), (0, i(2, high=4)))
    yield sample(draw(5, 4), draw.mask(5, 4), label="mask", gpu=False)
    yield sample(draw(5, 4), draw.mask(5), label="mask of rows", gpu=False)
    yield sample(draw(5, 4, 3), (slice(None), draw.mask(4)), label="mask in the middle", gpu=False)
    yield sample(draw(5, 4), longs(0), label="empty index")
    yield sample(draw(60, 257), (i(60, high=60), i(60, high=257)))


def assign_samples(draw: Draw) -> Iterator[Sample]:
    i = draw.index
    yield sample(draw(5, 4), (slice(1, 3),), draw(2, 4))
    yield sample(draw(5, 4), (slice(None), 1), draw(5))
    yield sample(draw(5, 4), (slice(None, None, -2),), draw(4))
    yield sample(draw(5, 4), 0, 2)
    yield sample(draw(5, 4), draw.mask(5, 4), 1, label="mask", gpu=False)
    yield sample(draw(5, 4), np.array([0, -1]), draw(2, 4), label="advanced")
    yield sample(draw(5, 4), (np.array([0, 2]), np.array([1, 3])), draw(2))
    yield sample(draw(5, 4, 3), (slice(None), np.array([0, 2])), draw(1, 3))
    yield sample(draw(5, 4), i(0, high=5), draw(4), label="nothing assigned")


def getitem(x: Any, key: Any) -> Any:
    return x[key]


def setitem(x: Any, key: Any, value: Any) -> Any:
    out = x.clone()
    out[key] = value
    return out


def out_of_range(name: str, bad: int, *args: Any) -> Any:
    return error(IndexError, rf"^{name}: .*got {bad}", *args)


OPS: tuple[OpInfo, ...] = (
    OpInfo("index_select", index_select, index_select_samples, dtypes=BY_WIDTH, errors=(
        out_of_range("index_select", 3, floats(3), 0, np.array([0, 3])),
        error(TypeError, r"^index_select: .*int", floats(3), 0, floats(2)),
        error(ValueError, r"^index_select: ", floats(3), 0, longs(2, 2)),
        error(IndexError, r"^index_select: .*dim", floats(3), 1, longs(2)),
    )),
    OpInfo("gather", gather, gather_samples, dtypes=BY_WIDTH, errors=(
        out_of_range("gather", 4, floats(3, 4), 1, np.full((3, 1), 4)),
        error(ValueError, r"^gather: ", floats(3, 4), 1, longs(3)),
        error(ValueError, r"^gather: ", floats(3, 4), 1, longs(4, 1)),
        error(TypeError, r"^gather: .*int", floats(3), 0, floats(3)),
    )),
    OpInfo("scatter", scatter, scatter_samples, dtypes=BY_WIDTH, inplace=True, errors=(
        out_of_range("scatter", 9, floats(3, 4), 1, np.full((3, 1), 9), floats(3, 1)),
        error(ValueError, r"^scatter: ", floats(3, 4), 1, longs(3, 2), floats(3, 1)),
        error(ValueError, r"^scatter: ", floats(3, 4), 1, longs(4, 2), floats(4, 2)),
        error(TypeError, r"^scatter: .*dtype", floats(3, 4), 1, longs(3, 2), longs(3, 2)),
    )),
    OpInfo("scatter_add", scatter_add, scatter_add_samples, dtypes=("float32", "float64", "int64", "int32"),
           inplace=True, gpu_dtypes=("float32", "int64", "int32"), errors=(
        out_of_range("scatter_add", -5, floats(3, 4), 1, np.full((3, 1), -5), floats(3, 1)),
        error(ValueError, r"^scatter_add: ", floats(3, 4), 1, longs(3, 2), floats(3, 1)),
    )),
    OpInfo("take_along_dim", take_along_dim, take_along_samples, dtypes=BY_WIDTH, errors=(
        error(IndexError, r"^(take_along_dim|gather): .*got 4", floats(3, 4), np.full((3, 1), 4), 1),
    )),
    OpInfo("index_add", index_add, index_add_samples, fn=raw("index_add"), dtypes=("float32", "float64", "int64"), method=False, docs=False, errors=(
        out_of_range("index_add", 3, floats(3), 0, np.array([0, 3]), floats(2)),
        error(ValueError, r"^index_add: ", floats(3, 4), 0, longs(2), floats(2, 3)),
    )),
    OpInfo("take", lambda x, index: x.reshape(-1)[index], take_samples, dtypes=BY_WIDTH, errors=(
        error(IndexError, r"^\w+: .*got 12", floats(3, 4), np.array([12])),
    )),
    OpInfo("argwhere", nonzero, nonzero_samples, dtypes=ALL, result="int64", grad=0, gpu=HOST),
    OpInfo("masked_fill", masked_fill, masked_fill_samples, dtypes=ALL, inplace=True, errors=(
        error(TypeError, r"^masked_fill: .*bool", floats(3), longs(3), 1.0),
        error(ValueError, r"^(masked_fill|where): .*got", floats(3), np.zeros(4, np.bool_), 1.0),
    )),
    OpInfo("masked_select", masked_select, masked_select_samples, dtypes=BY_WIDTH, gpu=HOST, errors=(
        error(TypeError, r"^masked_select: .*bool", floats(3), longs(3)),
        error(ValueError, r"^masked_select: ", floats(3), np.zeros(4, np.bool_)),
    )),
    OpInfo("nonzero", nonzero, nonzero_samples, dtypes=ALL, result="int64", grad=0, gpu=HOST),
    OpInfo("one_hot", one_hot, one_hot_samples, dtypes=("int64",), result="int64", grad=0, method=False, errors=(
        error((ValueError, IndexError), r"^one_hot: .*got 5", np.array([0, 5]), 5),
        error((ValueError, IndexError), r"^one_hot: .*got -1", np.array([0, -1]), 5),
        error(TypeError, r"^one_hot: .*int", floats(3), 3),
    )),
    OpInfo("embedding", embedding, embedding_samples, dtypes=FLOATS, method=False, errors=(
        out_of_range("embedding", 4, np.array([0, 4]), floats(4, 3)),
        out_of_range("embedding", -1, np.array([0, -1]), floats(4, 3)),
        error(TypeError, r"^embedding: .*int", floats(2), floats(4, 3)),
        error(ValueError, r"^embedding: ", longs(2), floats(4)),
    )),
    OpInfo("index", lambda x, key: x[key], advanced_samples, fn=getitem, dtypes=BY_WIDTH, method=False,
           docs=False, covers=("index_get",), gpu_dtypes=("float32",), errors=(
        error(IndexError, r"^\w+: .*got 5", floats(5), np.array([0, 5])),
        error(IndexError, r"^\w+: .*got -6", floats(5), np.array([0, -6])),
        error(IndexError, r"^\w+: ", floats(5, 4), np.zeros((4, 4), np.bool_)),
        error((IndexError, ValueError), r"^\w+: .*broadcast", floats(5, 4), (longs(2), longs(3))),
        error((IndexError, TypeError), r"^\w+: ", floats(5), floats(2)),
    )),
    OpInfo("index_put", assigned, assign_samples, fn=setitem, dtypes=NUMERIC, method=False, docs=False,
           covers=("index_set",), gpu_dtypes=("float32",), errors=(
        error(ValueError, r"^\w+: ", floats(5, 4), 0, floats(3)),
        error(IndexError, r"^\w+: .*got 7", floats(5, 4), 7, 1.0),
    )),
)  # fmt: skip
