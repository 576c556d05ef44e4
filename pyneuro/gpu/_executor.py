"""The wgpu side of the GPU runtime: a device, and the few verbs that the Rust stream drives it with.

Nothing here knows an op.  Rust decides the shader text, the buffers, the parameters and the grid; this
module turns them into wgpu objects, keeps those that can be used again, and submits them.  wgpu-py's cost
per call is what everything here is arranged around: bind groups and pipelines are cached by key, a batch is
one compute pass, and all its parameters travel in one write.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ._adapters import native_adapters, why_unavailable

#: (pipeline, ((buffer, byte offset, byte size), ...), groups x, groups y, groups z)
Call = tuple[int, tuple[tuple[int, int, int], ...], int, int, int]

#: Every dispatch has one parameter slot of this many bytes: the largest alignment that WebGPU allows a
#: driver to ask for, so slots can follow each other on any adapter.
PARAM_SLOT = 256
_BIND_GROUPS_KEPT = 4096
_STAGING_KEPT = 1 << 20

#: The weakest adapter that pyneuro promises to run on; PYNEURO_GPU_LIMITS=minimal asks for exactly this.
_MINIMAL_LIMITS = {
    "max-storage-buffers-per-shader-stage": 8,
    "max-storage-buffer-binding-size": 128 << 20,
    "max-buffer-size": 256 << 20,
    "max-uniform-buffer-binding-size": 16 << 10,
    "max-compute-workgroup-storage-size": 16 << 10,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-size-x": 256,
    "max-compute-workgroup-size-y": 256,
    "max-compute-workgroup-size-z": 64,
    "max-compute-workgroups-per-dimension": 65535,
    "max-dynamic-uniform-buffers-per-pipeline-layout": 8,
    "min-uniform-buffer-offset-alignment": 256,
    "min-storage-buffer-offset-alignment": 256,
    "max-immediate-size": 0,
}

_T = TypeVar("_T")
_opening = threading.Lock()  # two threads that use the GPU first must get the same device


class GpuError(RuntimeError):
    """The GPU or its driver refused or failed."""


def _explain(verb: str) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """Turn wgpu's exceptions into ours, with the verb that failed."""

    def wrap(method: Callable[..., _T]) -> Callable[..., _T]:
        @functools.wraps(method)
        def call(self: Executor, *args: Any) -> _T:
            try:
                return method(self, *args)
            except self.wgpu.GPUError as error:
                if isinstance(error, self.wgpu.GPUOutOfMemoryError):
                    raise MemoryError(f"gpu {verb}: the device is out of memory") from error
                raise GpuError(f"gpu {verb}: {error}") from error

        return call

    return wrap


def executor(index: int) -> Executor:
    """The one executor of adapter `index` in this process.

    Raises:
        RuntimeError: there is no such adapter; the message says why.
    """
    with _opening:
        return _open(index)


@functools.cache
def _open(index: int) -> Executor:
    reason = why_unavailable()
    if reason is not None:
        raise RuntimeError(f"gpu: no device: {reason}")
    adapters = native_adapters()
    if not 0 <= index < len(adapters):
        raise RuntimeError(f"gpu: device index must be below {len(adapters)} (the adapters found), got {index}")
    return Executor(adapters[index])


def _native_calls() -> tuple[Any, Any] | None:
    """wgpu-py's own library and cffi, where they are what this module knows; PYNEURO_GPU_NATIVE=0 does without."""
    if os.environ.get("PYNEURO_GPU_NATIVE") == "0":
        return None
    try:
        from wgpu.backends.wgpu_native import ffi, lib, lib_version_info
    except ImportError:
        return None
    # These functions have had one signature from wgpu-native 22 to 29; a newer one is not taken on trust.
    return (lib, ffi) if 22 <= lib_version_info[0] <= 29 else None


