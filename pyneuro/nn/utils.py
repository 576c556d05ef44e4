"""Helpers over the parameters of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pyneuro._core import Tensor
from pyneuro.autograd import no_grad
from pyneuro.functions import cat, stack
from pyneuro.functions.creation import zeros

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def _grads(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    if not isinstance(parameters, Iterable):
        hint = "; use its .parameters()" if hasattr(parameters, "parameters") else ""
        raise TypeError(f"{op}: parameters must be iterable, got {type(parameters).__name__}{hint}")
    grads = (parameter.grad for parameter in parameters)
    return [grad for grad in grads if grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, so that their norm as one long vector is at most `max_norm`.

    Returns:
        the norm before clipping, of shape ().

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite`.
    """
    grads = _grads("clip_grad_norm_", parameters)
    if not grads:
        return zeros(())
    norm_type = float(norm_type)
    with no_grad():
        norms = [grad.norm(norm_type).to(grads[0].device) for grad in grads]
        total = stack(norms).norm(norm_type)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(f"clip_grad_norm_: the norm of the gradients must be finite, got {total.item()}")
        # Clamped rather than tested, because a test would wait for the GPU.
        scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale.to(grad.device))
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Keep every element of every gradient within [-clip_value, clip_value], in place."""
    with no_grad():
        for grad in _grads("clip_grad_value_", parameters):
            grad.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one vector, differentiable.

    >>> pn.nn.utils.parameters_to_vector(pn.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the pieces of `vec` into the parameters, in their order."""
    parameters = list(parameters)
    total = sum(parameter.numel() for parameter in parameters)
    if tuple(vec.shape) != (total,):
        raise ValueError(f"vector_to_parameters: vec must have shape ({total},), got {tuple(vec.shape)}")
    with no_grad():
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            parameter.copy_(vec[start:stop].reshape(parameter.shape))
            start = stop
