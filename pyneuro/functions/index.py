"""Choosing elements by index or by mask.

Indices are of any integer dtype; one outside the tensor is an IndexError. Gradients flow to what was chosen from
(and to what was written), added up where an index is repeated.
"""

from __future__ import annotations

from typing import Literal, overload

from pyneuro import _core
from pyneuro._core import Tensor, ops
from pyneuro._typing import TensorOrNumber
from pyneuro.functions._common import composed, elementwise, pick_dim, tensor_method, wrap_dim
from pyneuro.functions.creation import broadcast_shapes

__all__ = [
    "index_select", "gather", "take_along_dim", "take", "scatter", "scatter_add", "masked_fill",
    "masked_select", "nonzero", "argwhere", "one_hot",
]  # fmt: skip


@tensor_method
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of `dim` that a 1-d index names, in its order.

    >>> pn.index_select(pn.tensor([[1, 2], [3, 4], [5, 6]]), 0, pn.tensor([2, 0]))
    tensor([[5, 6],
            [1, 2]])
    """
    return _core.index_select(input, dim, index)


@tensor_method
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """For each place of `index`, the element of `input` at that place with `dim` replaced by the index.

    Args:
        input: as many dims as `index`, and at least as long in every dim but `dim`.
        dim: the dim that is indexed.
        index: integers; the result has its shape.

    >>> pn.gather(pn.tensor([[1, 2], [3, 4]]), 1, pn.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    return _core.gather(input, dim, index)


@tensor_method
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """`gather` with the other dims broadcast together; without `dim` on the flattened tensors.

    >>> x = pn.tensor([[3, 1], [2, 4]])
    >>> pn.take_along_dim(x, pn.argsort(x, dim=1), dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    dim = pick_dim("take_along_dim", dim, axis)
    if dim is None:
        return _core.gather(_core.reshape(input, [-1]), 0, _core.reshape(indices, [-1]))
    ndim = len(input.shape)
    if ndim != len(indices.shape):
        raise ValueError(
            "take_along_dim: input and indices must have as many dims, "
            f"got {tuple(input.shape)} and {tuple(indices.shape)}"
        )
    at = wrap_dim("take_along_dim", dim, ndim)
    # Only the dims that are not indexed broadcast.
    common = list(
        broadcast_shapes(
            [1 if i == at else n for i, n in enumerate(input.shape)],
            [1 if i == at else n for i, n in enumerate(indices.shape)],
        )
    )
    here = [input.shape[at] if i == at else n for i, n in enumerate(common)]
    there = [indices.shape[at] if i == at else n for i, n in enumerate(common)]
    return _core.gather(_core.expand(input, here), at, _core.expand(indices, there))


@tensor_method
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor; the result has the shape of `index`.

    >>> pn.take(pn.tensor([[1, 2], [3, 4]]), pn.tensor([3, 0]))
    tensor([4, 1])
    """
    flat = _core.index_select(_core.reshape(input, [-1]), 0, _core.reshape(index, [-1]))
    return _core.reshape(flat, list(index.shape))


@elementwise
def scatter(input: Tensor, dim: int, index: Tensor, src: TensorOrNumber) -> Tensor:
    """A copy of `input` in which the places that `gather` would read are written from `src`.

    Args:
        input: as many dims as `index`.
        dim: the dim that is indexed.
        index: integers. Where a place is named twice, one of the sources is kept.
        src: at least as long as `index` in every dim, or a number.

    >>> pn.scatter(pn.zeros(2, 3), 1, pn.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    return _core.scatter(input, dim, index, _source(input, index, src))


@elementwise
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """As `scatter`, but sources are added to what stands there.

    >>> pn.scatter_add(pn.zeros(3), 0, pn.tensor([1, 1]), pn.ones(2))
    tensor([0., 2., 0.])
    """
    return _core.scatter_add(input, dim, index, _source(input, index, src))


def _source(input: Tensor, index: Tensor, src: TensorOrNumber) -> Tensor:
    if isinstance(src, Tensor):
        larger = len(src.shape) == len(index.shape) and src.shape != index.shape
        return src[tuple(slice(n) for n in index.shape)] if larger else src
    return _core.full(list(index.shape), src, dtype=input.dtype, device=input.device)


@elementwise
@composed
def masked_fill(input: Tensor, mask: Tensor, value: TensorOrNumber) -> Tensor:
    """Replace elements where the (broadcast) bool mask is true.

    >>> pn.masked_fill(pn.tensor([1.0, 2.0]), pn.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    return _core.masked_fill(input, mask, value)


@tensor_method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the (broadcast) bool mask is true, as a 1-d tensor. On the CPU only.

    >>> pn.masked_select(pn.tensor([1, 2, 3]), pn.tensor([True, False, True]))
    tensor([1, 3])
    """
    return _core.masked_select(input, mask)


@overload
def nonzero(input: Tensor, *, as_tuple: Literal[False] = False) -> Tensor: ...
@overload
def nonzero(input: Tensor, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
@overload
def nonzero(input: Tensor, *, as_tuple: bool) -> Tensor | tuple[Tensor, ...]: ...
@tensor_method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """Where the elements are non-zero: one row of indices each, in row-major order. On the CPU only.

    Args:
        input: any shape.
        as_tuple: one 1-d tensor per dim instead, fit for indexing.

    >>> pn.nonzero(pn.tensor([[0, 5], [6, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    places = _core.nonzero(input)
    if not as_tuple:
        return places
    return tuple(places[:, i] for i in range(places.shape[1]))


@tensor_method
def argwhere(input: Tensor) -> Tensor:
    """`nonzero` under NumPy's name.

    >>> pn.argwhere(pn.tensor([0, 5]))
    tensor([[1]])
    """
    return _core.nonzero(input)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last dim, 1 at the index that stands there and 0 elsewhere, as int64.

    Args:
        tensor: integers >= 0.
        num_classes: length of the new dim; -1 for the largest index + 1.

    >>> pn.one_hot(pn.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.is_floating_point() or tensor.dtype == _core.bool:
        raise TypeError(f"one_hot: an integer tensor is required, got {tensor.dtype}")
    count = tensor.numel()
    if num_classes == -1:
        if count == 0:
            raise ValueError("one_hot: num_classes is required for an empty tensor")
        num_classes = int(_core.amax(tensor).item()) + 1
    if count:
        low, high = (int(f(tensor).item()) for f in (_core.amin, _core.amax))
        if low < 0 or high >= num_classes:
            raise IndexError(f"one_hot: indices must be in [0, {num_classes - 1}], got {low if low < 0 else high}")
    classes = _core.arange(0, num_classes, 1, dtype=tensor.dtype, device=tensor.device)
    column = _core.reshape(tensor, [*tensor.shape, 1])
    return ops["eq"](column, classes).to(_core.int64)
