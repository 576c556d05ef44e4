"""Ops that only move elements: shapes, views, joins.  The reference is NumPy's own; values have to be equal to the bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from opinfo.core import BY_WIDTH, Array, Draw, Error, OpInfo, Sample, error, floats, sample


def moves(name: str, ref: Callable[..., Any], *calls: tuple[Any, ...], **info: Any) -> OpInfo:
    """One sample per call: a shape, then the arguments; a dict at the end holds keyword arguments."""

    def samples(draw: Draw) -> Iterator[Sample]:
        for shape, *args in calls:
            kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
            yield sample(draw.distinct(*shape), *args, **kwargs)

    info.setdefault("dtypes", BY_WIDTH)
    return OpInfo(name, ref, samples, **info)


def joins(name: str, ref: Callable[..., Any], *calls: tuple[Sequence[tuple[int, ...]], int], **info: Any) -> OpInfo:
    """One sample per (shapes, dim)."""

    def samples(draw: Draw) -> Iterator[Sample]:
        for shapes, dim in calls:
            yield sample([draw.distinct(*shape) for shape in shapes], dim=dim)
        yield sample([draw.distinct(*shape) for shape in calls[0][0]])

    return OpInfo(name, ref, samples, dtypes=BY_WIDTH, method=False, **info)


def bad_dim(name: str, *args: Any, **kwargs: Any) -> Error:
    return error(IndexError, rf"^{name}: .*dim.*got", *args, **kwargs)


# --- references ----------------------------------------------------------------------------------------------------


def split(x: Array, size: int | list[int], dim: int = 0) -> tuple[Array, ...]:
    n = x.shape[dim]
    sizes = size if isinstance(size, list) else [min(size, n - i) for i in range(0, n, size)]
    edges = np.cumsum([0, *sizes])
    return tuple(np.take(x, range(a, b), axis=dim) for a, b in itertools.pairwise(edges))


def chunk(x: Array, chunks: int, dim: int = 0) -> tuple[Array, ...]:
    return split(x, -(-x.shape[dim] // chunks), dim)


def unbind(x: Array, dim: int = 0) -> tuple[Array, ...]:
    return tuple(np.take(x, i, axis=dim) for i in range(x.shape[dim]))


def expand(x: Array, *sizes: int) -> Array:
    padded = (1,) * (len(sizes) - x.ndim) + x.shape
    return np.broadcast_to(x, [old if new == -1 else new for new, old in zip(sizes, padded)])


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    merged = int(np.prod(x.shape[start : end + 1]))
    return x.reshape(*x.shape[:start], merged, *x.shape[end + 1 :])


def unflatten(x: Array, dim: int, sizes: list[int]) -> Array:
    dim %= x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def squeeze(x: Array, dim: int | None = None) -> Array:
    if dim is None:
        return x.squeeze()
    return x.squeeze(dim) if x.ndim and x.shape[dim] == 1 else x


def pad(x: Array, pads: list[int], mode: str = "constant", value: float = 0) -> Array:
    widths = [(0, 0)] * x.ndim
    for i in range(len(pads) // 2):  # torch's order: the last dim first
        widths[-1 - i] = (pads[2 * i], pads[2 * i + 1])
    crop = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape))
    grow = [(max(a, 0), max(b, 0)) for a, b in widths]
    return np.pad(x[crop], grow, constant_values=np.asarray(value).astype(x.dtype))


def roll(x: Array, shifts: Any, dims: Any = None) -> Array:
    return np.roll(x, shifts, dims)


def triangle(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, diagonal=0: f(x, diagonal)


def flip(x: Array, dims: list[int]) -> Array:
    return np.flip(x, tuple(dims))


def movedim(x: Array, source: Any, destination: Any) -> Array:
    return np.moveaxis(x, source, destination)


def repeat_interleave(x: Array, repeats: int, dim: int | None = None) -> Array:
    return np.repeat(x, repeats, dim)


def narrow(x: Array, dim: int, start: int, length: int) -> Array:
    return np.take(x, range(start, start + length), axis=dim)


def cat(tensors: list[Array], dim: int = 0) -> Array:
    return np.concatenate(tensors, axis=dim)


def stack(tensors: list[Array], dim: int = 0) -> Array:
    return np.stack(tensors, axis=dim)


# --- methods without a function of the same name ---------------------------------------------------------------------


def call(name: str) -> Callable[..., Any]:
    """The tensor method as a function."""
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def pairs_to_expand(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 1), draw(3, 4))
    yield sample(draw(4), draw(2, 3, 4))


def pairs_to_reshape(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), draw(2, 6))
    yield sample(draw(0, 4), draw(0, 2))


def stacked(*shapes: tuple[int, ...]) -> Callable[[Draw], Iterator[Sample]]:
    return lambda draw: (sample([draw(*shape), draw(*shape)]) for shape in shapes)


def sliced(x: Any, key: Any) -> Any:
    return x[key]


PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
X = (2, 3, 4)
EMPTY = (2, 0, 4)
LONG = (3, 4097)
TRI = ((4, 4), (3, 5), (5, 3), (2, 3, 4), (0, 3), (129, 131))
SLICES: tuple[tuple[tuple[int, ...], Any], ...] = (
    (X, 0), (X, -1), (X, slice(1, 2)), (X, (slice(None), -1)), (X, (..., slice(None, None, 2))),
    (X, (slice(None), slice(None, None, -1))), (X, (1, 2, 3)), (X, (None, 1, ..., None)), (X, slice(5, 1)),
    ((10,), slice(-3, None)), ((10,), slice(8, 1, -3)), ((), ...), ((), None), (LONG, (slice(None), slice(1, None, 3))),
    (EMPTY, (slice(None), slice(0, 0))),
)  # fmt: skip

OPS: tuple[OpInfo, ...] = (
    moves("reshape", lambda x, shape: x.reshape(shape),
          (X, (6, 4)), (X, (-1,)), (X, (2, -1, 2)), ((), (1, 1)), ((1,), ()), (EMPTY, (0, 7)), (LONG, (-1, 3)),
          errors=(error(ValueError, r"^reshape: .*\[4, 2\].*6", floats(2, 3), (4, 2)),
                  error(ValueError, r"^reshape: .*-1", floats(2, 3), (-1, -1)),
                  error(ValueError, r"^reshape: ", floats(2, 3), (-2, 3)),
                  error(ValueError, r"^reshape: ", floats(0, 3), (-1, 0)))),
    moves("view", lambda x, *shape: x.reshape(shape), (X, 6, 4), (X, -1), ((), 1), (EMPTY, 0), fn=call("view"),
          docs=False, layouts=False, errors=(error(ValueError, r"^(view|reshape): ", floats(2, 3), 5),)),
    moves("permute", lambda x, dims: x.transpose(dims),
          (X, (2, 0, 1)), (X, (0, -1, 1)), ((), ()), (EMPTY, (1, 2, 0)), ((33, 5, 65), (2, 1, 0)),
          errors=(error(ValueError, r"^permute: ", floats(2, 3), (0, 0)),
                  error(ValueError, r"^permute: ", floats(2, 3), (0,)),
                  bad_dim("permute", floats(2, 3), (0, 2)))),
    moves("transpose", np.swapaxes, (X, 0, 2), (X, -1, 1), (X, 1, 1), (EMPTY, 0, 1), ((129, 65), 0, 1),
          errors=(bad_dim("transpose", floats(2, 3), 0, 2),)),
    moves("movedim", movedim, (X, 0, 2), (X, (0, 1), (-1, 0))),
    moves("t", np.transpose, ((2, 3),), ((3,),), ((),), errors=(error(ValueError, r"^t: ", floats(2, 3, 4)),)),
    moves("mT", lambda x: np.swapaxes(x, -1, -2), ((2, 3),), (X,), fn=lambda x: x.mT, method=False, docs=False),
    moves("expand", expand, ((3, 1), 3, 4), ((4,), 2, 3, 4), ((3, 1), -1, 5), ((), 2, 2), ((1, 3), 0, 3),
          fn=call("expand"), docs=False,
          errors=(error(ValueError, r"^expand: .*3.*4", floats(3), 4), error(ValueError, r"^expand: ", floats(2, 3), 3),
                  error(ValueError, r"^expand: ", floats(3), -1, 3))),
    moves("broadcast_to", lambda x, shape: np.broadcast_to(x, shape), ((3, 1), (2, 3, 4)), ((), (5,)),
          errors=(error(ValueError, r"^(broadcast_to|expand): ", floats(3), (4,)),)),
    moves("squeeze", squeeze, ((1, 3, 1),), ((1, 3, 1), 0), ((1, 3, 1), -1), ((1, 3, 1), 1), ((),), ((1, 0),),
          errors=(bad_dim("squeeze", floats(2, 1), 2),)),
    moves("unsqueeze", np.expand_dims, (X, 0), (X, -1), (X, 2), ((), 0), ((0,), -2),
          errors=(bad_dim("unsqueeze", floats(2, 3), 3),)),
    moves("flatten", flatten, (X,), (X, 1), (X, 0, 1), (X, -2, -1), ((),), (EMPTY, 1), ((3,), 0, 0),
          errors=(error(ValueError, r"^flatten: ", floats(2, 3), 1, 0), bad_dim("flatten", floats(2, 3), 2))),
    moves("unflatten", unflatten, ((2, 6), 1, [2, 3]), ((2, 6), -1, [3, -1]), ((6,), 0, [6, 1]),
          errors=(error(ValueError, r"^unflatten: ", floats(2, 6), 1, [4, 2]),)),
    moves("getitem", lambda x, key: x[key], *SLICES, fn=sliced, method=False, docs=False, covers=("slice", "select"),
          errors=(error(IndexError, r"^(index|getitem|select|slice): .*got 3", floats(3), 3),
                  error(IndexError, r"^(index|getitem|select|slice): .*got -4", floats(3), -4),
                  error(IndexError, r"^(index|getitem|select|slice): ", floats(3), (0, 0)),
                  error(ValueError, r"^(index|getitem|select|slice): .*step", floats(3), slice(None, None, 0)),
                  error((TypeError, IndexError), r"^index: .*got 1.5", floats(3), 1.5),
                  error((TypeError, IndexError), r"^index: .*got", floats(3), "a"))),
    moves("narrow", narrow, (X, 1, 1, 2), (X, -1, 0, 4), (X, 0, 2, 0),
          errors=(error(ValueError, r"^narrow: ", floats(3), 0, 2, 2), error(ValueError, r"^narrow: ", floats(3), 0, 0, -1))),
    moves("split", split, (X, 2, 2), (X, 2, 1), (X, [1, 3], -1), ((5,), 2), (EMPTY, 1, 0), ((5,), [0, 5]),
          errors=(error(ValueError, r"^split: ", floats(4), [1, 2]), error(ValueError, r"^split: ", floats(4), 0),
                  error(ValueError, r"^split: ", floats(4), -1), bad_dim("split", floats(4), 2, 1))),
    moves("chunk", chunk, (X, 2, 2), ((5,), 3), ((7, 2), 3), ((2,), 5),
          errors=(error(ValueError, r"^chunk: ", floats(4), 0),)),
    moves("unbind", unbind, (X,), (X, 1), (X, -1), errors=(bad_dim("unbind", floats(2), 1),)),
    moves("flip", flip, (X, [0]), (X, [0, 2]), (X, [-1]), ((), []), (EMPTY, [1]), (LONG, [1]),
          errors=(bad_dim("flip", floats(2, 3), [2]), error(ValueError, r"^flip: ", floats(2, 3), [1, 1]))),
    moves("roll", roll, (X, 1), (X, 1, 0), (X, (1, -2), (0, 2)), ((5,), 7), (EMPTY, 1, 0), (LONG, -3, 1),
          errors=(bad_dim("roll", floats(2, 3), 1, 2), error(ValueError, r"^roll: ", floats(2, 3), (1, 2), (0,)))),
    moves("tile", np.tile, (X, (2, 1, 3)), (X, (2,)), ((3,), (2, 2)), ((), (3,)), (X, (0, 1, 1)),
          errors=(error(ValueError, r"^(tile|repeat): ", floats(3), (-1,)),)),
    moves("repeat", lambda x, *sizes: np.tile(x, sizes), ((3,), 2), ((2, 3), 1, 2), ((3,), 2, 2, 1), ((2, 3), 0, 1),
          fn=call("repeat"), docs=False,
          errors=(error(ValueError, r"^repeat: ", floats(2, 3), 2), error(ValueError, r"^repeat: ", floats(3), -1))),
    moves("repeat_interleave", repeat_interleave, ((2, 3), 2), ((2, 3), 3, 1), ((2, 3), 2, 0), ((3,), 0)),
    moves("pad", pad, (X, [1, 2]), (X, [1, 0, 0, 2]), (X, [0, 0, 1, 1, 2, 0], {"value": 1}), (X, [-1, 1]),
          (EMPTY, [0, 0, 1, 1]), ((3, 257), [5, 6]), method=False,
          errors=(error(ValueError, r"^pad: ", floats(3), [1]), error(ValueError, r"^pad: ", floats(3), [1, 1, 1, 1]),
                  error(ValueError, r"^pad: ", floats(3), [-2, -2]),
                  error((ValueError, NotImplementedError), r"^pad: .*mode", floats(3), [1, 1], mode="nonsense"))),
    moves("pad", lambda x, pads, mode: np.pad(x, [(0, 0)] * (x.ndim - len(pads) // 2) + [(pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)], PAD_MODES[mode]),
          *((shape, pads, {"mode": mode}) for mode in ("reflect", "replicate", "circular") for shape, pads in
            (((2, 5), [2, 1]), ((1, 2, 4, 5), [1, 2, 2, 1]))), method=False,
          errors=(error(ValueError, r"^pad: ", floats(2, 3), [3, 0], mode="reflect"),)),
    moves("tril", triangle(np.tril), *((s,) for s in TRI), ((4, 5), {"diagonal": 1}), ((4, 5), {"diagonal": -2}),
          ((4, 5), {"diagonal": 9}), errors=(error(ValueError, r"^tril: ", floats(3)),)),
    moves("triu", triangle(np.triu), *((s,) for s in TRI), ((4, 5), {"diagonal": 1}), ((4, 5), {"diagonal": -2}),
          ((4, 5), {"diagonal": -9}), errors=(error(ValueError, r"^triu: ", floats(3)),)),
    moves("diagonal", lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
          ((3, 4),), ((3, 4), 1), ((4, 3), -2), (X, 0, 1, 2), (X, {"dim1": 0, "dim2": -1}), ((3, 3), 5)),
    moves("ravel", np.ravel, (X,), ((),), (EMPTY,)),
    moves("fliplr", np.fliplr, ((3, 4),), ((2, 3, 4),), errors=(error(ValueError, r"^fliplr: ", floats(3)),)),
    moves("flipud", np.flipud, ((3, 4),), ((3,),)),
    moves("rot90", lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims), ((3, 4),), ((3, 4), 2), ((3, 4), -1), (X, 1, (1, 2)), (X, 5, (2, 0))),
    moves("diag", np.diag, ((4,),), ((3,), 1), ((3,), -2), ((3, 4),), ((4, 3), 1), ((3, 3), -2),
          errors=(error(ValueError, r"^diag: ", floats(2, 2, 2)),)),
    moves("tensor_split", lambda x, n, dim=0: tuple(np.array_split(x, n, dim)), ((7,), 3), (X, 2, 1), ((5,), [1, 3]), ((2,), 4)),
    OpInfo("expand_as", lambda x, other: np.broadcast_to(x, other.shape), pairs_to_expand, dtypes=BY_WIDTH),
    OpInfo("reshape_as", lambda x, other: x.reshape(other.shape), pairs_to_reshape, fn=call("reshape_as"), dtypes=BY_WIDTH, docs=False),
    OpInfo("view_as", lambda x, other: x.reshape(other.shape), pairs_to_reshape, fn=call("view_as"), dtypes=BY_WIDTH,
           docs=False, layouts=False),
    OpInfo("broadcast_tensors", lambda *xs: tuple(np.broadcast_arrays(*xs)), lambda d: iter([sample(d(3, 1), d(4)), sample(d(2), d())]),
           dtypes=BY_WIDTH, method=False, errors=(error(ValueError, r"^broadcast_\w+: ", floats(2), floats(3)),)),
    OpInfo("hstack", np.hstack, stacked((3,), (2, 3)), dtypes=BY_WIDTH, method=False),
    OpInfo("vstack", np.vstack, stacked((3,), (2, 3)), dtypes=BY_WIDTH, method=False),
    joins("cat", cat, (((2, 3), (4, 3)), 0), (((2, 3), (2, 1), (2, 0)), 1), (((2, 3),) * 2, -1), (((1,),) * 9, 0),
          (((2, 3, 5), (2, 3, 4097)), 2),
          errors=(error(ValueError, r"^cat: ", [floats(2, 3), floats(2, 4)]), error(ValueError, r"^cat: ", []),
                  error(ValueError, r"^cat: ", [floats(2, 3), floats(2)]),
                  error(ValueError, r"^cat: ", [floats(), floats()]),
                  bad_dim("cat", [floats(2, 3)], dim=2))),
    joins("stack", stack, (((2, 3),) * 2, 0), (((2, 3),) * 3, 2), (((2, 3),) * 2, -1), (((),) * 3, 0), (((0, 2),) * 2, 1),
          errors=(error(ValueError, r"^stack: ", [floats(2), floats(3)]), error(ValueError, r"^stack: ", []),
                  bad_dim("stack", [floats(2)], dim=2))),
    moves("clone", np.copy, (X,), ((),), (EMPTY,), (LONG,), fn=call("clone"), docs=False, covers=("alias", "to", "view_scatter")),
    moves("contiguous", np.copy, (X,), ((),), (EMPTY,), fn=call("contiguous"), docs=False),
)  # fmt: skip
