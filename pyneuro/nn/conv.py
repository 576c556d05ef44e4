"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from pyneuro._core import Tensor
from pyneuro.functions.creation import empty
from pyneuro.nn import functional as F, init
from pyneuro.nn.functional.checks import Ints, check_choice, check_positive, pair, single
from pyneuro.nn.module import Module
from pyneuro.nn.parameter import Parameter

__all__ = ["Conv1d", "Conv2d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What the convolutions share; a subclass turns its arguments into tuples, one entry per dimension."""

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = check_positive(name, "in_channels", in_channels)
        self.out_channels = check_positive(name, "out_channels", out_channels)
        self.groups = check_positive(name, "groups", groups)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} must be divisible by groups {groups}, got {channels}")
        if isinstance(padding, str):
            check_choice(name, "padding", padding, ("same", "valid"))
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError(f"{name}: padding='same' needs stride 1, got {stride}")
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.padding_mode = check_choice(name, "padding_mode", padding_mode, PADDING_MODES)
        self.weight = Parameter(empty(out_channels, in_channels // groups, *kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in_channels // self.groups * math.prod(self.kernel_size))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def _border(self) -> list[int]:
        """The padding as `F.pad` takes it: before and after, last dimension first."""
        if self.padding == "valid":
            return [0, 0] * len(self.kernel_size)
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [n for total in reversed(totals) for n in (total // 2, total - total // 2)]
        return [n for n in reversed(self.padding) for _ in range(2) if isinstance(n, int)]

    def extra_repr(self) -> str:
        one, zero = (1,) * len(self.kernel_size), (0,) * len(self.kernel_size)
        settings = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != zero:
            settings.append(f"padding={self.padding}")
        if self.dilation != one:
            settings.append(f"dilation={self.dilation}")
        if self.groups != 1:
            settings.append(f"groups={self.groups}")
        if self.bias is None:
            settings.append("bias=False")
        if self.padding_mode != "zeros":
            settings.append(f"padding_mode={self.padding_mode}")
        return ", ".join(settings)


class Conv1d(_Conv):
    """Cross-correlation over one dimension.

    Shapes: input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L') with
    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1,
    weight (out_channels, in_channels / groups, kernel_size), bias (out_channels).
    Weight and bias start as U(-b, b) with b = 1 / sqrt(in_channels / groups * kernel_size).

    >>> pn.nn.Conv1d(16, 33, 3, stride=2)(pn.zeros(20, 16, 50)).shape
    (20, 33, 24)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            single("Conv1d", "kernel_size", kernel_size),
            single("Conv1d", "stride", stride),
            padding if isinstance(padding, str) else single("Conv1d", "padding", padding, minimum=0),
            single("Conv1d", "dilation", dilation),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Cross-correlation over two dimensions.

    Shapes: input (N, in_channels, H, W) or (in_channels, H, W), output (N, out_channels, H', W') with
    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1,
    weight (out_channels, in_channels / groups, kernel_h, kernel_w), bias (out_channels).
    Weight and bias start as U(-b, b) with b = 1 / sqrt(in_channels / groups * kernel_h * kernel_w).

    Args:
        in_channels, out_channels: how many images go in and come out.
        kernel_size, stride, dilation: an int for both dimensions, or (height, width).
        padding: as these, or "valid" for none, or "same" to keep the size (stride 1 only).
        groups: splits the channels into groups that do not see each other.
        bias: whether to add a learned bias.
        padding_mode: "zeros", "reflect", "replicate" or "circular".

    >>> pn.nn.Conv2d(3, 8, 5, padding=2)(pn.zeros(4, 3, 28, 28)).shape
    (4, 8, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            pair("Conv2d", "kernel_size", kernel_size),
            pair("Conv2d", "stride", stride),
            padding if isinstance(padding, str) else pair("Conv2d", "padding", padding, minimum=0),
            pair("Conv2d", "dilation", dilation),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
