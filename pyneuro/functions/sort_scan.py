"""Sorting, selecting the largest, and running sums."""

from __future__ import annotations

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro._typing import DType, ValuesIndices
from pyneuro.functions._common import Default, pick_dim, tensor_method

__all__ = ["cumsum", "cumprod", "sort", "argsort", "topk"]

_LAST = Default(-1)


@tensor_method
def cumsum(
    input: Tensor,
    dim: int | None = None,
    *,
    dtype: DType | None = None,
    axis: int | None = None,
) -> Tensor:
    """Running sum along `dim`.

    Args:
        input: any shape.
        dim: the dim to run along; required (or `axis`).
        dtype: of the result; by default the input's, int64 for integers and bools.
        axis: another name for `dim`.

    >>> pn.cumsum(pn.tensor([1, 2, 3]), dim=0)
    tensor([1, 3, 6])
    """
    dim = pick_dim("cumsum", dim, axis)
    if dim is None:
        raise TypeError("cumsum: dim is required, got None")
    return _core.cumsum(input, dim, dtype)


@tensor_method
def cumprod(input: Tensor, dim: int | None = None, *, dtype: DType | None = None, axis: int | None = None) -> Tensor:
    """Running product along `dim`. See `cumsum`.

    >>> pn.cumprod(pn.tensor([1, 2, 3]), dim=0)
    tensor([1, 2, 6])
    """
    dim = pick_dim("cumprod", dim, axis)
    if dim is None:
        raise TypeError("cumprod: dim is required, got None")
    return _core.cumprod(input, dim, dtype)


@tensor_method
def sort(
    input: Tensor,
    dim: int = _LAST,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: int | None = None,
) -> ValuesIndices:
    """Sort along `dim`; NaN counts as largest.

    Args:
        input: any shape.
        dim: the dim to sort along, by default the last.
        descending: from large to small.
        stable: keep equal elements in their order.
        axis: another name for `dim`.

    Returns:
        `(values, indices)`, with `values = take_along_dim(input, indices, dim)`.

    >>> pn.sort(pn.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    dim = pick_dim("sort", dim, axis)
    return ValuesIndices(*_core.sort(input, dim, descending, stable))


@tensor_method
def argsort(
    input: Tensor,
    dim: int = _LAST,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: int | None = None,
) -> Tensor:
    """The indices (int64) that sort along `dim`.

    >>> pn.argsort(pn.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending, stable, axis=axis).indices


@tensor_method
def topk(
    input: Tensor,
    k: int,
    dim: int = _LAST,
    largest: bool = True,
    sorted: bool = True,
    *,
    axis: int | None = None,
) -> ValuesIndices:
    """The k largest (or smallest) elements along `dim`.

    Args:
        input: any shape with at least k elements along `dim`.
        k: how many.
        dim: the dim to choose along, by default the last.
        largest: False for the smallest.
        sorted: in order; False leaves the order open.
        axis: another name for `dim`.

    >>> pn.topk(pn.tensor([1, 5, 3]), 2).values
    tensor([5, 3])
    """
    return ValuesIndices(*_core.topk(input, k, pick_dim("topk", dim, axis), largest, sorted))
