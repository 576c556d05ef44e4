"""Fully connected layers, and Identity."""

from __future__ import annotations

import math
from typing import Any

from pyneuro._core import Tensor
from pyneuro.functions.creation import empty
from pyneuro.nn import functional as F, init
from pyneuro.nn.functional.checks import check_positive
from pyneuro.nn.module import Module
from pyneuro.nn.parameter import Parameter

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Returns its input; takes and ignores any arguments, so that it can stand in for another layer.

    >>> pn.nn.Identity(54, unused=True)(pn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """y = x W^T + b.

    Shapes: input (*, in_features), output (*, out_features), weight (out_features, in_features), bias (out_features).
    Weight and bias start as U(-1/sqrt(in_features), 1/sqrt(in_features)).

    >>> pn.nn.Linear(20, 30)(pn.zeros(128, 20)).shape
    (128, 30)
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = check_positive("Linear", "in_features", in_features)
        self.out_features = check_positive("Linear", "out_features", out_features)
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_o = x1^T W_o x2 + b_o.

    Shapes: input1 (*, in1_features), input2 (*, in2_features), output (*, out_features),
    weight (out_features, in1_features, in2_features), bias (out_features).
    Weight and bias start as U(-1/sqrt(in1_features), 1/sqrt(in1_features)).

    >>> pn.nn.Bilinear(20, 30, 40)(pn.zeros(128, 20), pn.zeros(128, 30)).shape
    (128, 40)
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = check_positive("Bilinear", "in1_features", in1_features)
        self.in2_features = check_positive("Bilinear", "in2_features", in2_features)
        self.out_features = check_positive("Bilinear", "out_features", out_features)
        self.weight = Parameter(empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
