"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyneuro._core import Tensor, int64
from pyneuro.functions.creation import ones, zeros
from pyneuro.nn import functional as F, init
from pyneuro.nn.functional.checks import check_positive
from pyneuro.nn.module import Module
from pyneuro.nn.parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


class _BatchNorm(Module):
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = check_positive(type(self).__name__, "num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_features, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **like)) if affine and bias else None)
        self.register_buffer("running_mean", zeros(num_features, **like) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **like) if track_running_stats else None)
        batches = zeros((), dtype=int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", batches)

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Back to the initial values."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input(self, input: Tensor) -> None:
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # cumulative average
                momentum = 1.0 / self.num_batches_tracked.item()
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of each channel: input (N, C) or (N, C, L).

    See `BatchNorm2d`.
    """

    def _check_input(self, input: Tensor) -> None:
        if input.ndim not in (2, 3):
            raise ValueError(f"BatchNorm1d: input must have 2 or 3 dimensions, got {input.ndim}")


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of each channel: input (N, C, H, W).

    In training mode it uses the batch's mean and biased variance, and moves the running ones towards them:
    running = (1 - momentum) running + momentum batch, with the unbiased variance. In evaluation mode it uses the
    running ones.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the weight of the newest batch; None averages all batches seen.
        affine: whether to learn a scale and a shift for each channel.
        bias: false learns no shift.
        track_running_stats: false uses the batch's statistics in evaluation mode too.

    >>> layer = pn.nn.BatchNorm2d(8)
    >>> layer(pn.randn(4, 8, 5, 5)).shape
    (4, 8, 5, 5)
    >>> list(layer.state_dict())
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """

    def _check_input(self, input: Tensor) -> None:
        if input.ndim != 4:
            raise ValueError(f"BatchNorm2d: input must have 4 dimensions, got {input.ndim}")


def _shape(owner: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    lengths = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not lengths:
        raise ValueError(f"{owner}: normalized_shape must have at least 1 dimension, got {normalized_shape!r}")
    return tuple(check_positive(owner, "normalized_shape", length) for length in lengths)


class LayerNorm(Module):
    """Normalises over the last dimensions, whose shape is `normalized_shape`; then scales and shifts.

    Shapes: input (*, *normalized_shape), output the same, weight and bias (*normalized_shape).

    >>> pn.nn.LayerNorm(16)(pn.randn(4, 10, 16)).shape
    (4, 10, 16)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape = _shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(*shape, **like)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(*shape, **like)) if elementwise_affine and bias else None)

    def reset_parameters(self) -> None:
        """Back to the initial values."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        settings = f"{self.normalized_shape}, eps={self.eps}"
        return f"{settings}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions; eps is the dtype's epsilon if None.

    Shapes: input (*, *normalized_shape), output the same, weight (*normalized_shape).
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(ones(*shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def reset_parameters(self) -> None:
        """Back to the initial values."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalises over groups of channels, each sample for itself; then scales and shifts each channel.

    Shapes: input (N, num_channels, *), output the same, weight and bias (num_channels).

    >>> pn.nn.GroupNorm(2, 6)(pn.randn(4, 6, 5, 5)).shape
    (4, 6, 5, 5)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = check_positive("GroupNorm", "num_groups", num_groups)
        self.num_channels = check_positive("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels must be divisible by num_groups {num_groups}, got {num_channels}"
            )
        self.eps = eps
        self.affine = affine
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, **like)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """Back to the initial values."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim > 1 and input.shape[1] != self.num_channels:
            channels = input.shape[1]
            raise ValueError(f"GroupNorm: input must have {self.num_channels} channels, got {channels}")
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        settings = f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
        return f"{settings}, affine={self.affine}, bias={self.bias is not None}"
