"""SGD, Adam and AdamW against their formulas; groups, state dicts, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyneuro as pn
from pyneuro import nn, optim

Array = npt.NDArray[np.float64]


def grad_of(param: Array, step: int) -> Array:
    """Any gradient that changes with the parameter and the step."""
    return np.sin(param * 3 + step) + 0.1 * param


def sgd(
    param: Array,
    steps: int,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Array:
    buffer: Array | None = None
    for step in range(steps):
        g = grad_of(param, step) * (-1 if maximize else 1) + weight_decay * param
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        param = param - lr * g
    return param


def adam(
    param: Array,
    steps: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled: bool = False,
) -> Array:
    m = v = largest = np.zeros_like(param)
    for step in range(steps):
        g = grad_of(param, step) * (-1 if maximize else 1)
        if decoupled:
            param = param * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * param
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        largest = np.maximum(largest, v)
        corrected = (largest if amsgrad else v) / (1 - betas[1] ** (step + 1))
        param = param - lr * m / (1 - betas[0] ** (step + 1)) / (np.sqrt(corrected) + eps)
    return param


def adamw(param: Array, steps: int, weight_decay: float = 1e-2, **settings: Any) -> Array:
    return adam(param, steps, weight_decay=weight_decay, decoupled=True, **settings)


CASES: list[tuple[type[optim.Optimizer], Callable[..., Array], dict[str, Any]]] = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.5, "maximize": True}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.5), "amsgrad": True}),
    (optim.Adam, adam, {"lr": 0.1, "maximize": True}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
]


def run(
    make: Callable[[list[nn.Parameter]], optim.Optimizer],
    starts: list[Array],
    steps: int,
    dtype: Any,
) -> Any:
    params = [nn.Parameter(pn.tensor(start, dtype=dtype)) for start in starts]
    optimizer = make(params)
    for step in range(steps):
        for param in params:
            param.grad = pn.tensor(grad_of(param.detach().numpy().astype(np.float64), step), dtype=dtype)
        optimizer.step()
    return optimizer, params


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES)
def test_formula(kind: Any, formula: Callable[..., Array], settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(shape) for shape in ((3, 4), (), (17,), (0,))]
    for dtype, tolerance in ((pn.float64, 1e-12), (pn.float32, 2e-5)):
        _, params = run(lambda params: kind(params, **settings), starts, 5, dtype)
        for param, start in zip(params, starts, strict=True):
            expected = formula(start, 5, **settings)
            np.testing.assert_allclose(param.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "settings"), [(optim.SGD, {"momentum": 0.9}), (optim.Adam, {}), (optim.AdamW, {})])
def test_training_lowers_the_loss(kind: Any, settings: dict[str, Any]) -> None:
    pn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    x = pn.randn(64, 3)
    y = x[:, :1] * x[:, 1:2]
    optimizer = kind(model.parameters(), lr=0.02, **settings)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_parameters_without_gradients_are_left_alone() -> None:
    for kind in (optim.SGD, optim.Adam):
        still, moving = nn.Parameter(pn.ones(2)), nn.Parameter(pn.ones(2))
        optimizer = kind([still, moving], lr=0.1)
        moving.grad = pn.ones(2)
        optimizer.step()
        assert still.tolist() == [1.0, 1.0] and moving.tolist() != [1.0, 1.0]
        assert still not in optimizer.state


def test_a_parameter_that_joins_late_has_its_own_step() -> None:
    early, late = nn.Parameter(pn.ones(1)), nn.Parameter(pn.ones(1))
    optimizer = optim.Adam([early, late], lr=0.1)
    for step in range(3):
        early.grad = pn.ones(1)
        late.grad = pn.ones(1) if step == 2 else None
        optimizer.step()
    # Constant gradients move Adam by lr in every step.
    np.testing.assert_allclose([early.item(), late.item()], [0.7, 0.9], rtol=1e-5)


def test_updates_are_not_recorded_and_keep_views() -> None:
    param = nn.Parameter(pn.ones(2))
    view = param.detach()
    optimizer = optim.SGD([param], lr=0.5)
    (param * pn.tensor([1.0, 2.0])).sum().backward()
    optimizer.step()
    assert param.is_leaf and param.requires_grad
    assert view.tolist() == [0.5, 0.0]


def test_groups() -> None:
    a, b = nn.Parameter(pn.zeros(1)), nn.Parameter(pn.zeros(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1, momentum=0.5)
    optimizer.add_param_group({"params": [c := nn.Parameter(pn.zeros(1))], "momentum": 0.0})
    for param in (a, b, c):
        param.grad = pn.ones(1)
    for _ in range(2):
        optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [-0.25, -2.5, -0.2], rtol=1e-6)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    np.testing.assert_allclose(a.item(), -0.25, rtol=1e-6)


def test_named_parameters_and_models() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["params"][0] is model.weight


def test_closure() -> None:
    param = nn.Parameter(pn.tensor([2.0]))
    optimizer = optim.SGD([param], lr=0.25)

    def closure() -> pn.Tensor:
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with pn.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert param.item() == 1.0


def test_zero_grad() -> None:
    param = nn.Parameter(pn.ones(1))
    optimizer = optim.SGD([param])
    param.grad = pn.ones(1)
    optimizer.zero_grad(set_to_none=False)
    assert param.grad is not None and param.grad.item() == 0
    optimizer.zero_grad()
    assert param.grad is None


# ---- state dicts -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "settings"), [(kind, settings) for kind, _, settings in CASES])
def test_resuming_continues_exactly(kind: Any, settings: dict[str, Any]) -> None:
    starts = [np.ones((2, 3)), np.full(4, -0.5)]
    _, whole = run(lambda params: kind(params, **settings), starts, 6, pn.float64)

    half, params = run(lambda params: kind(params, **settings), starts, 3, pn.float64)
    again = kind([nn.Parameter(p.detach().clone()) for p in params], **{**settings, "lr": 123.0})
    again.load_state_dict(half.state_dict())
    resumed = again.param_groups[0]["params"]
    for step in range(3, 6):
        for param in resumed:
            param.grad = pn.tensor(grad_of(param.detach().numpy(), step))
        again.step()
    for param, expected in zip(resumed, whole, strict=True):
        assert param.tolist() == expected.tolist()


def test_state_dict_has_torchs_structure() -> None:
    optimizer, _ = run(lambda params: optim.Adam(params, amsgrad=True), [np.ones(2), np.ones(3)], 2, pn.float32)
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert sorted(state["state"]) == [0, 1]
    assert list(state["state"][1]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    assert state["param_groups"][0]["params"] == [0, 1]
    assert state["param_groups"][0]["betas"] == (0.9, 0.999)


def test_load_state_dict_as_torch_writes_it() -> None:
    param = nn.Parameter(pn.zeros(2))
    optimizer = optim.Adam([param])
    moments = {"exp_avg": pn.ones(2, dtype=pn.float64), "exp_avg_sq": pn.ones(2)}
    optimizer.load_state_dict(
        {
            "state": {0: {"step": pn.tensor(5.0), **moments}},
            "param_groups": [{"lr": 0.5, "fused": None, "params": [0]}],
        }
    )
    assert optimizer.state[param]["step"] == 5
    assert optimizer.state[param]["exp_avg"].dtype == pn.float32
    assert optimizer.param_groups[0]["lr"] == 0.5
    param.grad = pn.ones(2)
    optimizer.step()
    assert moments["exp_avg"].tolist() == [1.0, 1.0], "the loaded state is a copy"


def test_load_state_dict_errors() -> None:
    optimizer = optim.Adam([nn.Parameter(pn.zeros(2))])
    groups = [{"params": [0]}]
    with pytest.raises(ValueError, match=r"must have the entries 'state' and 'param_groups', got \['model'\]"):
        optimizer.load_state_dict({"model": {}})
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, got \[2\]"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})
    with pytest.raises(ValueError, match=r"state 'exp_avg' must have its parameter's shape \(2,\), got \(3,\)"):
        optimizer.load_state_dict({"state": {0: {"exp_avg": pn.zeros(3)}}, "param_groups": groups})
    with pytest.raises(ValueError, match="state for parameter 4, which no group holds"):
        optimizer.load_state_dict({"state": {4: {}}, "param_groups": groups})


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([], lr=0.1), ValueError, "SGD: params must not be empty"),
        (
            lambda p: optim.SGD(p, lr=0.1),
            TypeError,
            "SGD: params must be an iterable of tensors or dicts, got a Tensor",
        ),
        (
            lambda p: optim.SGD([p, p]),
            ValueError,
            r"must appear only once, got one of shape \(2,\) twice",
        ),
        (lambda p: optim.SGD([p * 2]), ValueError, "params must be leaf tensors"),
        (lambda p: optim.SGD([pn.tensor([1])]), ValueError, "params must be floating point, got"),
        (lambda p: optim.SGD([3]), TypeError, "params must be tensors, got int"),
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "params must have an order, got a set"),
        (lambda p: optim.SGD(nn.Linear(1, 1)), TypeError, r"must be iterable, got Linear; use its \.parameters\(\)"),
        (lambda p: optim.SGD([p], lr="fast"), TypeError, "SGD: lr must be a number, got 'fast'"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "SGD: lr must be at least 0, got -1"),
        (
            lambda p: optim.SGD([p], lr=float("nan")),
            ValueError,
            "SGD: lr must be at least 0, got nan",
        ),
        (
            lambda p: optim.SGD([{"params": [p], "momentum": -1}]),
            ValueError,
            "momentum must be at least 0, got -1",
        ),
        (
            lambda p: optim.SGD([p], nesterov=True),
            ValueError,
            "nesterov needs a momentum above 0 and no dampening",
        ),
        (
            lambda p: optim.Adam([p], betas=(0.9, 1.0)),
            ValueError,
            r"Adam: beta2 must be in \[0, 1\), got 1.0",
        ),
        (
            lambda p: optim.AdamW([p], eps=-1e-8),
            ValueError,
            "AdamW: eps must be at least 0, got -1e-08",
        ),
    ],
)
def test_constructor_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(nn.Parameter(pn.zeros(2)))


def test_repr() -> None:
    text = repr(optim.SGD([nn.Parameter(pn.zeros(1))], lr=0.25))
    assert text.startswith("SGD (\nParameter Group 0\n") and "    lr: 0.25\n" in text
