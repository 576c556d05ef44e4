"""Padding at the borders."""

from __future__ import annotations

from collections.abc import Sequence

from pyneuro import _core
from pyneuro._core import Tensor
from pyneuro.functions.creation import tensor

__all__ = ["pad"]


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add to (or with negative numbers: cut from) both ends of the last dimensions.

    Args:
        input: any shape.
        pad: (before, after) of the last dimension, then of the one before it, and so on.
        mode: "constant" fills with `value`; "reflect" mirrors without repeating the border; "replicate" repeats the
            border; "circular" goes round.
        value: what "constant" fills with; 0 if None.

    >>> pn.nn.functional.pad(pn.tensor([1, 2, 3]), (2, 1), mode="reflect").tolist()
    [3, 2, 1, 2, 3, 2]
    """
    pads = list(pad)
    if len(pads) % 2 or len(pads) > 2 * input.ndim:
        raise ValueError(
            f"pad: pad must hold a pair for each of at most {input.ndim} dimensions, got {len(pads)} numbers"
        )
    if mode == "constant":
        return _core.pad(input, pads, 0.0 if value is None else value)
    if value is not None:
        raise ValueError(f"pad: value must be None for mode {mode!r}, got {value}")
    for i in range(len(pads) // 2):
        before, after = pads[2 * i : 2 * i + 2]
        if before or after:
            dim = input.ndim - 1 - i
            source = _source_indices(mode, input.shape[dim], before, after)
            input = input.index_select(dim, tensor(source, device=input.device))
    return input


def _source_indices(mode: str, length: int, before: int, after: int) -> list[int]:
    """Which element each place of the padded dimension takes."""
    places = range(-before, length + after)
    if mode == "replicate":
        if length == 0:
            raise ValueError("pad: mode 'replicate' needs a non-empty dimension, got length 0")
        return [min(max(i, 0), length - 1) for i in places]
    if mode == "circular":
        if max(before, after) > length:
            raise ValueError(f"pad: mode 'circular' can add at most the length {length}, got {max(before, after)}")
        return [i % length for i in places]
    if mode == "reflect":
        if max(before, after) >= length:
            raise ValueError(f"pad: mode 'reflect' can add less than the length {length}, got {max(before, after)}")
        return [length - 1 - abs(length - 1 - abs(i)) for i in places]
    raise ValueError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
