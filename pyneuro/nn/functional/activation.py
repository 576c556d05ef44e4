"""Activation functions.

All work elementwise on any shape unless they say otherwise; `inplace` overwrites the input.
"""

from __future__ import annotations

from pyneuro._core import Tensor, ops, ops_
from pyneuro._typing import DType
from pyneuro.functions import log_softmax, softmax, where
from pyneuro.functions._common import composed

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return (ops_ if inplace else ops)["relu"](input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    table = ops_ if inplace else ops
    return table["clamp"](table["relu"](input), 0.0, 6.0)  # relu first: no gradient at 0, as in torch


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x, kept within [min_val, max_val]."""
    return (ops_ if inplace else ops)["clamp"](input, min_val, max_val)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ops["sigmoid"](input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops["tanh"](input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return (ops_ if inplace else ops)["leaky_relu"](input, negative_slope)


@composed
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x, with one weight for all or one per channel (dimension 1)."""
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.ndim != 1 or weight.numel() != channels:
            raise ValueError(
                f"prelu: weight must have 1 element or one per channel ({channels}), got shape {tuple(weight.shape)}"
            )
        weight = weight.reshape(-1, *[1] * (input.ndim - 2))
    return where(input > 0, input, input * weight)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return (ops_ if inplace else ops)["elu"](input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0, got 0")
    return (ops_ if inplace else ops)["celu"](input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising ELU: 1.0507 * elu(x, 1.6733)."""
    return (ops_ if inplace else ops)["selu"](input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x) with the normal distribution function Phi, exact ("none") or by a formula with tanh ("tanh")."""
    if approximate == "none":
        return ops["gelu"](input)
    if approximate == "tanh":
        return ops["gelu_tanh"](input)
    raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x), also called swish."""
    return (ops_ if inplace else ops)["silu"](input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold."""
    if beta == 0:
        raise ValueError("softplus: beta must not be 0, got 0")
    return ops["softplus"](input, beta, threshold)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without underflow."""
    return ops["logsigmoid"](input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return (ops_ if inplace else ops)["mish"](input)


@composed
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1.0 + input.abs())


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return (ops_ if inplace else ops)["hardsigmoid"](input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    return (ops_ if inplace else ops)["hardswish"](input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return ops["hardshrink"](input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where it would cross."""
    if lambd < 0:
        raise ValueError(f"softshrink: lambd must be at least 0, got {lambd}")
    return ops["softshrink"](input, lambd)


@composed
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - ops["tanh"](input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    return (ops_ if inplace else ops)["threshold"](input, threshold, value)


@composed
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b) for the two halves a, b of dimension `dim`, which must have an even length."""
    length = input.shape[dim]
    if length % 2:
        raise ValueError(f"glu: dimension {dim} must have an even length, got {length}")
    values, gates = input.chunk(2, dim)
    return values * ops["sigmoid"](gates)


def softmin(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """softmax(-x)."""
    return softmax(-input, dim, dtype=dtype)
