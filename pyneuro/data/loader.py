"""`DataLoader`: batches of samples, read ahead by threads."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pyneuro.data.collate import default_collate
from pyneuro.data.dataset import IterableDataset, Subset, TensorDataset
from pyneuro.data.sampler import BatchSampler, RandomSampler, SequentialSampler

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["DataLoader"]


class DataLoader:
    """Iterates over a dataset in batches.

    Workers are threads: they share memory with the program, start at once and need no pickling. NumPy, file reading,
    decompression and pyneuro's own work run in parallel; pure Python code does not.

    Args:
        dataset: has `__getitem__` and `__len__`, or is an `IterableDataset`.
        batch_size: samples per batch; None yields single samples, uncollated.
        shuffle: visit the samples in random order, anew in each pass.
        sampler: the order, in place of `shuffle`.
        batch_sampler: the batches, in place of batch_size, shuffle, sampler and drop_last.
        num_workers: threads that read ahead; 0 reads in the calling thread. An `IterableDataset` is read by one.
        collate_fn: makes a batch of a list of samples.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a batch from the workers; 0 waits for ever.
        worker_init_fn: called with its number in each worker as it starts.
        generator: makes `shuffle` reproducible.
        prefetch_factor: how many batches each worker reads ahead; 2 if None.
        pin_memory, persistent_workers: accepted for torch programs; there is nothing to pin, and threads start at once.

    >>> dataset = pn.data.TensorDataset(pn.zeros(10, 3), pn.arange(10))
    >>> for inputs, labels in pn.data.DataLoader(dataset, batch_size=4):
    ...     print(inputs.shape, labels.tolist())
    (4, 3) [0, 1, 2, 3]
    (4, 3) [4, 5, 6, 7]
    (2, 3) [8, 9]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        *,
        generator: Any = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must be an integer of at least 0, got {num_workers!r}")
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout must be at least 0, got {timeout}")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"DataLoader: prefetch_factor must be positive, got {prefetch_factor}")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler excludes shuffle")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size, got None")

        self.dataset = dataset
        self.num_workers = num_workers
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.drop_last = drop_last
        self.batch_size = batch_size if batch_sampler is None else None
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler

        if not (isinstance(dataset, IterableDataset) or hasattr(dataset, "__getitem__")):
            got = type(dataset).__name__
            raise TypeError(f"DataLoader: dataset must have __getitem__ or be an IterableDataset, got {got}")
        if isinstance(dataset, IterableDataset):
            if shuffle or sampler is not None or batch_sampler is not None:
                raise ValueError(
                    "DataLoader: an IterableDataset has its own order, so shuffle and samplers are excluded"
                )
            if batch_size is not None:
                _check_batch_size(batch_size)
        elif batch_sampler is None:
            if sampler is None:
                self.sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            if batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, _check_batch_size(batch_size), drop_last)
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn: Callable[[Any], Any] = collate_fn or (default_collate if batched else _identity)

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            samples = len(self.dataset)  # type: ignore[arg-type]  # it may have a length
            if self.batch_size is None:
                return samples
            return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        jobs, fetch, workers = self._plan()
        if workers == 0:
            return _read(jobs, fetch)
        depth = self.num_workers * self.prefetch_factor
        reader = _read_ahead(jobs, fetch, workers, depth, self.timeout or None, self.worker_init_fn)
        _readers.add(reader)
        return reader

    def _plan(self) -> tuple[Iterator[Any], Callable[[Any], Any], int]:
        """What describes each batch, how to get it from that, and by how many threads."""
        dataset, collate, size = self.dataset, self.collate_fn, self.batch_size
        if isinstance(dataset, IterableDataset):
            samples = iter(dataset)
            drop_last = self.drop_last

            def next_batch(_: object) -> Any:
                if size is None:
                    sample = next(samples, _END)
                    return sample if sample is _END else collate(sample)
                batch = list(itertools.islice(samples, size))
                if not batch or (drop_last and len(batch) < size):
                    return _END
                return collate(batch)

            return itertools.repeat(None), next_batch, min(self.num_workers, 1)
        if self.batch_sampler is None:
            return iter(self.sampler), lambda index: collate(dataset[index]), self.num_workers
        gather = _gather(dataset) if collate is default_collate else None
        if gather is None:
            return (
                iter(self.batch_sampler),
                lambda batch: collate([dataset[i] for i in batch]),
                self.num_workers,
            )
        return iter(self.batch_sampler), gather, self.num_workers


