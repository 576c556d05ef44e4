"""`Optimizer`: parameter groups and per-parameter state, shared by all optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyneuro._core import Tensor
from pyneuro.autograd import enable_grad

__all__ = ["Optimizer", "check_at_least_zero", "check_beta"]


def check_at_least_zero(owner: str, name: str, value: float) -> None:
    """Raise unless `value` is a number of at least 0 (NaN is not)."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not value >= 0:
        raise ValueError(f"{owner}: {name} must be at least 0, got {value}")


def check_beta(owner: str, name: str, value: float) -> None:
    """Raise unless `value` can be a decay rate."""
    if not 0 <= value < 1:
        raise ValueError(f"{owner}: {name} must be in [0, 1), got {value}")


class Optimizer:
    """Base class of the optimizers. A subclass defines `_update`.

    Args:
        params: the tensors to optimize; or dicts of "params" and of settings for them alone; or named parameters.
        defaults: the settings of groups that do not say otherwise.

    Attributes:
        param_groups: one dict per group: "params" and every setting. Schedulers write "lr" here.
        state: what is remembered for each parameter.

    >>> model = pn.nn.Sequential(pn.nn.Linear(4, 8), pn.nn.Linear(8, 2))
    >>> optimizer = pn.optim.SGD(
    ...     [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.01}], lr=0.1
    ... )
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.01]
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: params must be an iterable of tensors or dicts, got a Tensor")
        if not isinstance(params, Iterable):
            hint = "; use its .parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(f"{type(self).__name__}: params must be iterable, got {type(params).__name__}{hint}")
        self.defaults: dict[str, Any] = dict(defaults)
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: params must not be empty, got none")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add tensors to optimize, with settings of their own where the dict has them."""
        name = type(self).__name__
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{name}: param_group must be a dict, got {type(param_group).__name__}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, set):
            raise TypeError(f"{name}: params must have an order, got a set")
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [param[1] if isinstance(param, tuple) else param for param in params]  # named_parameters()
        known = {id(param) for other in self.param_groups for param in other["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"{name}: params must be tensors, got {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError(f"{name}: params must be leaf tensors, got the result of an op")
            if not param.dtype.is_floating_point:
                raise ValueError(f"{name}: params must be floating point, got {param.dtype}")
            if id(param) in known:
                raise ValueError(
                    f"{name}: a parameter must appear only once, got one of shape {tuple(param.shape)} twice"
                )
            known.add(id(param))
        settings = {
            **self.defaults,
            **{key: value for key, value in group.items() if key != "params"},
        }
        self._check(settings)
        self.param_groups.append({"params": params, **settings})

    def _check(self, settings: Mapping[str, Any]) -> None:
        """Raise unless the settings of a group are possible."""

    def _update(self, group: dict[str, Any]) -> None:
        """Update the parameters of one group that have gradients."""
        raise NotImplementedError(f"{type(self).__name__}: has no _update method")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters by their gradients.

        Args:
            closure: computes the loss again, with gradients; its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad = param.grad.detach().zero_()

    def state_dict(self) -> dict[str, Any]:
        """Settings and state, in torch's form: parameters are numbered in order, over all groups."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                numbers[id(param)] = len(numbers)
            groups.append({**group, "params": [numbers[id(param)] for param in group["params"]]})
        state = {numbers[id(param)]: dict(entry) for param, entry in self.state.items()}
        return {
            "state": {number: state[number] for number in sorted(state)},
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take settings and state from `state_dict`, also from one that torch wrote.

        State tensors move to the device of their parameter, and the floating ones to its dtype.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            got = list(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise ValueError(f"{name}: state_dict must have the entries 'state' and 'param_groups', got {got}")
        saved = state_dict["param_groups"]
        lengths = [len(group["params"]) for group in self.param_groups]
        saved_lengths = [len(group["params"]) for group in saved]
        if saved_lengths != lengths:
            raise ValueError(f"{name}: state_dict must have groups of {lengths} parameters, got {saved_lengths}")
        params = {
            number: param
            for group, other in zip(self.param_groups, saved, strict=True)
            for param, number in zip(group["params"], other["params"], strict=True)
        }
        state: dict[Tensor, dict[str, Any]] = {}
        for number, entry in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"{name}: state_dict has state for parameter {number}, which no group holds")
            state[params[number]] = {key: self._adopt(params[number], key, value) for key, value in entry.items()}
        self.state = state
        for group, other in zip(self.param_groups, saved, strict=True):
            group.update((key, value) for key, value in other.items() if key != "params")

    def _adopt(self, param: Tensor, key: str, value: Any) -> Any:
        """A loaded piece of state, as `param` needs it; a copy, so that two optimizers never share it."""
        if not isinstance(value, Tensor):
            return value
        if key == "step":
            return int(value.item())
        if tuple(value.shape) != tuple(param.shape):
            raise ValueError(
                f"{type(self).__name__}: state {key!r} must have its parameter's shape {tuple(param.shape)}, "
                f"got {tuple(value.shape)}"
            )
        value = value.detach().clone().to(param.device)
        return value.to(param.dtype) if value.dtype.is_floating_point else value

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {value}" for key, value in sorted(group.items()) if key != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"
