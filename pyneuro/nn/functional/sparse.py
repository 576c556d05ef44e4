"""Looking up rows."""

from __future__ import annotations

from pyneuro import _core
from pyneuro._core import Tensor

__all__ = ["embedding"]


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight`; the row `padding_idx` gets no gradient.

    Shapes: input (*) of any integer dtype, weight (rows, width), result (*, width).
    """
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise ValueError(f"embedding: padding_idx must be in [{-rows}, {rows}), got {padding_idx}")
        padding_idx %= rows
    return _core.embedding(weight, input, padding_idx)
