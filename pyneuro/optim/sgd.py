"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions.creation import zeros_like
from pyneuro.optim.optimizer import Optimizer, check_at_least_zero

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    With g = grad + weight_decay * param (-grad where `maximize`):

        buffer = momentum * buffer + (1 - dampening) * g      (the first time: buffer = g)
        param -= lr * (g + momentum * buffer if nesterov else buffer)

    >>> weight = pn.tensor([1.0], requires_grad=True)
    >>> optimizer = pn.optim.SGD([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> optimizer.step()
    >>> weight.item()
    0.8...
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, settings: Mapping[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_at_least_zero("SGD", name, settings[name])
        if settings["nesterov"] and (settings["momentum"] <= 0 or settings["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs a momentum above 0 and no dampening, "
                f"got momentum {settings['momentum']} and dampening {settings['dampening']}"
            )

    def _update(self, group: dict[str, Any]) -> None:
        # Parameters without a buffer yet (their first step) are updated apart: there the buffer becomes the gradient.
        first: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        later: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            params, grads, buffers = later
            if group["momentum"]:
                state = self.state.setdefault(param, {})
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    params, grads, buffers = first
                    buffer = state["momentum_buffer"] = zeros_like(param)
                buffers.append(buffer)
            params.append(param)
            grads.append(grad)
        for is_first, (params, grads, buffers) in ((True, first), (False, later)):
            if params:
                _core.sgd_(
                    params,
                    grads,
                    buffers,
                    group["lr"],
                    group["momentum"],
                    group["dampening"],
                    group["weight_decay"],
                    group["nesterov"],
                    group["maximize"],
                    is_first,
                )
