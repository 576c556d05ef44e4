"""Shapes and places: reshaping, joining, splitting, reordering.

Results of `permute`, `transpose`, `movedim`, `expand`, `flip` (negative strides), `narrow`, `split`,
`chunk`, `unbind` and `diagonal` are views: they share memory with the input. So are those of `reshape`, `flatten`,
`squeeze` and `unsqueeze` where the strides allow it. A dim outside the tensor is an IndexError; `axis` is
accepted for `dim`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro._typing import Dims
from pyneuro.functions._common import (
    Default,
    pick_dim,
    pick_dims,
    shape_of,
    tensor_method,
    wrap_dim,
)
from pyneuro.functions.creation import broadcast_shapes

__all__ = [
    # one shape for another
    "reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "expand", "expand_as",
    "broadcast_to", "broadcast_tensors",
    # order of dims and of elements
    "permute", "permute_dims", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t",
    "flip", "fliplr", "flipud", "roll", "rot90",
    # joining and repeating
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "tile", "repeat_interleave",
    # parts
    "split", "chunk", "tensor_split", "unbind", "narrow", "tril", "triu", "diagonal", "diag",
]  # fmt: skip

_FIRST = Default(0)


# ---- one shape for another -------------------------------------------------------------------------------------------


@tensor_method
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; a view where the strides allow it, else a copy.

    Args:
        input: any shape.
        shape: as numbers or as one sequence; one of them may be -1 and is computed.

    >>> pn.reshape(pn.arange(4), (2, -1))
    tensor([[0, 1],
            [2, 3]])
    """
    return _core.reshape(input, shape_of("reshape", shape))


@tensor_method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dims from `start_dim` to `end_dim` into one; a 0-d tensor becomes 1-d.

    >>> pn.flatten(pn.zeros(2, 3, 4), start_dim=1).shape
    (2, 12)
    """
    shape = list(input.shape) or [1]
    first, last = (wrap_dim("flatten", d, len(shape)) for d in (start_dim, end_dim))
    if first > last:
        raise ValueError(f"flatten: start_dim must not be after end_dim, got {start_dim} and {end_dim}")
    merged = math.prod(shape[first : last + 1])
    return _core.reshape(input, [*shape[:first], merged, *shape[last + 1 :]])


@tensor_method
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one dim into several, whose lengths multiply to its own; one may be -1.

    >>> pn.unflatten(pn.zeros(2, 12), 1, (3, 4)).shape
    (2, 3, 4)
    """
    shape = list(input.shape)
    at = wrap_dim("unflatten", dim, len(shape))
    sizes = shape_of("unflatten", (sizes,))
    if -1 in sizes:
        rest = math.prod(n for n in sizes if n != -1)
        if sizes.count(-1) > 1 or rest == 0 or shape[at] % rest:
            raise ValueError(f"unflatten: sizes must multiply to {shape[at]}, got {tuple(sizes)}")
        sizes[sizes.index(-1)] = shape[at] // rest
    if math.prod(sizes) != shape[at]:
        raise ValueError(f"unflatten: sizes must multiply to {shape[at]}, got {tuple(sizes)}")
    return _core.reshape(input, [*shape[:at], *sizes, *shape[at + 1 :]])


@tensor_method
def ravel(input: Tensor) -> Tensor:
    """All elements in one dim.

    >>> pn.ravel(pn.zeros(2, 3)).shape
    (6,)
    """
    return _core.reshape(input, [-1])


@tensor_method
def squeeze(input: Tensor, dim: Dims = None, *, axis: Dims = None) -> Tensor:
    """Drop dims of length 1: all of them, or those of `dim` that have length 1.

    >>> pn.squeeze(pn.zeros(1, 3, 1)).shape
    (3,)
    >>> pn.squeeze(pn.zeros(1, 3, 1), dim=0).shape
    (3, 1)
    """
    shape = input.shape
    dims = pick_dims("squeeze", dim, axis)
    chosen = range(len(shape)) if dims is None else {wrap_dim("squeeze", d, len(shape)) for d in dims}
    return _core.reshape(input, [n for i, n in enumerate(shape) if n != 1 or i not in chosen])


