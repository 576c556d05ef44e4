"""Datasets, splitting, collating, samplers, the digits."""

from __future__ import annotations

import gzip
import struct
from collections import Counter, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro import data


def numbers(n: int) -> data.TensorDataset:
    return data.TensorDataset(pn.arange(n))


def seeded(seed: int = 0) -> Any:
    return pn.Generator().manual_seed(seed)


# ---- datasets --------------------------------------------------------------------------------


def test_tensor_dataset() -> None:
    dataset = data.TensorDataset(pn.arange(6).reshape(3, 2), pn.tensor([7, 8, 9]))
    assert len(dataset) == 3
    row, label = dataset[1]
    assert row.tolist() == [2, 3] and label.item() == 8
    assert [t.tolist() for t in dataset.take_batch([2, 0])] == [[[4, 5], [0, 1]], [9, 7]]
    with pytest.raises(ValueError, match=r"all tensors must have the same length, got \[2, 3\]"):
        data.TensorDataset(pn.zeros(2), pn.zeros(3))
    with pytest.raises(ValueError, match="at least one tensor"):
        data.TensorDataset()
    with pytest.raises(TypeError, match="must hold tensors, got list"):
        data.TensorDataset([1, 2])  # type: ignore[arg-type]


def test_concat_and_subset() -> None:
    both = numbers(3) + numbers(2)
    assert isinstance(both, data.ConcatDataset)
    assert [both[i][0].item() for i in range(5)] == [0, 1, 2, 0, 1]
    assert both[-1][0].item() == 1
    with pytest.raises(IndexError, match=r"index must be in \[-5, 5\), got 5"):
        _ = both[5]
    part = data.Subset(both, [4, 0])
    assert len(part) == 2 and part[0][0].item() == 1
    with pytest.raises(ValueError, match="datasets must not be empty"):
        data.ConcatDataset([])


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [
        ([7, 3], [7, 3]),
        ([0.7, 0.3], [7, 3]),
        ([0.55, 0.25, 0.2], [6, 2, 2]),
        ([1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
    ],
)
def test_random_split(lengths: Any, counts: list[int]) -> None:
    parts = data.random_split(numbers(10), lengths, generator=seeded())
    assert [len(part) for part in parts] == counts
    drawn = [part[i][0].item() for part in parts for i in range(len(part))]
    assert sorted(drawn) == list(range(10)) and drawn != list(range(10))
    again = data.random_split(numbers(10), lengths, generator=seeded())
    assert [part.indices for part in again] == [part.indices for part in parts]


def test_random_split_errors() -> None:
    with pytest.raises(ValueError, match=r"must sum to the dataset's length 10 or to 1, got \[7, 4\]"):
        data.random_split(numbers(10), [7, 4])
    with pytest.raises(ValueError, match=r"lengths must be at least 0, got \[11, -1\]"):
        data.random_split(numbers(10), [11, -1])


def test_digits() -> None:
    images, labels = data.datasets.digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == pn.float32
    assert labels.shape == (1797,) and labels.dtype == pn.int64
    assert images.min().item() == 0 and images.max().item() == 1
    assert Counter(labels.tolist()) == dict(
        zip(range(10), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], strict=True)
    )
    # The first image is a zero: a ring with a hole.
    assert images[0, 0, 3, 2].item() == 12 / 16 and images[0, 0, 3, 3].item() == 0


