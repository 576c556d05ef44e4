"""Normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions._common import composed
from pyneuro.functions.creation import finfo

__all__ = ["batch_norm", "group_norm", "layer_norm", "normalize", "rms_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, for each channel (dimension 1).

    In training the mean and the biased variance are those of the batch, and the running ones (if given) move towards
    them in place: r = (1 - momentum) r + momentum x, with the unbiased variance. Otherwise the running ones are used.

    Shapes: input (N, C, *), all others (C), result as input.
    """
    return _core.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose shape is `normalized_shape`.

    Shapes: input (*, *normalized_shape), weight and bias (*normalized_shape), result as input.
    """
    return _core.layer_norm(input, list(normalized_shape), weight, bias, eps)


@composed
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions; eps is the dtype's epsilon if None.

    Shapes: input (*, *normalized_shape), weight (*normalized_shape), result as input.
    """
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ValueError(f"rms_norm: input must end in shape {shape}, got {tuple(input.shape)}")
    if eps is None:
        eps = finfo(input.dtype).eps
    dims = list(range(-len(shape), 0))
    result = input * (input.square().mean(dims, keepdim=True) + eps).rsqrt()
    return result if weight is None else result * weight


@composed
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over each of `num_groups` groups of channels and all positions, then scale and shift by channel.

    Shapes: input (N, C, *) with C divisible by num_groups, weight and bias (C), result as input.
    """
    if input.ndim < 2:
        raise ValueError(f"group_norm: input must have at least 2 dimensions, got {input.ndim}")
    samples, channels = input.shape[:2]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"group_norm: num_groups must divide the {channels} channels, got {num_groups}")
    grouped = input.reshape(samples, num_groups, input.numel() // max(samples * num_groups, 1))
    result = layer_norm(grouped, grouped.shape[2:], eps=eps).reshape(input.shape)
    per_channel = (channels, *[1] * (input.ndim - 2))
    if weight is not None:
        result = result * weight.reshape(per_channel)
    if bias is not None:
        result = result + bias.reshape(per_channel)
    return result


@composed
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm(x), eps), with the p-norm along `dim`."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)
