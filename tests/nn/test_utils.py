"""Gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyneuro as pn
from pyneuro import nn
from pyneuro.nn.utils import (
    clip_grad_norm_,
    clip_grad_value_,
    parameters_to_vector,
    vector_to_parameters,
)


def parameters(*grads: list[float] | None) -> list[nn.Parameter]:
    made = []
    for grad in grads:
        parameter = nn.Parameter(pn.zeros(2))
        if grad is not None:
            parameter.grad = pn.tensor(grad)
        made.append(parameter)
    return made


def grads(of: list[nn.Parameter]) -> list[float]:
    return [value for p in of if p.grad is not None for value in p.grad.tolist()]


@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_clip_grad_norm(norm_type: float) -> None:
    params = parameters([3.0, -4.0], None, [12.0, 0.0])
    norm = {1.0: 19.0, 2.0: 13.0, math.inf: 12.0}[norm_type]
    total = clip_grad_norm_(params, 6.5, norm_type)
    assert math.isclose(total.item(), norm, rel_tol=1e-6)
    np.testing.assert_allclose(grads(params), np.array([3.0, -4.0, 12.0, 0.0]) * 6.5 / norm, rtol=1e-6)


def test_clip_grad_norm_leaves_small_gradients() -> None:
    params = parameters([0.3, 0.4])
    assert math.isclose(clip_grad_norm_(iter(params), 1.0).item(), 0.5, rel_tol=1e-6)
    np.testing.assert_allclose(grads(params), [0.3, 0.4], rtol=1e-6)
    assert clip_grad_norm_(parameters(None), 1.0).item() == 0


def test_clip_grad_norm_of_nonfinite_gradients() -> None:
    with pytest.raises(RuntimeError, match="the norm of the gradients must be finite, got nan"):
        clip_grad_norm_(parameters([math.nan, 1.0]), 1.0, error_if_nonfinite=True)
    with pytest.raises(RuntimeError, match="got inf"):
        clip_grad_norm_(parameters([math.inf, 1.0]), 1.0, error_if_nonfinite=True)


def test_clip_grad_value() -> None:
    params = parameters([3.0, -4.0], [0.5, 1.0])
    clip_grad_value_(params, 1.0)
    assert grads(params) == [1.0, -1.0, 0.5, 1.0]
    one = parameters([5.0, 0.0])[0]
    clip_grad_value_(one, 2.0)
    assert grads([one]) == [2.0, 0.0]


def test_a_model_in_place_of_its_parameters() -> None:
    with pytest.raises(
        TypeError, match=r"clip_grad_norm_: parameters must be iterable, got Linear; use its \.parameters"
    ):
        clip_grad_norm_(nn.Linear(1, 1), 1.0)  # type: ignore[arg-type]


def test_parameters_as_a_vector() -> None:
    layer = nn.Linear(3, 2)
    vector = parameters_to_vector(layer.parameters())
    assert vector.tolist() == layer.weight.reshape(-1).tolist() + layer.bias.tolist()
    vector.sum().backward()
    assert layer.bias.grad is not None and layer.bias.grad.tolist() == [1.0, 1.0]
    vector_to_parameters(pn.arange(8.0), layer.parameters())
    assert layer.weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and layer.bias.tolist() == [
        6.0,
        7.0,
    ]
    with pytest.raises(ValueError, match=r"vec must have shape \(8,\), got \(9,\)"):
        vector_to_parameters(pn.zeros(9), layer.parameters())
