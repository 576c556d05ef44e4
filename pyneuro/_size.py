"""`Size`: what `Tensor.shape` is."""

from __future__ import annotations

import math

__all__ = ["Size"]


class Size(tuple[int, ...]):
    """The lengths of a tensor's dimensions: a tuple that can count its elements.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()
    __module__ = "pyneuro"

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)