class Executor:
    """One wgpu device, driven by numbers: buffers and pipelines are named by integers."""

    def __init__(self, adapter: Any) -> None:
        import wgpu

        self.wgpu = wgpu
        self.adapter = adapter
        wanted = dict(_MINIMAL_LIMITS) if os.environ.get("PYNEURO_GPU_LIMITS") == "minimal" else {}
        for name, value in wanted.items():
            # The adapter may have even less; asking for more than it has would fail.
            offered = adapter.limits[name]
            wanted[name] = max(value, offered) if name.startswith("min-") else min(value, offered)
        self.device = adapter.request_device_sync(label="pyneuro", required_limits=wanted or None)
        self.queue = self.device.queue
        self.limits: dict[str, int] = {**self.device.limits, **wanted}
        self._native = _native_calls()

        self._ids = itertools.count(1)
        self._buffers: dict[int, Any] = {}
        self._pipelines: dict[int, tuple[Any, Any]] = {}  # id -> (pipeline, bind group layout)
        self._pipeline_ids: dict[str, int] = {}
        self._layouts: dict[str, tuple[Any, Any]] = {}  # access -> (bind group layout, pipeline layout)
        self._bind_groups: OrderedDict[tuple[int, tuple[tuple[int, int, int], ...]], Any] = OrderedDict()
        self._groups_of_buffer: dict[int, set[tuple[int, tuple[tuple[int, int, int], ...]]]] = {}
        self._staging: Any = None
        self._params: Any = None
        self._params_slots = 0

    # ------------------------------------------------------------------------------------------- memory

    @_explain("alloc")
    def alloc(self, nbytes: int) -> int:
        """A new zeroed storage buffer of `nbytes` (a multiple of 4); returns its number."""
        usage = self.wgpu.BufferUsage
        buffer = self.device.create_buffer(size=nbytes, usage=usage.STORAGE | usage.COPY_SRC | usage.COPY_DST)
        number = next(self._ids)
        self._buffers[number] = buffer
        return number

    def free(self, number: int) -> None:
        """Let go of a buffer.  Work already submitted keeps it alive until it is done."""
        del self._buffers[number]
        for key in self._groups_of_buffer.pop(number, ()):
            self._forget_bind_group(key)

    @_explain("upload")
    def upload(self, number: int, offset: int, data: Any) -> None:
        """Write `data` (bytes-like, a multiple of 4 bytes) before the next submission."""
        self.queue.write_buffer(self._buffers[number], offset, data)

    @_explain("download")
    def download(self, number: int, offset: int, nbytes: int) -> bytes:
        """Wait for everything submitted so far, then read `nbytes` (a multiple of 4)."""
        usage = self.wgpu.BufferUsage
        staging = self._staging
        if staging is None or staging.size < nbytes:
            size = max(4096, 1 << (nbytes - 1).bit_length())
            if size > _STAGING_KEPT:  # large reads are rare: an exact buffer, dropped afterwards
                size = nbytes
            staging = self.device.create_buffer(size=size, usage=usage.MAP_READ | usage.COPY_DST)
            if size <= _STAGING_KEPT:
                self._staging = staging
        encoder = self.device.create_command_encoder()
        encoder.copy_buffer_to_buffer(self._buffers[number], offset, staging, 0, nbytes)
        self.queue.submit([encoder.finish()])
        try:
            # The copy above is the synchronisation; wgpu-py's plain READ would submit an empty encoder first.
            staging.map_async("READ_NOSYNC", 0, nbytes).sync_wait()
            data = bytes(staging.read_mapped(0, nbytes, copy=False))
            staging.unmap()
        except BaseException:
            self._staging = None  # an interrupt leaves it mapped, or about to be: it cannot be used again
            raise
        return data

    # ---------------------------------------------------------------------------------------- pipelines

    @_explain("pipeline")
    def pipeline(self, key: str, wgsl: str, access: str) -> int:
        """A compute pipeline for entry point ``main`` of `wgsl`; the same number for the same `key`.

        `access` has one letter per storage buffer, in binding order from 1: ``r`` or ``w`` (read and write).
        Binding 0 is the parameter slot.
        """
        number = self._pipeline_ids.get(key)
        if number is None:
            group_layout, layout = self._layout(access)
            module = self.device.create_shader_module(label=key, code=wgsl)
            pipeline = self.device.create_compute_pipeline(
                label=key, layout=layout, compute={"module": module, "entry_point": "main"}
            )
            number = next(self._ids)
            self._pipelines[number] = (pipeline, group_layout)
            self._pipeline_ids[key] = number
        return number

    def _layout(self, access: str) -> tuple[Any, Any]:
        found = self._layouts.get(access)
        if found is None:
            kinds = {"r": "read-only-storage", "w": "storage"}
            visibility = self.wgpu.ShaderStage.COMPUTE
            params = {"type": "uniform", "has_dynamic_offset": True, "min_binding_size": 0}
            entries = [{"binding": 0, "visibility": visibility, "buffer": params}]
            entries += [
                {"binding": i, "visibility": visibility, "buffer": {"type": kinds[letter]}}
                for i, letter in enumerate(access, start=1)
            ]
            group_layout = self.device.create_bind_group_layout(entries=entries)
            layout = self.device.create_pipeline_layout(bind_group_layouts=[group_layout])
            found = self._layouts[access] = (group_layout, layout)
        return found

    # --------------------------------------------------------------------------------------- submission

    @_explain("submit")
    def submit(self, calls: Sequence[Call], params: bytes) -> None:
        """Run `calls` in order, as one compute pass; `params` holds one slot for each.

        Nothing has happened on the device when this raises, so the caller may submit the same calls again.
        """
        if len(calls) > self._params_slots:
            self._grow_params(len(calls))
        bound = [self._bind_group(call[0], call[1]) for call in calls]

        self.queue.write_buffer(self._params, 0, params)
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        self._encode(compute, calls, bound)
        compute.end()
        self.queue.submit([encoder.finish()])  # last: see above

    def _encode(self, compute: Any, calls: Sequence[Call], bound: Sequence[Any]) -> None:
        """Put dispatches into an open pass."""
        pipelines = self._pipelines
        current = None
        if self._native is not None:
            # The same three calls without wgpu-py's wrappers, which cost more than the calls.  Mistakes in a pass are
            # reported when the encoder finishes, and that call is wrapped.
            lib, ffi = self._native
            set_pipeline = lib.wgpuComputePassEncoderSetPipeline
            set_bind_group = lib.wgpuComputePassEncoderSetBindGroup
            dispatch = lib.wgpuComputePassEncoderDispatchWorkgroups
            handle = compute._internal
            offset = ffi.new("uint32_t *")
            for call, group in zip(calls, bound):
                if call[0] != current:
                    current = call[0]
                    set_pipeline(handle, pipelines[current][0]._internal)
                set_bind_group(handle, 0, group._internal, 1, offset)
                dispatch(handle, call[2], call[3], call[4])
                offset[0] += PARAM_SLOT
            return
        for slot, (call, group) in enumerate(zip(calls, bound)):
            if call[0] != current:
                current = call[0]
                compute.set_pipeline(pipelines[current][0])
            compute.set_bind_group(0, group, (slot * PARAM_SLOT,))
            compute.dispatch_workgroups(call[2], call[3], call[4])

    def synchronize(self) -> None:
        """Wait until everything submitted is done."""
        number = next(iter(self._buffers), None)
        if number is None:
            number = self.alloc(4)
        self.download(number, 0, 4)

    def _bind_group(self, pipeline: int, views: tuple[tuple[int, int, int], ...]) -> Any:
        layout = self._pipelines[pipeline][1]
        key = (id(layout), views)  # layouts live as long as the executor
        group = self._bind_groups.get(key)
        if group is not None:
            self._bind_groups.move_to_end(key)
            return group
        buffers = self._buffers
        entries = [{"binding": 0, "resource": {"buffer": self._params, "offset": 0, "size": PARAM_SLOT}}]
        entries += [
            {"binding": i, "resource": {"buffer": buffers[number], "offset": offset, "size": size}}
            for i, (number, offset, size) in enumerate(views, start=1)
        ]
        group = self.device.create_bind_group(layout=layout, entries=entries)
        self._bind_groups[key] = group
        for number, _, _ in views:
            self._groups_of_buffer.setdefault(number, set()).add(key)
        if len(self._bind_groups) > _BIND_GROUPS_KEPT:
            self._forget_bind_group(next(iter(self._bind_groups)))
        return group

    def _forget_bind_group(self, key: tuple[int, tuple[tuple[int, int, int], ...]]) -> None:
        self._bind_groups.pop(key, None)
        for number, _, _ in key[1]:
            keys = self._groups_of_buffer.get(number)
            if keys is not None:
                keys.discard(key)

    def _grow_params(self, slots: int) -> None:
        usage = self.wgpu.BufferUsage
        self._params_slots = max(128, 1 << (slots - 1).bit_length())
        self._params = self.device.create_buffer(
            size=self._params_slots * PARAM_SLOT, usage=usage.UNIFORM | usage.COPY_DST
        )
        self._bind_groups.clear()  # they name the old buffer
        self._groups_of_buffer.clear()
