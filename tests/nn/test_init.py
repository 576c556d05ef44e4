"""`nn.init`: distributions, bounds, reproducibility."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro import nn
from pyneuro.nn import init


def values(tensor: pn.Tensor) -> Any:
    return tensor.detach().numpy()


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t: init.uniform_(t, -0.5, 0.5), 0.5),
        (init.xavier_uniform_, math.sqrt(6 / (60 * 9 + 50 * 9))),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(50 * 9)),
        (
            lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"),
            math.sqrt(6 / (60 * 9)),
        ),
    ],
)
def test_uniform(fill: Any, bound: float) -> None:
    pn.manual_seed(0)
    weight = nn.Parameter(pn.empty(60, 50, 3, 3))
    assert fill(weight) is weight
    x = values(weight)
    assert 0.99 * bound < np.abs(x).max() <= bound * (1 + 1e-6)
    assert abs(x.std() / (bound / math.sqrt(3)) - 1) < 0.02
    assert weight.requires_grad and weight.is_leaf


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: init.normal_(t, 0.0, 0.3), 0.3),
        (lambda t: init.xavier_normal_(t, gain=2.0), 2 * math.sqrt(2 / (60 * 9 + 50 * 9))),
        (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), math.sqrt(2 / (50 * 9))),
    ],
)
def test_normal(fill: Any, std: float) -> None:
    pn.manual_seed(0)
    x = values(fill(pn.empty(60, 50, 3, 3)))
    assert abs(x.std() / std - 1) < 0.02
    assert abs(x.mean()) < 0.02 * std
    assert np.abs(x).max() > 3 * std


def test_trunc_normal() -> None:
    pn.manual_seed(0)
    x = values(init.trunc_normal_(pn.empty(20_000), mean=1.0, std=2.0, a=-1.0, b=2.0))
    assert x.min() >= -1 and x.max() <= 2
    # Moments of N(1, 4) within [-1, 2], that is from -1 to 0.5 standard deviations.
    pdf = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (-1.0, 0.5)]
    mass = 0.5 * (math.erf(0.5 / math.sqrt(2)) - math.erf(-1 / math.sqrt(2)))
    assert abs(x.mean() - (1 + 2 * (pdf[0] - pdf[1]) / mass)) < 0.02
    with pytest.raises(ValueError, match=r"trunc_normal_: mean 9.0 must be within 2 std"):
        init.trunc_normal_(pn.empty(1), mean=9.0)


def test_fixed_values() -> None:
    assert init.constant_(pn.empty(2), 3.5).tolist() == [3.5, 3.5]
    assert init.zeros_(pn.empty(2)).tolist() == [0.0, 0.0]
    assert init.ones_(pn.empty(2)).tolist() == [1.0, 1.0]
    assert init.eye_(pn.empty(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_dirac_passes_channels_through() -> None:
    weight = init.dirac_(pn.empty(4, 2, 3, 3), groups=2)
    x = pn.randn(1, 4, 5, 5)
    y = nn.functional.conv2d(x, weight, padding=1, groups=2)
    np.testing.assert_array_equal(values(y), values(x))
    with pytest.raises(ValueError, match="the 4 output channels must be divisible by groups, got 3"):
        init.dirac_(pn.empty(4, 2, 3), groups=3)


def test_gains() -> None:
    assert init.calculate_gain("linear") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    with pytest.raises(ValueError, match=r"nonlinearity must be one of .*, got 'swoosh'"):
        init.calculate_gain("swoosh")


def test_seeds_and_generators() -> None:
    pn.manual_seed(7)
    first = nn.Linear(3, 3).weight.tolist()
    pn.manual_seed(7)
    assert nn.Linear(3, 3).weight.tolist() == first
    drawn = [init.normal_(pn.empty(5), generator=pn.Generator().manual_seed(3)).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_errors() -> None:
    with pytest.raises(ValueError, match="xavier_normal_: tensor must have at least 2 dimensions, got 1"):
        init.xavier_normal_(pn.empty(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan_avg'"):
        init.kaiming_normal_(pn.empty(2, 2), mode="fan_avg")
    with pytest.raises(ValueError, match="eye_: tensor must have 2 dimensions, got 3"):
        init.eye_(pn.empty(1, 1, 1))
