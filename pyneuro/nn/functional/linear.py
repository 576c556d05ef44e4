"""Fully connected maps."""

from __future__ import annotations

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions._common import composed

__all__ = ["bilinear", "linear"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.

    Shapes: input (*, in), weight (out, in), bias (out), result (*, out).
    """
    return _core.linear(input, weight, bias)


@composed
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1^T W_o x2 + b_o for every output o.

    Shapes: input1 (*, in1), input2 (*, in2), weight (out, in1, in2), bias (out), result (*, out).
    """
    if weight.ndim != 3 or input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise ValueError(
            f"bilinear: weight must have shape (out, {input1.shape[-1]}, {input2.shape[-1]}), got {tuple(weight.shape)}"
        )
    # (*, in1) x (in1, out * in2) -> (*, out, in2), then contract in2.
    out, in1, in2 = weight.shape
    by_output = input1 @ weight.permute(1, 0, 2).reshape(in1, out * in2)
    by_output = by_output.reshape(*input1.shape[:-1], out, in2)
    result = (by_output @ input2.unsqueeze(-1)).squeeze(-1)
    return result if bias is None else result + bias
