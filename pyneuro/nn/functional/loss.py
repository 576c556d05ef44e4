"""Loss functions. `reduction` is "mean", "sum" or "none" (the loss of each element)."""

from __future__ import annotations

import warnings

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions import where
from pyneuro.functions._common import composed
from pyneuro.nn.functional.activation import log_softmax, logsigmoid
from pyneuro.nn.functional.checks import check_tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_similarity",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def _reduce(op: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def _warn_shapes(op: str, input: Tensor, target: Tensor) -> None:
    """Broadcasting here nearly always means a forgotten dimension, and quietly trains nonsense."""
    check_tensor(op, "input", input)
    check_tensor(op, "target", target)
    if input.shape != target.shape:
        warnings.warn(
            f"{op}: input and target should have the same shape, got {tuple(input.shape)} and {tuple(target.shape)}; "
            "they are broadcast",
            stacklevel=4,
        )


def _require_shapes(op: str, input: Tensor, target: Tensor) -> None:
    check_tensor(op, "input", input)
    check_tensor(op, "target", target)
    if input.shape != target.shape:
        raise ValueError(f"{op}: target must have the shape of input {tuple(input.shape)}, got {tuple(target.shape)}")


@composed
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)^2."""
    _warn_shapes("mse_loss", input, target)
    return _reduce("mse_loss", (input - target).square(), reduction)


@composed
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|."""
    _warn_shapes("l1_loss", input, target)
    return _reduce("l1_loss", (input - target).abs(), reduction)


@composed
def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    _warn_shapes("smooth_l1_loss", input, target)
    distance = (input - target).abs()
    if beta == 0:
        return _reduce("smooth_l1_loss", distance, reduction)
    loss = where(distance < beta, distance.square() * (0.5 / beta), distance - 0.5 * beta)
    return _reduce("smooth_l1_loss", loss, reduction)


@composed
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where d = |input - target| <= delta, else delta (d - delta / 2)."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    _warn_shapes("huber_loss", input, target)
    distance = (input - target).abs()
    loss = where(distance <= delta, 0.5 * distance.square(), delta * (distance - 0.5 * delta))
    return _reduce("huber_loss", loss, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of `target` under softmax(input): give logits, not probabilities.

    Args:
        input: logits (N, C), (C), or (N, C, d1, ...).
        target: class indices of any integer dtype and shape (N), () or (N, d1, ...); or probabilities, shaped as input.
        weight: a factor for each class (C); the mean over indices is then divided by the sum of the factors.
        ignore_index: targets with this index count nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: mixes the target with the uniform distribution, 0 to 1.

    >>> pn.nn.functional.cross_entropy(pn.zeros(3, 10), pn.tensor([1, 2, 3])).item()  # log(10)
    2.302585...
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    check_tensor("cross_entropy", "target", target)
    if not target.dtype.is_floating_point:
        return _core.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)

    _require_shapes("cross_entropy", input, target)
    class_dim = 1 if input.ndim > 1 else 0
    classes = input.shape[class_dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    scores = log_softmax(input, class_dim)
    if weight is not None:
        scores = scores * weight.reshape(-1, *[1] * (input.ndim - class_dim - 1))
    loss = -(target * scores).sum(class_dim)
    return _reduce("cross_entropy", loss, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The negative of input at each target class; input holds log-probabilities.

    Shapes: input (N, C), (C) or (N, C, d1, ...), target (N), () or (N, d1, ...), weight (C).
    """
    return _core.nll_loss(input, target, weight, ignore_index, reduction)


@composed
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(t log(p) + (1 - t) log(1 - p)) for probabilities p = input; the logarithms are kept above -100.

    A p outside of [0, 1] is a ValueError on the CPU; on the GPU, where looking for it would wait, the loss is NaN.
    """
    _require_shapes("binary_cross_entropy", input, target)
    if input.device.type == "cpu" and input.numel():
        low, high = input.detach().amin().item(), input.detach().amax().item()
        if low < 0 or high > 1:
            raise ValueError(f"binary_cross_entropy: input must be between 0 and 1, got {low if low < 0 else high}")
    # Where a logarithm is infinite, 1 or 0 takes p's place before it, so that its infinite slope enters no gradient.
    zero, one = input == 0, input == 1
    log_p = where(zero, -100.0, where(zero, 1.0, input).log()).clamp(min=-100.0)
    log_not_p = where(one, -100.0, (-where(one, 0.0, input)).log1p()).clamp(min=-100.0)
    loss = -(target * log_p + (1.0 - target) * log_not_p)
    if weight is not None:
        loss = loss * weight
    return _reduce("binary_cross_entropy", loss, reduction)


@composed
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without underflow; `pos_weight` multiplies the positive part."""
    _require_shapes("binary_cross_entropy_with_logits", input, target)
    log_p = logsigmoid(input)
    log_not_p = log_p - input  # log(1 - sigmoid(x)) = logsigmoid(-x) = logsigmoid(x) - x
    positive = target * log_p if pos_weight is None else pos_weight * target * log_p
    loss = -(positive + (1.0 - target) * log_not_p)
    if weight is not None:
        loss = loss * weight
    return _reduce("binary_cross_entropy_with_logits", loss, reduction)


@composed
def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log(target) - input), where input holds log-probabilities, and target too if `log_target`.

    `reduction` may also be "batchmean": the sum divided by the batch size, which is the mathematical KL divergence.
    """
    check_tensor("kl_div", "input", input)
    check_tensor("kl_div", "target", target)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0  # 0 log(0) counts as 0
        loss = target * (where(positive, target, 1.0).log() - input)
    if reduction == "batchmean":
        return loss.sum() / max(input.shape[0] if input.ndim else 1, 1)
    return _reduce("kl_div", loss, reduction)


@composed
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    check_tensor("cosine_similarity", "x1", x1)
    check_tensor("cosine_similarity", "x2", x2)
    norms = x1.norm(2, dim).clamp(min=eps) * x2.norm(2, dim).clamp(min=eps)
    return (x1 * x2).sum(dim) / norms
