"""Activation layers: values, gradients by finite differences, in-place forms, repr."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyneuro as pn
import pyneuro.nn.functional as F
from pyneuro import nn

Array = npt.NDArray[np.float64]

# No value of the grid is a corner of any of the functions.
X = np.linspace(-7.3, 7.1, 48).reshape(6, 8)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def phi(x: Array) -> Array:
    return np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))(x)


def softplus(x: Array) -> Array:
    return np.log1p(np.exp(x))


def softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


CASES: list[tuple[nn.Module, Callable[[Array], Array]]] = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.Hardtanh(-2.0, 3.0), lambda x: np.clip(x, -2, 3)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.PReLU(dtype=pn.float64), lambda x: np.where(x > 0, x, 0.25 * x)),
    (nn.PReLU(8, init=0.1, dtype=pn.float64), lambda x: np.where(x > 0, x, 0.1 * x)),
    (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    (nn.CELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
    (
        nn.SELU(),
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    ),
    (nn.GELU(), lambda x: x * phi(x)),
    (
        nn.GELU("tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.Mish(), lambda x: x * np.tanh(softplus(x))),
    (nn.Softplus(), softplus),
    (nn.Softplus(beta=2.0, threshold=5.0), lambda x: np.where(2 * x > 5, x, softplus(2 * x) / 2)),
    (nn.Softsign(), lambda x: x / (1 + np.abs(x))),
    (nn.Sigmoid(), sigmoid),
    (nn.LogSigmoid(), lambda x: -softplus(-x)),
    (nn.Tanh(), np.tanh),
    (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6),
    (nn.Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (nn.Hardshrink(1.0), lambda x: np.where(np.abs(x) > 1, x, 0)),
    (nn.Softshrink(1.0), lambda x: np.sign(x) * np.maximum(np.abs(x) - 1, 0)),
    (nn.Threshold(1.0, 20.0), lambda x: np.where(x > 1, x, 20)),
    (nn.GLU(), lambda x: x[:, :4] * sigmoid(x[:, 4:])),
    (nn.Softmax(dim=-1), softmax),
    (nn.Softmin(dim=-1), lambda x: softmax(-x)),
    (nn.LogSoftmax(dim=1), lambda x: np.log(softmax(x))),
]


@pytest.mark.parametrize(("layer", "formula"), CASES, ids=[repr(layer) for layer, _ in CASES])
def test_values_and_gradients(layer: nn.Module, formula: Callable[[Array], Array]) -> None:
    x = pn.tensor(X, requires_grad=True)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), formula(X), rtol=1e-11, atol=1e-12)

    weights = np.random.default_rng(0).standard_normal(y.shape)
    (y * pn.tensor(weights)).sum().backward()
    step, numeric = 1e-6, np.empty_like(X)
    for at in np.ndindex(X.shape):
        up, down = X.copy(), X.copy()
        up[at] += step
        down[at] -= step
        numeric[at] = ((formula(up) - formula(down)) * weights).sum() / (2 * step)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), numeric, rtol=1e-6, atol=1e-7)


def inplace_layers() -> list[nn.Module]:
    return [
        nn.ReLU(inplace=True),
        nn.ReLU6(inplace=True),
        nn.Hardtanh(inplace=True),
        nn.LeakyReLU(0.2, inplace=True),
        nn.ELU(inplace=True),
        nn.CELU(inplace=True),
        nn.SELU(inplace=True),
        nn.SiLU(inplace=True),
        nn.Mish(inplace=True),
        nn.Hardsigmoid(inplace=True),
        nn.Hardswish(inplace=True),
        nn.Threshold(0.5, 2.0, inplace=True),
    ]


@pytest.mark.parametrize("layer", inplace_layers(), ids=repr)
def test_inplace_overwrites_and_differentiates(layer: Any) -> None:
    start = pn.tensor(X, requires_grad=True)
    middle = start * 1.0
    result = layer(middle)
    assert middle.tolist() == result.tolist()
    result.sum().backward()

    layer.inplace = False
    again = pn.tensor(X, requires_grad=True)
    plain = layer(again)
    plain.sum().backward()
    assert result.tolist() == plain.tolist()
    assert start.grad is not None and again.grad is not None
    np.testing.assert_allclose(start.grad.numpy(), again.grad.numpy(), rtol=1e-12)
    assert "inplace=True" not in repr(layer)
    layer.inplace = True
    assert "inplace=True" in repr(layer)


def test_extreme_inputs_stay_finite() -> None:
    x = pn.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    for layer in (
        nn.Softplus(),
        nn.LogSigmoid(),
        nn.SiLU(),
        nn.Mish(),
        nn.GELU(),
        nn.ELU(),
        nn.SELU(),
        nn.CELU(),
    ):
        y = layer(x)
        x.grad = None
        y.sum().backward()
        assert np.isfinite(y.detach().numpy()).all(), layer
        assert x.grad is not None and np.isfinite(x.grad.numpy()).all(), layer


def test_errors() -> None:
    with pytest.raises(ValueError, match="GELU: approximate must be one of none, tanh, got 'erf'"):
        nn.GELU("erf")
    with pytest.raises(ValueError, match="gelu: approximate must be 'none' or 'tanh', got 'erf'"):
        F.gelu(pn.zeros(1), "erf")
    with pytest.raises(ValueError, match="glu: dimension -1 must have an even length, got 3"):
        nn.GLU()(pn.zeros(2, 3))
    with pytest.raises(
        ValueError,
        match=r"prelu: weight must have 1 element or one per channel \(3\), got shape \(2,\)",
    ):
        nn.PReLU(2)(pn.zeros(1, 3))
    with pytest.raises(ValueError, match="Softshrink: lambd must be at least 0, got -1"):
        nn.Softshrink(-1)
    with pytest.raises(ValueError, match="softplus: beta must not be 0"):
        F.softplus(pn.zeros(1), beta=0)