def idx(array: np.ndarray[Any, Any]) -> bytes:
    code = {"u1": 8, "i2": 0x0B, "f8": 0x0E}[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_mnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(images))
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    x, y = data.datasets.mnist(tmp_path)
    assert x.shape == (5, 1, 28, 28) and x.dtype == pn.float32
    np.testing.assert_array_equal(x.numpy()[:, 0], images.astype(np.float32) / 255)
    assert y.dtype == pn.int64 and y.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte must be there"):
        data.datasets.mnist(tmp_path, train=False)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(images[:3]))
    with pytest.raises(ValueError, match="as many labels"):
        data.datasets.mnist(tmp_path)


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.int16).reshape(2, 3) - 3, np.array(2.5), np.zeros((0, 2))])
def test_read_idx(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    path = tmp_path / "file"
    path.write_bytes(idx(array))
    read = data.datasets.read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


def test_read_idx_of_damaged_files(tmp_path: Path) -> None:
    whole = idx(np.zeros((2, 3), np.uint8))
    path = tmp_path / "file"
    for damaged in (whole[:3], whole[:6], whole[:-1], whole + b"0", b"PK" + whole, gzip.compress(whole)[:-9]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"read_idx: .* must"):
            data.datasets.read_idx(path)


# ---- collating -------------------------------------------------------------------------------


def test_collate_keeps_the_structure() -> None:
    Point = namedtuple("Point", ["x", "y"])
    sample = {
        "image": pn.ones(2),
        "point": Point(1, 2.5),
        "name": "a",
        "more": [np.float32(3), (True, b"b")],
    }
    batch = data.default_collate([sample, sample])
    assert batch["image"].shape == (2, 2)
    assert batch["point"].x.tolist() == [1, 1] and batch["point"].x.dtype == pn.int64
    assert batch["point"].y.tolist() == [2.5, 2.5] and batch["point"].y.dtype == pn.float64
    assert batch["name"] == ["a", "a"]
    assert batch["more"][0].dtype == pn.float32
    assert batch["more"][1][0].dtype == pn.bool and batch["more"][1][1] == [b"b", b"b"]


def test_collate_arrays() -> None:
    batch = data.default_collate([np.zeros((2, 3), np.int32), np.ones((2, 3), np.int32)])
    assert batch.shape == (2, 2, 3) and batch.dtype == pn.int32


def test_collate_errors() -> None:
    with pytest.raises(TypeError, match=r"samples must hold tensors, .*, got NoneType"):
        data.default_collate([(1, None)])
    with pytest.raises(ValueError, match=r"same length, got lengths \[1, 2\]"):
        data.default_collate([(1,), (1, 2)])
    with pytest.raises(ValueError, match="batch must not be empty"):
        data.default_collate([])


# ---- samplers --------------------------------------------------------------------------------


def test_random_sampler() -> None:
    order = list(data.RandomSampler(range(20), generator=seeded()))
    assert sorted(order) == list(range(20)) and order != list(range(20))
    assert order == list(data.RandomSampler(range(20), generator=seeded()))
    generator = seeded()
    sampler = data.RandomSampler(range(20), generator=generator)
    assert list(sampler) != list(sampler), "each pass has its own order"
    longer = list(data.RandomSampler(range(4), num_samples=10))
    assert len(longer) == 10 and sorted(longer[:4]) == sorted(longer[4:8]) == [0, 1, 2, 3]
    drawn = list(data.RandomSampler(range(3), replacement=True, num_samples=300, generator=seeded()))
    assert set(drawn) == {0, 1, 2} and len(drawn) == 300
    assert list(data.RandomSampler([])) == []
    with pytest.raises(ValueError, match="cannot draw 3 samples from an empty dataset"):
        list(data.RandomSampler([], num_samples=3))


def test_subset_random_sampler() -> None:
    assert sorted(data.SubsetRandomSampler([3, 7, 9])) == [3, 7, 9]


def test_weighted_sampler() -> None:
    sampler = data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000, generator=seeded())
    counts = Counter(sampler)
    assert counts[1] == 0 and 0.7 < counts[2] / 4000 < 0.8
    without = data.WeightedRandomSampler([1.0, 0.0, 3.0, 1.0], 3, replacement=False, generator=seeded())
    firsts = Counter()
    for _ in range(300):
        drawn = list(without)
        assert sorted(drawn) == [0, 2, 3]
        firsts[drawn[0]] += 1
    assert 0.5 < firsts[2] / 300 < 0.7
    with pytest.raises(ValueError, match="at most 3 samples without replacement, got 4"):
        data.WeightedRandomSampler([1, 0, 3, 1], 4, replacement=False)
    for weights in ([], [0.0], [-1.0, 2.0], [float("nan")]):
        with pytest.raises(ValueError, match="weights must be finite, at least 0, and not all 0"):
            data.WeightedRandomSampler(weights, 1)


def test_batch_sampler() -> None:
    assert list(data.BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    for n in range(6):
        for drop_last in (False, True):
            sampler = data.BatchSampler(range(n), 2, drop_last)
            assert len(list(sampler)) == len(sampler)
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 0"):
        data.BatchSampler(range(5), 0, False)


def test_torchs_module_name() -> None:
    from pyneuro.utils.data import DataLoader, TensorDataset

    assert DataLoader is data.DataLoader and TensorDataset is data.TensorDataset
