"""Schedules against their closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import pyneuro as pn
from pyneuro import nn, optim
from pyneuro.optim import lr_scheduler as schedules


def sgd(*rates: float) -> optim.SGD:
    return optim.SGD([{"params": [nn.Parameter(pn.zeros(1))], "lr": rate} for rate in rates], momentum=0.9)


def rates(schedule: Any, steps: int) -> list[float]:
    """The first group's rate before each step."""
    seen = []
    for _ in range(steps):
        seen.append(schedule.optimizer.param_groups[0]["lr"])
        assert schedule.get_last_lr() == [group["lr"] for group in schedule.optimizer.param_groups]
        schedule.optimizer.step()
        schedule.step()
    return seen


CASES: list[tuple[Callable[[optim.Optimizer], Any], Callable[[int], float]]] = [
    (lambda o: schedules.LambdaLR(o, lambda t: 0.9**t), lambda t: 0.9**t),
    (lambda o: schedules.StepLR(o, 3, gamma=0.5), lambda t: 0.5 ** (t // 3)),
    (
        lambda o: schedules.MultiStepLR(o, [2, 5, 5], gamma=0.5),
        lambda t: 1.0 if t < 2 else 0.5 if t < 5 else 0.125,
    ),
    (lambda o: schedules.ExponentialLR(o, 0.8), lambda t: 0.8**t),
    (lambda o: schedules.ConstantLR(o, 0.25, total_iters=4), lambda t: 0.25 if t < 4 else 1.0),
    (lambda o: schedules.LinearLR(o, 0.25, total_iters=4), lambda t: 0.25 + 0.75 * min(t, 4) / 4),
    (lambda o: schedules.LinearLR(o, 1.0, 0.0, total_iters=4), lambda t: 1 - min(t, 4) / 4),
    (
        lambda o: schedules.CosineAnnealingLR(o, 5, eta_min=0.1),
        lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * t / 5)) / 2,
    ),
]


@pytest.mark.parametrize(("make", "closed_form"), CASES)
def test_closed_form(make: Any, closed_form: Callable[[int], float]) -> None:
    schedule = make(sgd(1.0))
    assert rates(schedule, 13) == pytest.approx([closed_form(t) for t in range(13)], rel=1e-9, abs=1e-12)


def test_every_group_starts_from_its_own_rate() -> None:
    schedule = schedules.StepLR(sgd(1.0, 10.0), 1, gamma=0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 5.0]


def test_lambda_per_group() -> None:
    schedule = schedules.LambdaLR(sgd(1.0, 1.0), [lambda t: 1 + t, lambda t: 1 - t])
    schedule.step()
    assert schedule.get_last_lr() == [2.0, 0.0]
    assert "lr_lambdas" not in schedule.state_dict()
    with pytest.raises(ValueError, match=r"one function per group \(2\), got 1"):
        schedules.LambdaLR(sgd(1.0, 1.0), [lambda t: 1.0])


def test_schedules_on_one_optimizer_multiply() -> None:
    optimizer = sgd(1.0)
    first = schedules.ExponentialLR(optimizer, 0.5)
    second = schedules.ConstantLR(optimizer, 0.1, total_iters=2)
    assert second.base_lrs == [1.0]
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        first.step()
        second.step()
    assert seen == pytest.approx([0.1, 0.05, 0.25, 0.125])


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_one_cycle(three_phase: bool, strategy: str) -> None:
    optimizer = sgd(0.123)
    schedule = schedules.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=20,
        pct_start=0.25,
        anneal_strategy=strategy,
        three_phase=three_phase,
    )

    def between(start: float, end: float, part: float) -> float:
        if strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    def expected(t: int) -> float:
        if t <= 4:
            return between(0.04, 1.0, t / 4)
        if three_phase:
            return between(1.0, 0.04, (t - 4) / 4) if t <= 8 else between(0.04, 4e-6, (t - 8) / 11)
        return between(1.0, 4e-6, (t - 4) / 15)

    momenta, seen = [], []
    for _ in range(20):
        seen.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx([expected(t) for t in range(20)])
    assert (
        momenta[0] == pytest.approx(0.95) and momenta[4] == pytest.approx(0.85) and momenta[19] == pytest.approx(0.95)
    )
    with pytest.raises(ValueError, match="OneCycleLR: can take 20 steps, got step 21"):
        schedule.step()


