"""Turning a list of samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyneuro._core import Tensor, float64
from pyneuro.functions import as_tensor, stack, tensor

__all__ = ["default_collate"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension, keeping their structure.

    Tensors and NumPy arrays are stacked; numbers become a tensor (Python floats float64, as in torch); strings stay a
    list; of mappings, tuples and lists each entry is collated for itself.

    Raises:
        TypeError: for anything else, None included.

    >>> images, labels = pn.data.default_collate([(pn.zeros(2), 0), (pn.ones(2), 1)])
    >>> images.shape, labels.tolist()
    ((2, 2), [0, 1])
    """
    if not batch:
        raise ValueError("default_collate: batch must not be empty, got no samples")
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return as_tensor(np.stack([np.asarray(sample) for sample in batch]))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        lengths = sorted({len(sample) for sample in batch})
        if len(lengths) > 1:
            raise ValueError(f"default_collate: all samples must have the same length, got lengths {lengths}")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: samples must hold tensors, arrays, numbers, strings, mappings or sequences, "
        f"got {type(first).__name__}"
    )
