"""Products of vectors and matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyneuro import _core
from pyneuro._core import Tensor, ops
from pyneuro._typing import Number
from pyneuro.functions._common import composed, tensor_method, wrap_dim
from pyneuro.functions.movement import diagonal

__all__ = [
    "matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger", "addmm", "addmv", "baddbmm",
    "tensordot", "trace",
]  # fmt: skip


def _need(op: str, what: str, ok: bool, *tensors: Tensor) -> None:
    if not ok:
        shapes = " and ".join(str(tuple(x.shape)) for x in tensors)
        raise ValueError(f"{op}: {what} required, got {shapes}")


@tensor_method
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """`@`: the matrix product.

    Args:
        input: (..., n, k), or a vector (k).
        other: (..., k, m), or a vector (k). Leading dims broadcast. A vector counts as a row on the left and
            as a column on the right, and that dim vanishes from the result.

    >>> pn.matmul(pn.tensor([[1.0, 2.0], [3.0, 4.0]]), pn.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return _core.matmul(input, other)


@tensor_method
@composed
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """(n, k) by (k, m) gives (n, m).

    >>> pn.mm(pn.tensor([[1, 2]]), pn.tensor([[3], [4]]))
    tensor([[11]])
    """
    _need("mm", "two matrices are", len(input.shape) == len(mat2.shape) == 2, input, mat2)
    return _core.matmul(input, mat2)


@tensor_method
@composed
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """(b, n, k) by (b, k, m) gives (b, n, m).

    >>> pn.bmm(pn.ones(2, 3, 4), pn.ones(2, 4, 5)).shape
    (2, 3, 5)
    """
    ok = len(input.shape) == len(mat2.shape) == 3 and input.shape[0] == mat2.shape[0]
    _need("bmm", "two 3-d tensors of one batch size are", ok, input, mat2)
    return _core.matmul(input, mat2)


@tensor_method
@composed
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """(n, k) by (k) gives (n).

    >>> pn.mv(pn.tensor([[1, 2], [3, 4]]), pn.tensor([1, 1]))
    tensor([3, 7])
    """
    _need("mv", "a matrix and a vector are", len(input.shape) == 2 and len(vec.shape) == 1, input, vec)
    return _core.matmul(input, vec)


@tensor_method
@composed
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Σ input · tensor of two vectors of one length.

    >>> pn.dot(pn.tensor([1, 2]), pn.tensor([3, 4]))
    tensor(11)
    """
    _need("dot", "two vectors are", len(input.shape) == len(tensor.shape) == 1, input, tensor)
    return _core.matmul(input, tensor)


@tensor_method
@composed
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sum of products over the last dim of both; a 0-d operand multiplies.

    >>> pn.inner(pn.tensor([[1, 2], [3, 4]]), pn.tensor([1, 1]))
    tensor([3, 7])
    """
    if len(input.shape) == 0 or len(other.shape) == 0:
        return ops["mul"](input, other)
    return tensordot(input, other, ([-1], [-1]))


@tensor_method
@composed
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors: (n) and (m) give (n, m).

    >>> pn.outer(pn.tensor([1, 2]), pn.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    _need("outer", "two vectors are", len(input.shape) == len(vec2.shape) == 1, input, vec2)
    return ops["mul"](_core.reshape(input, [-1, 1]), vec2)


def _scaled_sum(input: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    if alpha != 1:
        product = ops["mul"](product, alpha)
    if beta == 0:  # as in torch: NaN in the input does not reach the result
        return product
    return ops["add"](input if beta == 1 else ops["mul"](input, beta), product)


@tensor_method
@composed
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta · input + alpha · (mat1 @ mat2); `input` broadcasts.

    >>> pn.addmm(pn.tensor([1, 1]), pn.tensor([[1, 2]]), pn.tensor([[1, 0], [0, 1]]))
    tensor([[2, 3]])
    """
    return _scaled_sum(input, mm(mat1, mat2), beta, alpha)


@tensor_method
@composed
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta · input + alpha · (mat @ vec).

    >>> pn.addmv(pn.tensor([1]), pn.tensor([[1, 2]]), pn.tensor([3, 4]))
    tensor([12])
    """
    return _scaled_sum(input, mv(mat, vec), beta, alpha)


@tensor_method
@composed
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta · input + alpha · (batch1 @ batch2), matrix by matrix.

    >>> pn.baddbmm(pn.zeros(2, 3, 5), pn.ones(2, 3, 4), pn.ones(2, 4, 5)).sum()
    tensor(120.)
    """
    return _scaled_sum(input, bmm(batch1, batch2), beta, alpha)


@composed
def tensordot(a: Tensor, b: Tensor, dims: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Sum of products over chosen dims of both.

    Args:
        a: left tensor; its other dims come first in the result.
        b: right tensor; its other dims follow.
        dims: (dims of a, dims of b), or n for the last n of a and the first n of b.

    >>> pn.tensordot(pn.ones(2, 3, 4), pn.ones(3, 4, 5)).shape
    (2, 5)
    """
    if isinstance(dims, int):
        enough = 0 <= dims <= min(len(a.shape), len(b.shape))
        _need("tensordot", f"two tensors of at least {dims} dims are", enough, a, b)
        left, right = list(range(len(a.shape) - dims, len(a.shape))), list(range(dims))
    else:
        left = [wrap_dim("tensordot", d, len(a.shape)) for d in dims[0]]
        right = [wrap_dim("tensordot", d, len(b.shape)) for d in dims[1]]
    summed = [a.shape[d] for d in left]
    matching = summed == [b.shape[d] for d in right]
    _need("tensordot", f"equal lengths in dims {left} and {right} are", matching, a, b)
    rows = [d for d in range(len(a.shape)) if d not in left]
    columns = [d for d in range(len(b.shape)) if d not in right]
    shape = [a.shape[d] for d in rows] + [b.shape[d] for d in columns]
    n, k, m = math.prod(shape[: len(rows)]), math.prod(summed), math.prod(shape[len(rows) :])
    matrix = _core.reshape(_core.permute(a, rows + left), [n, k])
    other = _core.reshape(_core.permute(b, right + columns), [k, m])
    return _core.reshape(_core.matmul(matrix, other), shape)


@tensor_method
@composed
def trace(input: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix.

    >>> pn.trace(pn.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    _need("trace", "a matrix is", len(input.shape) == 2, input)
    return _core.sum(diagonal(input))


vdot = dot
ger = outer