_END = object()  # what a fetch returns when there is nothing more


def _check_batch_size(batch_size: object) -> int:
    """`batch_size` as a positive int."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"DataLoader: batch_size must be a positive integer or None, got {batch_size!r}")
    return batch_size


def _identity(sample: Any) -> Any:
    return sample


def _gather(dataset: Any) -> Callable[[Sequence[int]], Any] | None:
    """How to take a whole batch of tensors at once, where the dataset is nothing but tensors."""
    if type(dataset) is TensorDataset:
        return dataset.take_batch
    if type(dataset) is Subset:
        inner = _gather(dataset.dataset)
        if inner is not None:
            return lambda batch: inner([dataset.indices[i] for i in batch])
    return None


def _read(jobs: Iterator[Any], fetch: Callable[[Any], Any]) -> Iterator[Any]:
    for job in jobs:
        batch = fetch(job)
        if batch is _END:
            return
        yield batch


def _work(
    queue: SimpleQueue[tuple[Future[Any], Any] | None],
    fetch: Callable[[Any], Any],
    init: Callable[[int], object] | None,
    number: int,
) -> None:
    """The life of a worker: it ends at the first None."""
    failure: BaseException | None = None
    if init is not None:
        try:
            init(number)
        except BaseException as error:
            failure = error
    while (task := queue.get()) is not None:
        future, job = task
        if future.set_running_or_notify_cancel():
            try:
                if failure is not None:
                    raise failure
                future.set_result(fetch(job))
            except BaseException as error:
                future.set_exception(error)
        del task, future, job  # a waiting worker must not keep its last batch alive


def _read_ahead(
    jobs: Iterator[Any],
    fetch: Callable[[Any], Any],
    workers: int,
    depth: int,
    timeout: float | None,
    init: Callable[[int], object] | None,
) -> Generator[Any, None, None]:
    """Results in the order of the jobs, up to `depth` of them computed ahead.

    An exception in a worker is raised here, with the worker's frames in its traceback. However the iteration ends,
    also when its iterator is thrown away early, the workers are told to stop.
    """
    from concurrent.futures import (
        Future,
        TimeoutError,
    )  # slow to import (logging), and needed only here

    queue: SimpleQueue[tuple[Future[Any], Any] | None] = SimpleQueue()
    pending: deque[Future[Any]] = deque()

    def submit(count: int) -> None:
        for job in itertools.islice(jobs, count):
            future: Future[Any] = Future()
            pending.append(future)
            queue.put((future, job))

    threads = [
        threading.Thread(target=_work, args=(queue, fetch, init, i), name=f"pyneuro-data-{i}", daemon=True)
        for i in range(workers)
    ]
    for thread in threads:
        thread.start()
        _workers.add(thread)
    try:
        submit(depth)
        while pending:
            future = pending.popleft()
            try:
                batch = future.result(timeout)
            except TimeoutError:
                if future.done():  # raised by the dataset itself
                    raise
                raise RuntimeError(f"DataLoader: no batch arrived within {timeout} seconds") from None
            if batch is _END:
                return
            submit(1)
            yield batch
            del batch, future
    finally:
        for future in pending:
            future.cancel()
        for _ in threads:
            queue.put(None)


_readers: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()
_workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@atexit.register
def _stop_workers() -> None:
    """A thread inside the extension must not outlive the interpreter, whose end it could not survive."""
    for reader in list(_readers):
        with contextlib.suppress(ValueError):  # it is running, in another thread
            reader.close()
    for worker in list(_workers):
        worker.join(timeout=5)  # a worker that is stuck for good must not keep the program from ending