@tensor_method
def unsqueeze(input: Tensor, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """Insert a dim of length 1 at `dim`.

    >>> pn.unsqueeze(pn.zeros(3), 0).shape
    (1, 3)
    """
    dim = pick_dim("unsqueeze", dim, axis)
    if dim is None:
        raise TypeError("unsqueeze: dim is required, got None")
    shape = list(input.shape)
    shape.insert(wrap_dim("unsqueeze", dim, len(shape) + 1), 1)
    return _core.reshape(input, shape)


@tensor_method
def expand(input: Tensor, *size: Any) -> Tensor:
    """Repeat dims of length 1 without copying; -1 keeps a length. New dims go in front.

    >>> pn.expand(pn.tensor([[1], [2]]), 2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return _core.expand(input, shape_of("expand", size))


@tensor_method
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor.

    >>> pn.expand_as(pn.zeros(1, 3), pn.zeros(2, 3)).shape
    (2, 3)
    """
    return _core.expand(input, list(other.shape))


@tensor_method
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`expand` under NumPy's name.

    >>> pn.broadcast_to(pn.zeros(3), (2, 3)).shape
    (2, 3)
    """
    return _core.expand(input, shape_of("broadcast_to", (size,)))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Expand tensors to their common shape.

    >>> a, b = pn.broadcast_tensors(pn.zeros(3, 1), pn.zeros(2))
    >>> a.shape == b.shape == (3, 2)
    True
    """
    size = broadcast_shapes(*(t.shape for t in tensors))
    return tuple(_core.expand(t, list(size)) for t in tensors)


# ---- order of dims and of elements -----------------------------------------------------------------------------------


@tensor_method
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dims in another order.

    >>> pn.permute(pn.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return _core.permute(input, shape_of("permute", dims))


@tensor_method
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two dims.

    >>> pn.transpose(pn.zeros(2, 3, 4), 0, 1).shape
    (3, 2, 4)
    """
    order = list(range(len(input.shape)))
    a, b = (wrap_dim("transpose", d, len(order)) for d in (dim0, dim1))
    if order:
        order[a], order[b] = order[b], order[a]
    return _core.permute(input, order)


@tensor_method
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move dims to new places; the others keep their order.

    >>> pn.movedim(pn.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    ndim = len(input.shape)
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    sources = [wrap_dim("movedim", d, ndim) for d in sources]
    targets = [wrap_dim("movedim", d, ndim) for d in targets]
    if not len(sources) == len(targets) == len(set(sources)) == len(set(targets)):
        raise ValueError(
            f"movedim: source and destination must name as many dims, each once, got {source} and {destination}"
        )
    if ndim == 0:
        return input
    order = [d for d in range(ndim) if d not in sources]
    for target, moved in sorted(zip(targets, sources, strict=True)):
        order.insert(target, moved)
    return _core.permute(input, order)


@tensor_method
def t(input: Tensor) -> Tensor:
    """Transpose of a matrix; tensors of fewer dims are returned as they are.

    >>> pn.t(pn.zeros(2, 3)).shape
    (3, 2)
    """
    ndim = len(input.shape)
    if ndim > 2:
        raise ValueError(f"t: a tensor of at most 2 dims is required, got {ndim} dims")
    return _core.permute(input, list(reversed(range(ndim))))


@tensor_method
def flip(input: Tensor, *dims: Any) -> Tensor:
    """Reverse the order along dims.

    >>> pn.flip(pn.tensor([1, 2, 3]), 0)
    tensor([3, 2, 1])
    """
    return _core.flip(input, shape_of("flip", dims))


@tensor_method
def fliplr(input: Tensor) -> Tensor:
    """Reverse dim 1.

    >>> pn.fliplr(pn.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    if len(input.shape) < 2:
        raise ValueError(f"fliplr: a tensor of at least 2 dims is required, got {len(input.shape)}")
    return _core.flip(input, [1])


@tensor_method
def flipud(input: Tensor) -> Tensor:
    """Reverse dim 0.

    >>> pn.flipud(pn.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    if not input.shape:
        raise ValueError("flipud: a tensor of at least 1 dim is required, got 0")
    return _core.flip(input, [0])


@tensor_method
def roll(input: Tensor, shifts: int | Sequence[int], dims: Dims = None) -> Tensor:
    """Shift elements along dims; what leaves at one end returns at the other.

    Args:
        input: any shape.
        shifts: by how much, one per dim.
        dims: which dims; None rolls the flattened tensor.

    >>> pn.roll(pn.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    if dims is None:
        if not isinstance(shifts, int):
            raise ValueError(f"roll: one shift is required without dims, got {tuple(shifts)}")
        return _core.reshape(roll(ravel(input), shifts, 0), list(input.shape))
    all_shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    all_dims = [dims] if isinstance(dims, int) else list(dims)
    if len(all_shifts) != len(all_dims):
        raise ValueError(f"roll: one shift per dim is required, got {len(all_shifts)} shifts and {len(all_dims)} dims")
    if not input.shape and all_dims:
        raise IndexError(f"roll: dims must be empty for a 0-d tensor, got {tuple(all_dims)}")
    for shift, dim in zip(all_shifts, all_dims, strict=True):
        at = wrap_dim("roll", dim, len(input.shape))
        length = input.shape[at]
        if length and shift % length:
            cut = length - shift % length
            parts = [narrow(input, at, cut, length - cut), narrow(input, at, 0, cut)]
            input = _core.cat(parts, at)
    return input.clone() if len(all_dims) == 0 else input


@tensor_method
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by k quarter turns in the plane of two dims, from the first towards the second.

    >>> pn.rot90(pn.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    if len(dims) != 2:
        raise ValueError(f"rot90: two dims are required, got {tuple(dims)}")
    a, b = (wrap_dim("rot90", d, len(input.shape)) for d in dims)
    if a == b:
        raise ValueError(f"rot90: two different dims are required, got {tuple(dims)}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return _core.flip(input, [a, b])
    turned = transpose(input, a, b)
    return _core.flip(turned, [a if k == 1 else b])


# ---- joining and repeating -------------------------------------------------------------------------------------------


def cat(tensors: Sequence[Tensor], dim: int = _FIRST, *, axis: int | None = None) -> Tensor:
    """Join tensors along a dim they have; their other dims must be equal, dtypes promote.

    >>> pn.cat([pn.tensor([1, 2]), pn.tensor([3])])
    tensor([1, 2, 3])
    """
    return _core.cat(list(tensors), pick_dim("cat", dim, axis))


def stack(tensors: Sequence[Tensor], dim: int = _FIRST, *, axis: int | None = None) -> Tensor:
    """Join tensors of equal shape along a new dim.

    >>> pn.stack([pn.tensor([1, 2]), pn.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    return _core.stack(list(tensors), pick_dim("stack", dim, axis))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along dim 1 (along dim 0 where tensors are 1-d).

    >>> pn.hstack([pn.tensor([1]), pn.tensor([2])])
    tensor([1, 2])
    """
    rows = [_core.reshape(x, [1]) if len(x.shape) == 0 else x for x in tensors]
    return _core.cat(rows, 0 if rows and len(rows[0].shape) == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along dim 0, 1-d tensors as rows.

    >>> pn.vstack([pn.tensor([1, 2]), pn.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return _core.cat([_core.reshape(x, [1, -1]) if len(x.shape) < 2 else x for x in tensors], 0)


@tensor_method
def tile(input: Tensor, *dims: Any) -> Tensor:
    """Repeat the whole tensor: `dims[i]` copies along dim i. Missing dims are 1, in front.

    >>> pn.tile(pn.tensor([1, 2]), 2)
    tensor([1, 2, 1, 2])
    """
    counts = shape_of("tile", dims)
    return repeat_dims("tile", input, [1] * (len(input.shape) - len(counts)) + counts)


def repeat_dims(op: str, input: Tensor, counts: list[int]) -> Tensor:
    """What `tile` and `Tensor.repeat` share: one count per dim, more counts add dims in front."""
    shape = list(input.shape)
    if len(counts) < len(shape) or min(counts, default=0) < 0:
        raise ValueError(f"{op}: a count >= 0 for each of the {len(shape)} dims is required, got {tuple(counts)}")
    shape = [1] * (len(counts) - len(shape)) + shape
    # (a, b) -> (1, a, 1, b) -> (m, a, n, b) -> (m a, n b)
    spread = [n for length in shape for n in (1, length)]
    full = [n for count, length in zip(counts, shape, strict=True) for n in (count, length)]
    expanded = _core.expand(_core.reshape(input, spread), full)
    return _core.reshape(expanded, [c * n for c, n in zip(counts, shape, strict=True)])


@tensor_method
def repeat_interleave(input: Tensor, repeats: int | Tensor, dim: int | None = None) -> Tensor:
    """Repeat each element, next to itself.

    Args:
        input: any shape.
        repeats: how often, for all, or a 1-d integer tensor with one count per index of `dim`.
        dim: along which; None works on the flattened tensor.

    >>> pn.repeat_interleave(pn.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if dim is None:
        input, dim = ravel(input), 0
    at = wrap_dim("repeat_interleave", dim, len(input.shape))
    length = input.shape[at]
    counts = [repeats] * length if isinstance(repeats, int) else repeats.tolist()
    if not isinstance(counts, list) or len(counts) != length or min(counts, default=0) < 0:
        raise ValueError(f"repeat_interleave: one count >= 0 for each of {length} indices is required, got {repeats}")
    index = [i for i, count in enumerate(counts) for _ in range(count)]
    return _core.index_select(input, at, _core.tensor(index, dtype=_core.int64, device=input.device))


# ---- parts -----------------------------------------------------------------------------------------------------------


@tensor_method
def split(
    input: Tensor,
    split_size_or_sections: int | Sequence[int],
    dim: int = _FIRST,
    *,
    axis: int | None = None,
) -> tuple[Tensor, ...]:
    """Cut into parts of a given length (the last may be shorter), or of a list of lengths.

    >>> [part.tolist() for part in pn.split(pn.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    >>> [part.tolist() for part in pn.split(pn.arange(5), [1, 4])]
    [[0], [1, 2, 3, 4]]
    """
    at = wrap_dim("split", pick_dim("split", dim, axis), len(input.shape))
    if not input.shape:
        raise ValueError("split: a tensor with at least one dim is required, got a 0-d tensor")
    length = input.shape[at]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and length):
            raise ValueError(f"split: the size of a part must be positive, got {size}")
        sizes = [min(size, length - start) for start in range(0, length, size or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if min(sizes, default=0) < 0 or sum(sizes) != length:
            raise ValueError(f"split: sizes must add up to {length}, got {sizes}")
    parts, start = [], 0
    for size in sizes:
        parts.append(narrow(input, at, start, size))
        start += size
    return tuple(parts)


@tensor_method
def chunk(input: Tensor, chunks: int, dim: int = _FIRST, *, axis: int | None = None) -> tuple[Tensor, ...]:
    """Cut into at most `chunks` parts of equal length (the last may be shorter).

    >>> [part.tolist() for part in pn.chunk(pn.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be positive, got {chunks}")
    at = wrap_dim("chunk", pick_dim("chunk", dim, axis), len(input.shape))
    length = input.shape[at] if input.shape else 0
    if length == 0:
        return split(input, [0] * chunks, at)
    return split(input, -(-length // chunks), at)


@tensor_method
def tensor_split(
    input: Tensor,
    indices_or_sections: int | Sequence[int],
    dim: int = _FIRST,
    *,
    axis: int | None = None,
) -> tuple[Tensor, ...]:
    """Cut into a number of nearly equal parts, or at given indices, as NumPy's array_split.

    >>> [part.tolist() for part in pn.tensor_split(pn.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    >>> [part.tolist() for part in pn.tensor_split(pn.arange(5), [1, 3])]
    [[0], [1, 2], [3, 4]]
    """
    at = wrap_dim("tensor_split", pick_dim("tensor_split", dim, axis), len(input.shape))
    if not input.shape:
        raise ValueError("tensor_split: a tensor with at least one dim is required, got a 0-d tensor")
    length = input.shape[at]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n < 1:
            raise ValueError(f"tensor_split: the number of parts must be positive, got {n}")
        cuts = [length // n * i + min(i, length % n) for i in range(1, n)]
    else:
        cuts = [slice(i).indices(length)[1] for i in indices_or_sections]
    edges = zip([0, *cuts], [*cuts, length], strict=True)
    return tuple(narrow(input, at, a, max(b - a, 0)) for a, b in edges)


@tensor_method
def unbind(input: Tensor, dim: int = _FIRST, *, axis: int | None = None) -> tuple[Tensor, ...]:
    """All slices along `dim`, without it.

    >>> [row.tolist() for row in pn.unbind(pn.tensor([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4]]
    """
    at = wrap_dim("unbind", pick_dim("unbind", dim, axis), len(input.shape))
    if not input.shape:
        raise ValueError("unbind: a tensor with at least one dim is required, got a 0-d tensor")
    rest = [n for i, n in enumerate(input.shape) if i != at]
    return tuple(_core.reshape(narrow(input, at, i, 1), rest) for i in range(input.shape[at]))


@tensor_method
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The slice `start : start + length` of one dim.

    >>> pn.narrow(pn.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    at = wrap_dim("narrow", dim, len(input.shape))
    size = input.shape[at] if input.shape else 0
    if not -size <= start <= size:
        raise IndexError(f"narrow: start must be in [{-size}, {size}], got {start}")
    start = start + size if start < 0 else start
    if length < 0 or start + length > size:
        raise ValueError(f"narrow: length must be in [0, {size - start}], got {length}")
    return input[(slice(None),) * at + (slice(start, start + length),)]


@tensor_method
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two dims (up to the diagonal), zero above.

    >>> pn.tril(pn.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _core.tril(input, diagonal)


@tensor_method
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two dims (from the diagonal), zero below.

    >>> pn.triu(pn.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return _core.triu(input, diagonal)


@tensor_method
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dims, as a new last dim.

    >>> pn.diagonal(pn.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return _diagonal(input, offset, dim1, dim2)


def _diagonal(input: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    ndim = len(input.shape)
    a, b = (wrap_dim("diagonal", d, ndim) for d in (dim1, dim2))
    if a == b:
        raise ValueError(f"diagonal: two different dims are required, got {dim1} and {dim2}")
    return _core.diagonal(movedim(input, (a, b), (-2, -1)), offset)


@tensor_method
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a zero matrix, or the diagonal of a matrix.

    >>> pn.diag(pn.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    >>> pn.diag(pn.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    if len(input.shape) == 2:
        return _diagonal(input, diagonal, 0, 1)
    if len(input.shape) != 1:
        raise ValueError(f"diag: 1 or 2 dims are required, got {len(input.shape)} dims")
    # Rows of n elements padded to n + 1 and read back as rows of n + 1 less one put x[i] at (i, i).
    n = input.shape[0]
    column = _core.pad(_core.reshape(input, [n, 1]), [0, n], 0)
    square = _core.reshape(narrow(ravel(column), 0, 0, n * n), [n, n])
    before, after = max(diagonal, 0), max(-diagonal, 0)
    return _core.pad(square, [before, after, after, before], 0)


swapaxes = swapdims = transpose
permute_dims = permute
moveaxis = movedim
concat = concatenate = cat
