"""`Parameter`: a tensor that a `Module` counts among its parameters."""

from __future__ import annotations

from typing import Any

from pyneuro._core import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor to be learned: assigning it to an attribute of a `Module` registers it there.

    It shares the memory of `data`, and is a leaf of the autograd graph.

    Args:
        data: the initial value, of any shape.
        requires_grad: whether `backward` computes its gradient.

    >>> weight = pn.nn.Parameter(pn.zeros(2, 3))
    >>> weight.requires_grad, weight.is_leaf
    (True, True)
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> Parameter:
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data must be a Tensor, got {type(data).__name__}")
        parameter = super().__new__(cls, data)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        copied: Parameter = memo[id(self)]
        return copied

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
