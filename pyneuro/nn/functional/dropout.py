"""Dropout."""

from __future__ import annotations

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions.creation import ones
from pyneuro.nn.functional.checks import check_probability

__all__ = ["dropout", "dropout1d", "dropout2d"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability p, and divided by 1 - p otherwise; the identity outside training.

    With `inplace` the result is written over the input.
    """
    check_probability("dropout", p)
    if not training or not p:
        return input
    result = _core.dropout(input, p, None)
    return input.copy_(result) if inplace else result


def _channel_dropout(op: str, input: Tensor, p: float, training: bool, inplace: bool, dims: int) -> Tensor:
    check_probability(op, p)
    if input.ndim not in (dims + 1, dims + 2):
        raise ValueError(f"{op}: input must have {dims + 1} or {dims + 2} dimensions, got {input.ndim}")
    if not training or not p:
        return input
    per_channel = (*input.shape[:-dims], *[1] * dims)
    kept = _core.dropout(ones(per_channel, dtype=input.dtype, device=input.device), p, None)
    return input.mul_(kept) if inplace else input * kept


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels: input (N, C, L) or (C, L)."""
    return _channel_dropout("dropout1d", input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels: input (N, C, H, W) or (C, H, W)."""
    return _channel_dropout("dropout2d", input, p, training, inplace, 2)
