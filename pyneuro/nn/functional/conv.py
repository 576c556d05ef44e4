"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions._common import composed
from pyneuro.nn.functional.checks import Ints, check_tensor, pair, single
from pyneuro.nn.functional.padding import pad

__all__ = ["conv1d", "conv2d"]


def _same_padding(op: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    """How much to add around each dimension, last first as in `pad`, so that the result is as long as the input."""
    if any(s != 1 for s in stride):
        raise ValueError(f"{op}: padding='same' needs stride 1, got {stride}")
    pads: list[int] = []
    for k, d in zip(reversed(kernel), reversed(dilation), strict=True):
        total = d * (k - 1)
        pads += [total // 2, total - total // 2]  # an odd one goes to the end, as in torch
    return pads


def _resolve_padding(
    op: str,
    input: Tensor,
    padding: str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[Tensor, Sequence[int]]:
    """Turn a named padding into numbers; what cannot be the same on both sides is added to the input here."""
    if padding == "valid":
        return input, [0] * len(kernel)
    if padding != "same":
        raise ValueError(f"{op}: padding must be 'same', 'valid' or integers, got {padding!r}")
    pads = _same_padding(op, kernel, stride, dilation)
    if pads[0::2] == pads[1::2]:
        return input, pads[0::2][::-1]
    return pad(input, pads), [0] * len(kernel)


@composed
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation over one dimension.

    Shapes: input (N, in, L) or (in, L), weight (out, in / groups, kernel), bias (out), result (N, out, L') with
    L' = (L + 2 padding - dilation (kernel - 1) - 1) // stride + 1.
    """
    check_tensor("conv1d", "input", input)
    check_tensor("conv1d", "weight", weight)
    pads: Sequence[int]
    strides = single("conv1d", "stride", stride)
    dilations = single("conv1d", "dilation", dilation)
    if isinstance(padding, str):
        input, pads = _resolve_padding("conv1d", input, padding, weight.shape[2:], strides, dilations)
    else:
        pads = single("conv1d", "padding", padding, minimum=0)
    if input.ndim == 2:
        return _core.conv1d(input.unsqueeze(0), weight, bias, strides, pads, dilations, groups).squeeze(0)
    return _core.conv1d(input, weight, bias, strides, pads, dilations, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation over two dimensions.

    Shapes: input (N, in, H, W) or (in, H, W), weight (out, in / groups, kernel_h, kernel_w), bias (out),
    result (N, out, H', W') with H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1.
    """
    check_tensor("conv2d", "input", input)
    check_tensor("conv2d", "weight", weight)
    pads: Sequence[int]
    strides = pair("conv2d", "stride", stride)
    dilations = pair("conv2d", "dilation", dilation)
    if isinstance(padding, str):
        input, pads = _resolve_padding("conv2d", input, padding, weight.shape[2:], strides, dilations)
    else:
        pads = pair("conv2d", "padding", padding, minimum=0)
    if input.ndim == 3:
        return _core.conv2d(input.unsqueeze(0), weight, bias, strides, pads, dilations, groups).squeeze(0)
    return _core.conv2d(input, weight, bias, strides, pads, dilations, groups)
