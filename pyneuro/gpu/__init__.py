"""GPUs, through wgpu: Vulkan, Metal or DX12.

Tensors move with ``.to("gpu")``, ``.to("gpu:1")`` and ``device="gpu"``.  Work on a GPU is recorded and runs in
batches, when a result is read or enough has gathered, so an op returns at once.  This module tells what is there,
waits for it, and reports its memory.  Nothing here imports wgpu before it is asked something.
"""

from __future__ import annotations

from typing import NamedTuple

from ._adapters import Adapter, list_adapters, why_unavailable

__all__ = [
    "Adapter",
    "Memory",
    "Stats",
    "adapters",
    "current_device",
    "device_count",
    "empty_cache",
    "flush",
    "info",
    "is_available",
    "memory",
    "reset_peak_memory",
    "stats",
    "synchronize",
    "why_unavailable",
]


class Memory(NamedTuple):
    """Bytes of device memory.

    Attributes:
        allocated: held by tensors.
        cached: kept for the next tensors.
        peak: the most that tensors have held, since the start or `reset_peak_memory`.
    """

    allocated: int
    cached: int
    peak: int


class Stats(NamedTuple):
    """What a device has been given to do.

    Attributes:
        dispatches: kernels recorded.
        submissions: batches they were submitted in.
        pipelines: different kernels compiled.
    """

    dispatches: int
    submissions: int
    pipelines: int


def is_available() -> bool:
    """Whether a GPU can be used; `why_unavailable` says why not.

    Example:
        >>> import pyneuro as pn
        >>> isinstance(pn.gpu.is_available(), bool)
        True
    """
    return why_unavailable() is None


def device_count() -> int:
    """How many adapters can be used; 0 where there are none."""
    return len(list_adapters())


def current_device() -> int:
    """The index that ``"gpu"`` without a number means: the first, and best, adapter."""
    return 0


def adapters() -> list[Adapter]:
    """The adapters, best first: ``"gpu:<i>"`` is the i-th.  A software adapter comes last.

    Example:
        >>> import pyneuro as pn
        >>> len(pn.gpu.adapters()) == pn.gpu.device_count()
        True
    """
    return list(list_adapters())


def info(device: int = 0) -> dict[str, str | int | bool]:
    """What is known about a device and the limits it was opened with.

    Args:
        device: index of the adapter.

    Raises:
        RuntimeError: there is no such device.
    """
    from ._executor import executor

    opened = executor(device)  # explains itself where there is none
    adapter = list_adapters()[device]
    return {
        "name": adapter.name,
        "kind": adapter.kind,
        "backend": adapter.backend,
        "driver": adapter.driver,
        "software": adapter.is_software,
        "max_buffer_bytes": opened.limits["max-buffer-size"],
        "max_binding_bytes": opened.limits["max-storage-buffer-binding-size"],
        "max_groups_per_dim": opened.limits["max-compute-workgroups-per-dimension"],
        "max_threads_per_group": opened.limits["max-compute-invocations-per-workgroup"],
        "max_shared_bytes": opened.limits["max-compute-workgroup-storage-size"],
        "max_storage_buffers": opened.limits["max-storage-buffers-per-shader-stage"],
    }


def synchronize(device: int = 0) -> None:
    """Run everything recorded on a device and wait for it.

    Raises:
        RuntimeError: there is no such device, or it failed.
        IndexError: a kernel met an index outside its dimension.
    """
    from .. import _core

    _core.gpu_synchronize(device)


def flush(device: int = 0) -> None:
    """Submit what is recorded on a device, without waiting; optimizers do so at the end of a step."""
    from .. import _core

    _core.gpu_flush(device)


def memory(device: int = 0) -> Memory:
    """How much device memory pyneuro holds."""
    from .. import _core

    return Memory(*_core.gpu_memory(device))


def reset_peak_memory(device: int = 0) -> None:
    """Start a new measurement of ``memory().peak``."""
    from .. import _core

    _core.gpu_reset_peak_memory(device)


def empty_cache(device: int = 0) -> None:
    """Give device memory that is only kept for reuse back to the system."""
    from .. import _core

    _core.gpu_empty_cache(device)


def stats(device: int = 0) -> Stats:
    """Counters of what a device has been given to do: what to look at when a step is slow."""
    from .. import _core

    return Stats(*_core.gpu_stats(device))
