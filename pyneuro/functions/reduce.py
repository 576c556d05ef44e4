"""Reductions: sums, extremes, moments, norms.

`dim` is one dim or several (NumPy's `axis` is accepted; giving both is a TypeError), counted from the
end where negative; None reduces all. Reduced dims vanish, or stay with length 1 where `keepdim` (or
`keepdims`) is true. A dim outside the tensor is an IndexError. Sums are blocked in a fixed order, so a
result never depends on the number of threads; float16 and bfloat16 accumulate in float32.
"""

from __future__ import annotations

import math
from typing import overload

from pyneuro import _core
from pyneuro._core import Tensor, ops
from pyneuro._typing import Dims, DType, Number, ValuesIndices
from pyneuro.functions._common import composed, pick_dim, pick_dims, pick_keepdim, tensor_method

__all__ = [
    "sum", "mean", "prod", "max", "min", "amax", "amin", "aminmax", "argmax", "argmin",
    "var", "std", "var_mean", "std_mean", "any", "all", "count_nonzero", "norm", "logsumexp",
    "softmax", "log_softmax",
]  # fmt: skip


@tensor_method
def sum(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Sum over `dim`.

    Args:
        input: any shape; the sum of no elements is 0.
        dim: dims to sum over, None for all.
        keepdim: keep the reduced dims with length 1.
        dtype: of the sum (the input is converted first); by default the input's, int64 for integers and bools.
        axis: another name for `dim`.
        keepdims: another name for `keepdim`.

    >>> pn.sum(pn.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    keepdim = pick_keepdim("sum", keepdim, keepdims)
    return _core.sum(input, pick_dims("sum", dim, axis), keepdim, dtype)


@tensor_method
def mean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Mean over `dim`; NaN of no elements. Integers need `dtype`, as in torch.

    >>> pn.mean(pn.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5000, 3.5000])
    """
    keepdim = pick_keepdim("mean", keepdim, keepdims)
    return _core.mean(input, pick_dims("mean", dim, axis), keepdim, dtype)


@tensor_method
def prod(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Product over `dim`; 1 of no elements. The gradient is right where elements are 0.

    >>> pn.prod(pn.tensor([[1, 2], [3, 4]]), dim=1)
    tensor([ 2, 12])
    """
    keepdim = pick_keepdim("prod", keepdim, keepdims)
    return _core.prod(input, pick_dims("prod", dim, axis), keepdim, dtype)


@overload
def max(
    input: Tensor,
    dim: Tensor | None = None,
    keepdim: bool = False,
    *,
    axis: None = None,
    keepdims: bool | None = None,
) -> Tensor: ...
@overload
def max(
    input: Tensor,
    dim: int,
    keepdim: bool = False,
    *,
    axis: None = None,
    keepdims: bool | None = None,
) -> ValuesIndices: ...
@overload
def max(
    input: Tensor,
    dim: None = None,
    keepdim: bool = False,
    *,
    axis: int,
    keepdims: bool | None = None,
) -> ValuesIndices: ...
@tensor_method
def max(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor | ValuesIndices:
    """The largest element: of all, or along one `dim` with where it stands.

    Args:
        input: any shape with at least one element to choose from; NaN counts as largest.
        dim: None for the largest of all (a 0-d tensor); a dim for `(values, indices)`, where the first of equals
            is chosen and receives the gradient; or a tensor, for `maximum(input, dim)`.
        keepdim: keep the reduced dim with length 1.
        axis: another name for `dim`.
        keepdims: another name for `keepdim`.

    >>> pn.max(pn.tensor([[1, 5], [7, 2]]))
    tensor(7)
    >>> pn.max(pn.tensor([[1, 5], [7, 2]]), dim=1).indices
    tensor([1, 0])
    """
    dim = pick_dim("max", dim, axis)
    keepdim = pick_keepdim("max", keepdim, keepdims)
    if isinstance(dim, Tensor):
        return ops["maximum"](input, dim)
    if dim is None:
        return _core.amax(input, None, keepdim)
    return ValuesIndices(*_core.max_dim(input, dim, keepdim))


@overload
def min(
    input: Tensor,
    dim: Tensor | None = None,
    keepdim: bool = False,
    *,
    axis: None = None,
    keepdims: bool | None = None,
) -> Tensor: ...
@overload
def min(
    input: Tensor,
    dim: int,
    keepdim: bool = False,
    *,
    axis: None = None,
    keepdims: bool | None = None,
) -> ValuesIndices: ...
@overload
def min(
    input: Tensor,
    dim: None = None,
    keepdim: bool = False,
    *,
    axis: int,
    keepdims: bool | None = None,
) -> ValuesIndices: ...
@tensor_method
def min(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor | ValuesIndices:
    """The smallest element: of all, or along one `dim` with where it stands. See `max`.

    >>> pn.min(pn.tensor([[1, 5], [7, 2]]), dim=1).values
    tensor([1, 2])
    """
    dim = pick_dim("min", dim, axis)
    keepdim = pick_keepdim("min", keepdim, keepdims)
    if isinstance(dim, Tensor):
        return ops["minimum"](input, dim)
    if dim is None:
        return _core.amin(input, None, keepdim)
    return ValuesIndices(*_core.min_dim(input, dim, keepdim))


@tensor_method
def amax(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The largest element over `dim`; equal elements share the gradient evenly.

    >>> pn.amax(pn.tensor([[1, 5], [7, 2]]), dim=0)
    tensor([7, 5])
    """
    keepdim = pick_keepdim("amax", keepdim, keepdims)
    return _core.amax(input, pick_dims("amax", dim, axis), keepdim)


@tensor_method
def amin(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The smallest element over `dim`; equal elements share the gradient evenly.

    >>> pn.amin(pn.tensor([[1, 5], [7, 2]]), dim=0)
    tensor([1, 2])
    """
    keepdim = pick_keepdim("amin", keepdim, keepdims)
    return _core.amin(input, pick_dims("amin", dim, axis), keepdim)


@tensor_method
@composed
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """`(amin, amax)` over one dim, or over all.

    >>> low, high = pn.aminmax(pn.tensor([3, 1, 2]))
    >>> low.item(), high.item()
    (1, 3)
    """
    return amin(input, dim, keepdim), amax(input, dim, keepdim)


@tensor_method
def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Index (int64) of the largest element along `dim`, or in the flattened tensor; the first of equals.

    >>> pn.argmax(pn.tensor([[1, 5], [7, 2]]), dim=1)
    tensor([1, 0])
    """
    keepdim = pick_keepdim("argmax", keepdim, keepdims)
    return _core.argmax(input, pick_dim("argmax", dim, axis), keepdim)


@tensor_method
def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Index (int64) of the smallest element along `dim`, or in the flattened tensor; the first of equals.

    >>> pn.argmin(pn.tensor([[1, 5], [7, 2]]))
    tensor(0)
    """
    keepdim = pick_keepdim("argmin", keepdim, keepdims)
    return _core.argmin(input, pick_dim("argmin", dim, axis), keepdim)


@tensor_method
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Variance over `dim`.

    Args:
        input: floating point.
        dim: dims to reduce, None for all.
        unbiased: True for `correction=1`, False for `correction=0`.
        keepdim: keep the reduced dims with length 1.
        correction: the sum of squares is divided by n - correction (1 by default; NaN where n is too small).
        axis: another name for `dim`.
        keepdims: another name for `keepdim`.

    >>> pn.var(pn.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    >>> pn.var(pn.tensor([1.0, 2.0, 3.0, 4.0]), correction=0)
    tensor(1.2500)
    """
    if isinstance(dim, bool):  # torch's var(unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError("var: unbiased and correction say the same thing, got both")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    keepdim = pick_keepdim("var", keepdim, keepdims)
    return _core.var(input, pick_dims("var", dim, axis), float(correction), keepdim)


@tensor_method
@composed
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Standard deviation over `dim`: the square root of `var`, with its arguments.

    >>> pn.std(pn.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    variance = var(input, dim, unbiased, keepdim, correction=correction, axis=axis, keepdims=keepdims)
    return ops["sqrt"](variance)


@composed
def var_mean(
    input: Tensor, dim: Dims = None, *, correction: Number = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """`(var, mean)` over `dim`.

    >>> variance, mean = pn.var_mean(pn.tensor([1.0, 2.0, 3.0]))
    >>> variance.item(), mean.item()
    (1.0, 2.0)
    """
    return var(input, dim, None, keepdim, correction=correction), mean(input, dim, keepdim)


@composed
def std_mean(
    input: Tensor, dim: Dims = None, *, correction: Number = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """`(std, mean)` over `dim`.

    >>> deviation, mean = pn.std_mean(pn.tensor([1.0, 2.0, 3.0]))
    >>> deviation.item(), mean.item()
    (1.0, 2.0)
    """
    return std(input, dim, None, keepdim, correction=correction), mean(input, dim, keepdim)


@tensor_method
def any(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Whether any element over `dim` is non-zero; False of none.

    >>> pn.any(pn.tensor([[False, True], [False, False]]), dim=1)
    tensor([ True, False])
    """
    keepdim = pick_keepdim("any", keepdim, keepdims)
    return _core.any(input, pick_dims("any", dim, axis), keepdim)


@tensor_method
def all(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Whether every element over `dim` is non-zero; True of none.

    >>> pn.all(pn.tensor([[True, True], [False, True]]), dim=1)
    tensor([ True, False])
    """
    keepdim = pick_keepdim("all", keepdim, keepdims)
    return _core.all(input, pick_dims("all", dim, axis), keepdim)


@tensor_method
@composed
def count_nonzero(input: Tensor, dim: Dims = None, *, axis: Dims = None) -> Tensor:
    """How many elements over `dim` are non-zero, as int64.

    >>> pn.count_nonzero(pn.tensor([[0, 1], [2, 3]]), dim=1)
    tensor([1, 2])
    """
    return sum(ops["ne"](input, 0), dim, axis=axis)


@tensor_method
@composed
def norm(
    input: Tensor,
    p: Number | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The p-norm over `dim`, (Σ |x|ᵖ)^(1/p).

    Args:
        input: floating point, any shape.
        p: the order; "fro" and None mean 2, inf and -inf the largest and smallest |x|, 0 counts the non-zeros.
        dim: dims to reduce, None for all.
        keepdim: keep the reduced dims with length 1.
        dtype: to convert the input to first.
        axis: another name for `dim`.
        keepdims: another name for `keepdim`.

    The gradient of the 2-norm at 0 is 0.

    >>> pn.norm(pn.tensor([3.0, 4.0]))
    tensor(5.)
    >>> pn.norm(pn.tensor([[1.0, -2.0], [3.0, 4.0]]), p=1, dim=1)
    tensor([3., 7.])
    """
    if isinstance(p, str) and p != "fro":
        raise ValueError(f'norm: p must be a number or "fro", got {p!r}')
    dim = pick_dims("norm", dim, axis)
    keepdim = pick_keepdim("norm", keepdim, keepdims)
    if dtype is not None:
        input = input.to(dtype)
    if not input.is_floating_point():
        raise TypeError(f"norm: a floating-point tensor is required, got {input.dtype}")
    order = 2.0 if p is None or isinstance(p, str) else float(p)
    if order == 2.0:
        total = _core.sum(ops["square"](input), dim, keepdim)
        zero = ops["eq"](total, 0.0)  # where the square root has no slope, and the norm gets the gradient 0
        return ops["where"](zero, 0.0, ops["sqrt"](ops["where"](zero, 1.0, total)))
    if order == 0.0:
        return sum(ops["ne"](input, 0).to(input.dtype), dim, keepdim)
    magnitude = ops["abs"](input)
    if order == math.inf:
        return _core.amax(magnitude, dim, keepdim)
    if order == -math.inf:
        return _core.amin(magnitude, dim, keepdim)
    if order == 1.0:
        return sum(magnitude, dim, keepdim)
    return ops["pow"](sum(ops["pow"](magnitude, order), dim, keepdim), 1.0 / order)


@tensor_method
@composed
def logsumexp(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool | None = None,
) -> Tensor:
    """log Σ exp(x) over `dim`, without overflow.

    >>> pn.logsumexp(pn.tensor([1000.0, 1000.0]), dim=0)
    tensor(1000.6932)
    """
    dims = pick_dims("logsumexp", dim, axis)
    keepdim = pick_keepdim("logsumexp", keepdim, keepdims)
    if input.numel() == 0:  # there is no maximum, and nothing to overflow
        return ops["log"](_core.sum(ops["exp"](input), dims, keepdim))
    # Shifting by the maximum changes nothing mathematically, so no gradient flows through it; an infinite
    # maximum is not subtracted, because inf - inf is NaN.
    shift = _core.amax(input.detach(), dims, True)
    shift = ops["where"](ops["isfinite"](shift), shift, 0.0)
    total = ops["log"](_core.sum(ops["exp"](ops["sub"](input, shift)), dims, keepdim))
    if not keepdim:
        shift = shift.reshape(total.shape)
    return ops["add"](total, shift)


@tensor_method
def softmax(input: Tensor, dim: int | None = None, *, dtype: DType | None = None, axis: int | None = None) -> Tensor:
    """exp(x) divided by its sum along `dim`, without overflow.

    Args:
        input: floating point, any shape.
        dim: required (or `axis`): which dim sums to 1.
        dtype: to convert the input to first.
        axis: another name for `dim`.

    >>> pn.softmax(pn.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    dim = pick_dim("softmax", dim, axis)
    if dim is None:
        raise TypeError("softmax: dim is required, got None")
    return _core.softmax(input if dtype is None else input.to(dtype), dim)


@tensor_method
def log_softmax(
    input: Tensor, dim: int | None = None, *, dtype: DType | None = None, axis: int | None = None
) -> Tensor:
    """log(softmax(x)), exact where softmax is near 0. See `softmax`.

    >>> pn.log_softmax(pn.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    dim = pick_dim("log_softmax", dim, axis)
    if dim is None:
        raise TypeError("log_softmax: dim is required, got None")
    return _core.log_softmax(input if dtype is None else input.to(dtype), dim)
