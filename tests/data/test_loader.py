"""`DataLoader`: batches, order, workers, failures, and that nothing is left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import pyneuro as pn
from pyneuro import data

WORKERS = pytest.mark.parametrize("workers", [0, 1, 3])


class Squares(data.Dataset[int]):
    """Index i maps to i squared; some indices take longer, so that workers overtake each other."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        self.threads.add(threading.current_thread().name)
        time.sleep(0.002 * (index % 3 == 0))
        return index**2


class Stream(data.IterableDataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))

    def __len__(self) -> int:
        return self.n


def lists(loader: data.DataLoader) -> list[Any]:
    return [batch.tolist() for batch in loader]


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pyneuro-data-")]


def wait_for_no_workers() -> None:
    deadline = time.monotonic() + 5
    while worker_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker_threads() == []


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    gc.collect()
    wait_for_no_workers()


# ---- batches ---------------------------------------------------------------------------------


@WORKERS
def test_order_is_kept(workers: int) -> None:
    loader = data.DataLoader(Squares(31), batch_size=4, num_workers=workers)
    expected = [[i**2 for i in range(start, min(start + 4, 31))] for start in range(0, 31, 4)]
    assert lists(loader) == expected
    assert lists(loader) == expected, "a loader can be read again"
    assert len(loader) == 8


def test_workers_do_the_reading() -> None:
    dataset = Squares(40)
    list(data.DataLoader(dataset, batch_size=2, num_workers=2))
    assert dataset.threads <= {"pyneuro-data-0", "pyneuro-data-1"} and dataset.threads
    dataset.threads.clear()
    list(data.DataLoader(dataset, batch_size=2))
    assert dataset.threads == {threading.current_thread().name}


@WORKERS
def test_tensors_are_gathered(workers: int) -> None:
    dataset = data.TensorDataset(pn.arange(10).reshape(5, 2), pn.arange(5))
    for source in (dataset, data.Subset(dataset, [0, 1, 2, 3, 4])):
        batches = list(data.DataLoader(source, batch_size=3, num_workers=workers))
        assert [[t.tolist() for t in batch] for batch in batches] == [
            [[[0, 1], [2, 3], [4, 5]], [0, 1, 2]],
            [[[6, 7], [8, 9]], [3, 4]],
        ]


@WORKERS
def test_shuffle_is_reproducible(workers: int) -> None:
    def read(seed: int) -> list[int]:
        generator = pn.Generator().manual_seed(seed)
        loader = data.DataLoader(Squares(20), 5, shuffle=True, num_workers=workers, generator=generator)
        first, second = ([x for batch in lists(loader) for x in batch] for _ in range(2))
        assert sorted(first) == sorted(second) == [i**2 for i in range(20)]
        assert first != second
        return first

    assert read(1) == read(1) != read(2)


@WORKERS
def test_drop_last(workers: int) -> None:
    loader = data.DataLoader(Squares(10), batch_size=4, drop_last=True, num_workers=workers)
    assert len(loader) == len(lists(loader)) == 2
    stream = data.DataLoader(Stream(10), batch_size=4, drop_last=True, num_workers=workers)
    assert len(stream) == len(lists(stream)) == 2


@WORKERS
def test_single_samples(workers: int) -> None:
    assert list(data.DataLoader(Squares(4), batch_size=None, num_workers=workers)) == [0, 1, 4, 9]
    assert list(data.DataLoader(Stream(3), batch_size=None, num_workers=workers)) == [0, 1, 2]


@WORKERS
def test_samplers_and_collate(workers: int) -> None:
    loader = data.DataLoader(Squares(9), 2, sampler=[5, 1, 2], num_workers=workers, collate_fn=tuple)
    assert list(loader) == [(25, 1), (4,)]
    loader = data.DataLoader(Squares(9), batch_sampler=[[3], [1, 2]], num_workers=workers)
    assert lists(loader) == [[9], [1, 4]] and len(loader) == 2


