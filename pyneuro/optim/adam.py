"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions.creation import zeros_like
from pyneuro.optim.optimizer import Optimizer, check_at_least_zero, check_beta

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); with `amsgrad` the variant of Reddi et al. (2018).

    With g = grad + weight_decay * param (-grad where `maximize`), in step t:

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        param -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    and with `amsgrad` the largest v so far in place of v.

    >>> weight = pn.tensor([1.0], requires_grad=True)
    >>> optimizer = pn.optim.Adam([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> optimizer.step()
    >>> weight.item()
    0.89999...
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, settings: Mapping[str, Any]) -> None:
        owner = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_at_least_zero(owner, name, settings[name])
        for i, beta in enumerate(settings["betas"], 1):
            check_beta(owner, f"beta{i}", beta)

    def _update(self, group: dict[str, Any]) -> None:
        # Nearly always all parameters are at the same step; those frozen for a while are updated apart.
        by_step: dict[int, tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] = {}
        amsgrad = group["amsgrad"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state.get(param)
            if state is None:
                state = self.state[param] = {
                    "step": 0,
                    "exp_avg": zeros_like(param),
                    "exp_avg_sq": zeros_like(param),
                }
            if amsgrad and "max_exp_avg_sq" not in state:
                state["max_exp_avg_sq"] = zeros_like(param)
            state["step"] += 1
            batch = by_step.setdefault(state["step"], ([], [], [], [], []))
            batch[0].append(param)
            batch[1].append(grad)
            batch[2].append(state["exp_avg"])
            batch[3].append(state["exp_avg_sq"])
            if amsgrad:
                batch[4].append(state["max_exp_avg_sq"])
        beta1, beta2 = group["betas"]
        for step, (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs) in by_step.items():
            _core.adam_(
                params,
                grads,
                exp_avgs,
                exp_avg_sqs,
                max_exp_avg_sqs if amsgrad else None,
                step,
                group["lr"],
                beta1,
                beta2,
                group["eps"],
                group["weight_decay"],
                self._decoupled,
                group["maximize"],
            )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): param *= 1 - lr * weight_decay before the step,
    instead of adding the decay to the gradient."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
