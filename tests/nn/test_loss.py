"""Losses against their formulas, reductions, edge cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyneuro as pn
import pyneuro.nn.functional as F
from pyneuro import nn

Array = npt.NDArray[Any]

rng = np.random.default_rng(0)
A, B = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
P, T = rng.uniform(0.05, 0.95, (4, 3)), rng.uniform(0, 1, (4, 3))


def tensors(*arrays: Array) -> list[pn.Tensor]:
    return [pn.tensor(a) for a in arrays]


def log_softmax(x: Array, axis: int = 1) -> Array:
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def huber(d: Array, delta: float) -> Array:
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


CASES: list[tuple[Any, Array, Array, Array]] = [
    (nn.MSELoss, A, B, (A - B) ** 2),
    (nn.L1Loss, A, B, np.abs(A - B)),
    (lambda reduction: nn.SmoothL1Loss(reduction, beta=0.5), A, B, huber(np.abs(A - B), 0.5) / 0.5),
    (lambda reduction: nn.SmoothL1Loss(reduction, beta=0.0), A, B, np.abs(A - B)),
    (lambda reduction: nn.HuberLoss(reduction, delta=0.7), A, B, huber(np.abs(A - B), 0.7)),
    (
        lambda reduction: nn.BCELoss(reduction=reduction),
        P,
        T,
        -(T * np.log(P) + (1 - T) * np.log(1 - P)),
    ),
    (
        lambda reduction: nn.BCELoss(weight=pn.tensor([1.0, 2.0, 3.0], dtype=pn.float64), reduction=reduction),
        P,
        T,
        -(T * np.log(P) + (1 - T) * np.log(1 - P)) * [1, 2, 3],
    ),
    (
        lambda reduction: nn.BCEWithLogitsLoss(reduction=reduction),
        A,
        T,
        np.log1p(np.exp(-A)) * T + np.log1p(np.exp(A)) * (1 - T),
    ),
    (
        lambda reduction: nn.BCEWithLogitsLoss(
            reduction=reduction, pos_weight=pn.tensor([1.0, 2.0, 3.0], dtype=pn.float64)
        ),
        A,
        T,
        np.log1p(np.exp(-A)) * T * [1, 2, 3] + np.log1p(np.exp(A)) * (1 - T),
    ),
    (lambda reduction: nn.KLDivLoss(reduction), np.log(P), T, T * (np.log(T) - np.log(P))),
    (
        lambda reduction: nn.KLDivLoss(reduction, log_target=True),
        np.log(P),
        np.log(T),
        T * (np.log(T) - np.log(P)),
    ),
]


@pytest.mark.parametrize(("make", "input", "target", "expected"), CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_elementwise_losses(make: Any, input: Array, target: Array, expected: Array, reduction: str) -> None:
    loss = make(reduction=reduction) if isinstance(make, type) else make(reduction)
    actual = loss(*tensors(input, target))
    reduce = {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction]
    np.testing.assert_allclose(actual.numpy(), reduce(expected), rtol=1e-11)


@pytest.mark.parametrize(("make", "input", "target", "expected"), CASES)
def test_elementwise_gradients(make: Any, input: Array, target: Array, expected: Array) -> None:
    loss = make(reduction="sum") if isinstance(make, type) else make("sum")
    x = pn.tensor(input, requires_grad=True)
    loss(x, pn.tensor(target)).backward()
    assert x.grad is not None
    numeric, step = np.empty_like(input), 1e-6
    for at in np.ndindex(input.shape):
        up, down = input.copy(), input.copy()
        up[at] += step
        down[at] -= step
        numeric[at] = (loss(*tensors(up, target)) - loss(*tensors(down, target))).item() / (2 * step)
    np.testing.assert_allclose(x.grad.numpy(), numeric, rtol=1e-6, atol=1e-7)


def test_kl_div_batchmean_and_zero_targets() -> None:
    input, target = tensors(np.log(P), np.where(T > 0.5, T, 0.0))
    terms = np.where(T > 0.5, T * (np.log(T) - np.log(P)), 0)
    np.testing.assert_allclose(F.kl_div(input, target, "batchmean").item(), terms.sum() / 4)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none, batchmean, got 'max'"):
        nn.KLDivLoss("max")


def test_bce_of_certain_predictions() -> None:
    x = pn.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    losses = F.binary_cross_entropy(x, pn.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    assert losses.tolist() == [0.0, 0.0, 100.0, 100.0]
    losses.sum().backward()
    assert x.grad is not None and np.isfinite(x.grad.numpy()).all()


def test_bce_with_extreme_logits() -> None:
    x = pn.tensor([-1e4, 1e4, 1e4], requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(x, pn.tensor([0.0, 1.0, 0.0]), reduction="none")
    assert losses.tolist() == [0.0, 0.0, 1e4]
    losses.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0, 1.0]


# ---- classification --------------------------------------------------------------------------

LOGITS, CLASSES = rng.standard_normal((6, 4)), np.array([0, 3, 2, 2, 1, 0])
WEIGHT = np.array([0.5, 1.0, 2.0, 4.0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore", [-100, 2])
def test_cross_entropy(reduction: str, weighted: bool, smoothing: float, ignore: int) -> None:
    weight = WEIGHT if weighted else np.ones(4)
    scores = log_softmax(LOGITS) * weight
    rows = np.arange(6)
    kept = ignore != CLASSES
    terms = -(1 - smoothing) * scores[rows, CLASSES] - smoothing / 4 * scores.sum(1)
    terms = np.where(kept, terms, 0)
    expected = {
        "none": terms,
        "sum": terms.sum(),
        "mean": terms.sum() / (weight[CLASSES] * kept).sum(),
    }[reduction]
    loss = nn.CrossEntropyLoss(
        weight=pn.tensor(WEIGHT) if weighted else None,
        ignore_index=ignore,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(loss(*tensors(LOGITS, CLASSES)).numpy(), expected, rtol=1e-11)


def test_cross_entropy_gradient_is_probability_minus_target() -> None:
    x = pn.tensor(LOGITS, requires_grad=True)
    F.cross_entropy(x, pn.tensor(CLASSES), reduction="sum").backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.exp(log_softmax(LOGITS)) - np.eye(4)[CLASSES], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_probabilities(weighted: bool) -> None:
    target = np.exp(log_softmax(rng.standard_normal((6, 4))))
    weight = WEIGHT if weighted else np.ones(4)
    smooth = target * 0.9 + 0.1 / 4
    terms = -(smooth * log_softmax(LOGITS) * weight).sum(1)
    loss = nn.CrossEntropyLoss(weight=pn.tensor(WEIGHT) if weighted else None, label_smoothing=0.1)
    np.testing.assert_allclose(loss(*tensors(LOGITS, target)).item(), terms.mean(), rtol=1e-11)


def test_cross_entropy_over_positions_and_without_a_batch() -> None:
    logits, classes = rng.standard_normal((2, 4, 3, 5)), rng.integers(0, 4, (2, 3, 5))
    scores = log_softmax(logits)
    expected = -np.take_along_axis(scores, classes[:, None], 1)[:, 0]
    actual = F.cross_entropy(*tensors(logits, classes), reduction="none")
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-11)
    single = F.cross_entropy(pn.tensor(LOGITS[0]), pn.tensor(3))
    np.testing.assert_allclose(single.item(), -log_softmax(LOGITS)[0, 3], rtol=1e-11)
    np.testing.assert_allclose(F.nll_loss(pn.tensor(scores), pn.tensor(classes)).item(), expected.mean(), rtol=1e-11)


def test_nll_loss() -> None:
    scores = log_softmax(LOGITS)
    expected = -(scores[np.arange(6), CLASSES] * WEIGHT[CLASSES]).sum() / WEIGHT[CLASSES].sum()
    loss = nn.NLLLoss(weight=pn.tensor(WEIGHT))
    np.testing.assert_allclose(loss(*tensors(scores, CLASSES)).item(), expected, rtol=1e-11)


def test_integer_targets_of_any_width() -> None:
    x = pn.tensor(LOGITS)
    expected = F.cross_entropy(x, pn.tensor(CLASSES)).item()
    for dtype in (pn.uint8, pn.int32):
        assert F.cross_entropy(x, pn.tensor(CLASSES, dtype=dtype)).item() == expected


def test_class_weights_move_with_the_loss() -> None:
    loss = nn.CrossEntropyLoss(weight=pn.tensor([1.0, 2.0])).double()
    assert loss.weight is not None and loss.weight.dtype == pn.float64


# ---- errors ----------------------------------------------------------------------------------


def test_broadcasting_losses_warn() -> None:
    with pytest.warns(
        UserWarning,
        match=r"mse_loss: input and target should have the same shape, got \(3, 1\) and \(3,\)",
    ):
        F.mse_loss(pn.zeros(3, 1), pn.zeros(3))


def test_bce_of_impossible_probabilities() -> None:
    for p in (1.5, -0.5):
        with pytest.raises(ValueError, match=f"binary_cross_entropy: input must be between 0 and 1, got {p}"):
            F.binary_cross_entropy(pn.tensor([0.5, p]), pn.tensor([1.0, 1.0]))


def test_bce_of_small_probabilities() -> None:
    p = pn.tensor([1e-9])
    assert F.binary_cross_entropy(p, pn.zeros(1)).item() == p.item(), "log(1 - p) = -p keeps its digits"


def test_errors() -> None:
    with pytest.raises(TypeError, match="mse_loss: target must be a Tensor, got list"):
        F.mse_loss(pn.zeros(1), [0.0])  # type: ignore[arg-type]
    with pytest.raises(
        ValueError,
        match=r"binary_cross_entropy: target must have the shape of input \(2,\), got \(3,\)",
    ):
        F.binary_cross_entropy(pn.zeros(2), pn.zeros(3))
    with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1, got 2"):
        F.cross_entropy(pn.zeros(1, 2), pn.tensor([0]), label_smoothing=2)
    with pytest.raises(ValueError, match="mse_loss: reduction must be 'mean', 'sum' or 'none', got 'max'"):
        F.mse_loss(pn.zeros(1), pn.zeros(1), reduction="max")
    with pytest.raises(ValueError, match="huber_loss: delta must be positive, got 0"):
        F.huber_loss(pn.zeros(1), pn.zeros(1), delta=0)
    with pytest.raises(ValueError, match=r"cross_entropy: target must have the shape of input \(2, 3\), got \(2,\)"):
        F.cross_entropy(pn.zeros(2, 3), pn.zeros(2))
    with pytest.raises((ValueError, IndexError), match="cross_entropy"):
        F.cross_entropy(pn.zeros(2, 3), pn.tensor([0, 3]))