@WORKERS
def test_iterable_dataset(workers: int) -> None:
    loader = data.DataLoader(Stream(7), batch_size=3, num_workers=workers)
    assert lists(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3


@WORKERS
def test_empty(workers: int) -> None:
    assert lists(data.DataLoader(Squares(0), 4, num_workers=workers)) == []
    assert lists(data.DataLoader(Stream(0), 4, num_workers=workers)) == []


# ---- failures --------------------------------------------------------------------------------


class Broken(Squares):
    def __getitem__(self, index: int) -> int:
        if index == 5:
            raise LookupError(f"cannot read sample {index}")
        return index


@WORKERS
def test_exceptions_reach_the_consumer_with_their_traceback(workers: int) -> None:
    batches = []
    with pytest.raises(LookupError, match="cannot read sample 5") as error:
        for batch in data.DataLoader(Broken(20), batch_size=2, num_workers=workers):
            batches.append(batch.tolist())
    assert batches == [[0, 1], [2, 3]], "what came before is delivered"
    frames = [frame.name for frame in traceback.extract_tb(error.value.__traceback__)]
    assert "__getitem__" in frames and "test_exceptions_reach_the_consumer_with_their_traceback" in frames


@WORKERS
def test_stop_iteration_from_a_dataset_is_not_the_end(workers: int) -> None:
    class Stopping(Squares):
        def __getitem__(self, index: int) -> int:
            raise StopIteration

    with pytest.raises(RuntimeError):
        list(data.DataLoader(Stopping(4), num_workers=workers))


def test_a_timeout_raises() -> None:
    release = threading.Event()

    class Stuck(Squares):
        def __getitem__(self, index: int) -> int:
            release.wait(10)
            return index

    try:
        with pytest.raises(RuntimeError, match=r"no batch arrived within 0.05 seconds"):
            list(data.DataLoader(Stuck(4), num_workers=1, timeout=0.05))
    finally:
        release.set()


def test_a_timeout_error_of_the_dataset_is_its_own() -> None:
    class Late(Squares):
        def __getitem__(self, index: int) -> int:
            raise TimeoutError("the server is slow")

    with pytest.raises(TimeoutError, match="the server is slow"):
        list(data.DataLoader(Late(4), num_workers=1, timeout=5))


def test_worker_init_fn() -> None:
    numbers: list[int] = []
    list(data.DataLoader(Squares(8), num_workers=2, worker_init_fn=numbers.append))
    assert sorted(numbers) == [0, 1]

    def fail(number: int) -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        list(data.DataLoader(Squares(8), num_workers=2, worker_init_fn=fail))


# ---- resources -------------------------------------------------------------------------------


def test_abandoning_early_stops_the_workers() -> None:
    iterator = iter(data.DataLoader(Squares(10_000), batch_size=2, num_workers=3))
    next(iterator)
    assert len(worker_threads()) == 3
    del iterator
    gc.collect()
    wait_for_no_workers()


def test_breaking_out_of_the_loop_stops_the_workers() -> None:
    for _ in data.DataLoader(Squares(10_000), batch_size=2, num_workers=2):
        break
    gc.collect()
    wait_for_no_workers()


def test_reading_ahead_is_bounded() -> None:
    class Counting(Squares):
        def __getitem__(self, index: int) -> int:
            self.read = max(index, getattr(self, "read", 0))
            return index

    dataset = Counting(1000)
    iterator = iter(data.DataLoader(dataset, num_workers=2, prefetch_factor=3))
    next(iterator)
    time.sleep(0.1)
    assert dataset.read <= 7
    del iterator


def test_no_worker_outlives_the_program() -> None:
    program = """
import atexit, threading, time
atexit.register(lambda: print([t.name for t in threading.enumerate()]))  # registered first, so run last

from pyneuro import data

class Slow(data.Dataset):
    def __getitem__(self, index):
        time.sleep(0.2)
        return index
    def __len__(self):
        return 100

batches = iter(data.DataLoader(Slow(), num_workers=2))
next(batches)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['MainThread']\n", "")


def test_two_iterators_at_once() -> None:
    loader = data.DataLoader(Squares(6), batch_size=2, num_workers=2)
    assert [a.tolist() + b.tolist() for a, b in zip(loader, loader, strict=True)] == [
        [0, 1, 0, 1],
        [4, 9, 4, 9],
        [16, 25, 16, 25],
    ]


# ---- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a positive integer or None, got 0"),
        ({"batch_size": 2.0}, "batch_size must be a positive integer or None, got 2.0"),
        ({"num_workers": -1}, "num_workers must be an integer of at least 0, got -1"),
        ({"timeout": -1}, "timeout must be at least 0, got -1"),
        ({"prefetch_factor": 0}, "prefetch_factor must be positive, got 0"),
        ({"sampler": [1], "shuffle": True}, "sampler excludes shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler excludes batch_size"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs a batch_size"),
    ],
)
def test_argument_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"DataLoader: {message}"):
        data.DataLoader(Squares(4), **settings)


def test_datasets_are_indexable_or_iterable_datasets() -> None:
    with pytest.raises(TypeError, match="dataset must have __getitem__ or be an IterableDataset, got generator"):
        data.DataLoader(i for i in range(3))


def test_iterable_datasets_have_their_own_order() -> None:
    with pytest.raises(ValueError, match="an IterableDataset has its own order"):
        data.DataLoader(Stream(4), shuffle=True)