def test_one_cycle_sets_beta1() -> None:
    optimizer = optim.Adam([nn.Parameter(pn.zeros(1))])
    schedules.OneCycleLR(optimizer, max_lr=1.0, epochs=2, steps_per_epoch=5)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    with pytest.raises(ValueError, match="needs total_steps, or both epochs and steps_per_epoch"):
        schedules.OneCycleLR(optimizer, max_lr=1.0, epochs=2)


def test_sequential() -> None:
    optimizer = sgd(1.0)
    warm_up = schedules.ConstantLR(optimizer, 0.1, total_iters=2)
    schedule = schedules.SequentialLR(optimizer, [warm_up, schedules.ExponentialLR(optimizer, 0.9)], milestones=[2])
    assert rates(schedule, 5) == pytest.approx([0.1, 0.1, 1.0, 0.9, 0.81])
    with pytest.raises(ValueError, match="one milestone less than its 1 schedulers, got 1"):
        schedules.SequentialLR(optimizer, [warm_up], milestones=[2])
    with pytest.raises(ValueError, match="all schedulers must act on its optimizer"):
        schedules.SequentialLR(sgd(1.0), [warm_up], milestones=[])


def test_reduce_on_plateau() -> None:
    optimizer = sgd(1.0, 0.005)
    schedule = schedules.ReduceLROnPlateau(optimizer, patience=1, cooldown=1, min_lr=1e-3)
    seen = []
    for loss in [5, 4, 4, 4, 4, 4, 4, 4, 4]:
        schedule.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    # Bad steps 1, 2 (lower), 3 (cooldown), 4, 5 (lower), ...
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert optimizer.param_groups[1]["lr"] == 1e-3
    best = schedules.ReduceLROnPlateau(sgd(1.0), mode="max", threshold=0.5, threshold_mode="abs")
    best.step(1.0)
    assert not best.is_better(1.5) and best.is_better(1.6)
    best.step(pn.tensor(3.0))
    assert best.best == 3.0
    best.step(math.nan)
    assert best.num_bad_epochs == 1


@pytest.mark.parametrize("make", [make for make, _ in CASES[1:]])
def test_resuming(make: Any) -> None:
    whole = rates(make(sgd(1.0)), 10)
    schedule = make(sgd(1.0))
    first = rates(schedule, 4)
    optimizer = sgd(1.0)
    resumed = make(optimizer)
    resumed.load_state_dict(schedule.state_dict())
    optimizer.load_state_dict(schedule.optimizer.state_dict())
    assert first + rates(resumed, 6) == whole


def test_resuming_by_last_epoch() -> None:
    optimizer = sgd(1.0)
    with pytest.raises(KeyError, match="every group must have its 'initial_lr'"):
        schedules.ExponentialLR(optimizer, 0.5, last_epoch=2)
    optimizer.param_groups[0].update(lr=0.25, initial_lr=1.0)
    assert rates(schedules.ExponentialLR(optimizer, 0.5, last_epoch=2), 2) == [0.125, 0.0625]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: schedules.StepLR(o, 0), "StepLR: step_size must be positive, got 0"),
        (
            lambda o: schedules.CosineAnnealingLR(o, 0),
            "CosineAnnealingLR: T_max must be positive, got 0",
        ),
        (
            lambda o: schedules.LinearLR(o, 0.0),
            r"LinearLR: start_factor must be in \(0, 1\], got 0.0",
        ),
        (
            lambda o: schedules.ConstantLR(o, 2.0),
            "ConstantLR: factor must be between 0 and 1, got 2.0",
        ),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), "factor must be below 1, got 1.0"),
        (
            lambda o: schedules.ReduceLROnPlateau(o, mode="least"),
            "mode must be 'min' or 'max', got 'least'",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(sgd(1.0))


def test_needs_an_optimizer() -> None:
    with pytest.raises(TypeError, match="ExponentialLR: optimizer must be an Optimizer, got int"):
        schedules.ExponentialLR(3, 0.5)  # type: ignore[arg-type]
