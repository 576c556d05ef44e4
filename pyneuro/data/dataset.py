"""Datasets: what maps an index to a sample, or yields samples."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from pyneuro._core import Tensor
from pyneuro.functions.creation import tensor
from pyneuro.functions.random import randperm

__all__ = ["ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset", "random_split"]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base class of the datasets with `__getitem__(index)`; nearly all have `__len__` too.

    >>> class Squares(pn.data.Dataset):
    ...     def __len__(self):
    ...         return 10
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: int) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: has no __getitem__ method")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Generic[T_co]):
    """Base class of the datasets that can only be read in order, by `__iter__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: has no __iter__ method")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors whose first dimension counts the samples; sample i is a tuple of their rows i.

    >>> dataset = pn.data.TensorDataset(pn.zeros(5, 2), pn.arange(5))
    >>> image, label = dataset[3]
    >>> image.shape, label.item()
    ((2,), 3)
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: needs at least one tensor, got none")
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset: must hold tensors, got {type(t).__name__}")
            if t.ndim == 0:
                raise ValueError("TensorDataset: tensors must have a first dimension, got shape ()")
        lengths = [t.shape[0] for t in tensors]
        if len(set(lengths)) > 1:
            raise ValueError(f"TensorDataset: all tensors must have the same length, got {lengths}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def take_batch(self, indices: Sequence[int]) -> list[Tensor]:
        """Several samples, already collated: one gather per tensor instead of a slice and a stack per sample."""
        positions = tensor(list(indices))
        return [t[positions.to(t.device)] for t in self.tensors]


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other.

    >>> numbers = pn.data.TensorDataset(pn.arange(3))
    >>> len(pn.data.ConcatDataset([numbers, numbers]))
    6
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets must not be empty, got none")
        for dataset in self.datasets:
            if isinstance(dataset, IterableDataset):
                raise TypeError("ConcatDataset: datasets must have an index, got an IterableDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index must be in [{-len(self)}, {len(self)}), got {index}")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        sample: T_co = self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]
        return sample


class Subset(Dataset[T_co]):
    """The samples of a dataset at some indices, in their order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> T_co:
        sample: T_co = self.dataset[self.indices[index]]
        return sample

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[int] | Sequence[float], generator: Any = None) -> list[Subset[Any]]:
    """Split a dataset at random into parts that do not overlap.

    Args:
        dataset: has `__len__`.
        lengths: the size of each part; or fractions that sum to 1, whose rounding leftovers go to the first parts.
        generator: makes the split reproducible.

    >>> numbers = pn.data.TensorDataset(pn.arange(10))
    >>> train, test = pn.data.random_split(numbers, [0.8, 0.2], generator=pn.Generator().manual_seed(0))
    >>> len(train), len(test)
    (8, 2)
    """
    total = len(dataset)
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must be at least 0, got {list(lengths)}")
    if math.isclose(sum(lengths), 1) and sum(lengths) != total:
        counts = [math.floor(total * fraction) for fraction in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    elif sum(lengths) == total:
        counts = [int(length) for length in lengths]
    else:
        raise ValueError(f"random_split: lengths must sum to the dataset's length {total} or to 1, got {list(lengths)}")
    order = randperm(total, generator=generator).tolist()
    stops = list(itertools.accumulate(counts))
    return [Subset(dataset, order[stop - count : stop]) for stop, count in zip(stops, counts, strict=True)]
