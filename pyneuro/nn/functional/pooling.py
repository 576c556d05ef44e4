"""Pooling: the maximum or mean of windows."""

from __future__ import annotations

from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions._common import composed
from pyneuro.functions.creation import tensor
from pyneuro.nn.functional.checks import Ints, check_positive, check_tensor, pair, single

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window; borders are padded with -inf.

    Shapes: input (N, C, H, W) or (C, H, W), result (N, C, H', W') with
    H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1, rounded up instead if `ceil_mode`.

    Returns:
        the maxima, or with `return_indices` also their places in the flattened H x W image.
    """
    check_tensor("max_pool2d", "input", input)
    kernel = pair("max_pool2d", "kernel_size", kernel_size)
    strides = kernel if stride is None else pair("max_pool2d", "stride", stride)
    pads = pair("max_pool2d", "padding", padding, minimum=0)
    dilations = pair("max_pool2d", "dilation", dilation)
    batched = input if input.ndim != 3 else input.unsqueeze(0)
    values, indices = _core.max_pool2d(batched, kernel, strides, pads, dilations, ceil_mode)
    if batched is not input:
        values, indices = values.squeeze(0), indices.squeeze(0)
    return (values, indices) if return_indices else values


@composed
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d` over one dimension: input (N, C, L) or (C, L)."""
    check_tensor("max_pool1d", "input", input)
    kernel = single("max_pool1d", "kernel_size", kernel_size)
    strides = kernel if stride is None else single("max_pool1d", "stride", stride)
    pads = single("max_pool1d", "padding", padding, minimum=0)
    dilations = single("max_pool1d", "dilation", dilation)
    values, indices = max_pool2d(
        input.unsqueeze(-2),
        (1, *kernel),
        (1, *strides),
        (0, *pads),
        (1, *dilations),
        ceil_mode,
        return_indices=True,
    )
    values, indices = values.squeeze(-2), indices.squeeze(-2)
    return (values, indices) if return_indices else values


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; borders are padded with zeros, which count unless `count_include_pad` is false.

    Shapes: input (N, C, H, W) or (C, H, W), result (N, C, H', W') with H' = (H + 2 padding - kernel) // stride + 1.
    """
    check_tensor("avg_pool2d", "input", input)
    kernel = pair("avg_pool2d", "kernel_size", kernel_size)
    strides = kernel if stride is None else pair("avg_pool2d", "stride", stride)
    pads = pair("avg_pool2d", "padding", padding, minimum=0)
    batched = input if input.ndim != 3 else input.unsqueeze(0)
    means = _core.avg_pool2d(batched, kernel, strides, pads, ceil_mode, count_include_pad, divisor_override)
    return means if batched is input else means.squeeze(0)


@composed
def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d` over one dimension: input (N, C, L) or (C, L)."""
    check_tensor("avg_pool1d", "input", input)
    kernel = single("avg_pool1d", "kernel_size", kernel_size)
    strides = kernel if stride is None else single("avg_pool1d", "stride", stride)
    pads = single("avg_pool1d", "padding", padding, minimum=0)
    means = avg_pool2d(input.unsqueeze(-2), (1, *kernel), (1, *strides), (0, *pads), ceil_mode, count_include_pad)
    return means.squeeze(-2)


def _window_means(length: int, windows: int, like: Tensor) -> Tensor:
    """(length, windows): multiplying by it takes the means of windows from floor(i L / n) to ceil((i + 1) L / n)."""
    columns = [[0.0] * windows for _ in range(length)]
    for i in range(windows):
        start, stop = i * length // windows, -(-(i + 1) * length // windows)
        for j in range(start, stop):
            columns[j][i] = 1.0 / (stop - start)
    return tensor(columns, dtype=like.dtype, device=like.device)


def _adapt(op: str, input: Tensor, dim: int, windows: int | None) -> Tensor:
    length = input.shape[dim]
    if windows is None or windows == length:
        return input
    check_positive(op, "output_size", windows)
    if length == 0:
        raise ValueError(f"{op}: input must not be empty, got shape {tuple(input.shape)}")
    if windows == 1:
        return input.mean(dim, keepdim=True)
    return (input.transpose(dim, -1) @ _window_means(length, windows, input)).transpose(dim, -1)


@composed
def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None] | None) -> Tensor:
    """Means over windows chosen so that the result has `output_size`; None keeps a dimension.

    Shapes: input (N, C, H, W) or (C, H, W), result (N, C, *output_size).
    """
    check_tensor("adaptive_avg_pool2d", "input", input)
    if input.ndim not in (3, 4):
        raise ValueError(f"adaptive_avg_pool2d: input must have 3 or 4 dimensions, got {input.ndim}")
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(sizes) != 2:
        raise ValueError(f"adaptive_avg_pool2d: output_size must be an int or 2 ints, got {output_size!r}")
    for dim, size in zip((-2, -1), sizes, strict=True):
        input = _adapt("adaptive_avg_pool2d", input, dim, size)
    return input


@composed
def adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor:
    """As `adaptive_avg_pool2d` over one dimension: input (N, C, L) or (C, L)."""
    check_tensor("adaptive_avg_pool1d", "input", input)
    if input.ndim not in (2, 3):
        raise ValueError(f"adaptive_avg_pool1d: input must have 2 or 3 dimensions, got {input.ndim}")
    return _adapt("adaptive_avg_pool1d", input, -1, *single("adaptive_avg_pool1d", "output_size", output_size))
