"""The wgpu side by itself: buffers, pipelines and batches by number."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.gpu

#: out[i] = a[i] * scale + i, for i below count
SHADER = """
struct Params { count: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.count { out[id.x] = a[id.x] * p.scale + f32(id.x); }
}
"""


@pytest.fixture
def executor(gpu):
    from pyneuro.gpu._executor import executor

    return executor(0)


def params(*slots: tuple[int, float]) -> bytes:
    from pyneuro.gpu._executor import PARAM_SLOT

    out = b""
    for count, scale in slots:
        slot = np.uint32(count).tobytes() + np.float32(scale).tobytes()
        out += slot.ljust(PARAM_SLOT, b"\0")
    return out


def test_bytes_come_back(executor, rng) -> None:
    data = rng.integers(0, 256, 4096, dtype=np.uint8).tobytes()
    buffer = executor.alloc(8192)
    executor.upload(buffer, 4096, data)
    assert executor.download(buffer, 4096, 4096) == data
    assert executor.download(buffer, 4100, 12) == data[4:16]
    assert executor.download(buffer, 0, 64) == bytes(64), "a new buffer is zero"
    executor.free(buffer)


def test_large_reads_do_not_keep_their_staging(executor, rng) -> None:
    data = rng.integers(0, 256, 3 << 20, dtype=np.uint8).tobytes()
    buffer = executor.alloc(len(data))
    executor.upload(buffer, 0, data)
    assert executor.download(buffer, 0, len(data)) == data
    assert executor._staging is None or executor._staging.size < len(data)
    executor.free(buffer)


def test_an_interrupted_read_does_not_spoil_the_next(executor, monkeypatch) -> None:
    """Ctrl-C while waiting leaves a mapped staging buffer, and to submit one aborts the process."""
    buffer = executor.alloc(64)
    executor.download(buffer, 0, 64)
    staging = type(executor._staging)
    map_async = staging.map_async

    def interrupted(*args):
        map_async(*args).sync_wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(staging, "map_async", interrupted)
        executor.download(buffer, 0, 64)
    assert executor.download(buffer, 0, 64) == bytes(64)
    executor.free(buffer)


def test_a_batch_runs_in_order_with_its_own_parameters(executor) -> None:
    n = 100
    first, second = executor.alloc(4 * n), executor.alloc(4 * n)
    pipeline = executor.pipeline("test scale", SHADER, "wr")
    x = np.arange(n, dtype=np.float32)
    executor.upload(first, 0, x.tobytes())
    there = (pipeline, ((second, 0, 4 * n), (first, 0, 4 * n)), 2, 1, 1)
    back = (pipeline, ((first, 0, 4 * n), (second, 0, 4 * n)), 2, 1, 1)
    executor.submit([there, back, there], params((n, 2.0), (n, 3.0), (10, 0.5)))
    expected = (x * 2 + x) * 3 + x
    np.testing.assert_array_equal(np.frombuffer(executor.download(first, 0, 4 * n), np.float32), expected)
    tail = np.frombuffer(executor.download(second, 0, 4 * n), np.float32)
    np.testing.assert_array_equal(tail[:10], expected[:10] * 0.5 + x[:10])
    np.testing.assert_array_equal(tail[10:], (x * 2 + x)[10:])


def test_pipelines_and_bind_groups_are_reused(executor) -> None:
    a, b = executor.alloc(256), executor.alloc(256)
    pipeline = executor.pipeline("test scale", SHADER, "wr")
    assert executor.pipeline("test scale", SHADER, "wr") == pipeline
    call = (pipeline, ((a, 0, 256), (b, 0, 256)), 1, 1, 1)
    executor.submit([call], params((1, 1.0)))
    known = len(executor._bind_groups)
    executor.submit([call] * 5, params(*[(1, 1.0)] * 5))
    assert len(executor._bind_groups) == known
    executor.free(a)
    assert len(executor._bind_groups) == known - 1, "a bind group would keep its buffer alive"
    executor.free(b)


def test_errors_say_what_failed(executor) -> None:
    from pyneuro.gpu._executor import GpuError

    with pytest.raises(GpuError, match=r"(?s)gpu pipeline: .*no_such_function"):
        executor.pipeline("test broken", "@compute @workgroup_size(1) fn main() { no_such_function(); }", "")
    with pytest.raises(GpuError, match="gpu alloc"):
        executor.alloc(executor.limits["max-buffer-size"] + 4)
    # and the device still works
    buffer = executor.alloc(16)
    assert executor.download(buffer, 0, 16) == bytes(16)


def test_a_missing_adapter_is_named(gpu) -> None:
    from pyneuro.gpu._executor import executor

    with pytest.raises(RuntimeError, match=r"device index must be below .*got 99"):
        executor(99)


def test_adapters_are_listed_once(gpu) -> None:
    import pyneuro as pn

    adapters = pn.gpu.adapters()
    assert [a.index for a in adapters] == list(range(pn.gpu.device_count()))
    assert all(a.backend in ("Vulkan", "Metal", "D3D12") for a in adapters)
    software = [a.is_software for a in adapters]
    assert software == sorted(software), "software adapters come last"


@pytest.mark.slow
def test_the_weakest_adapter_will_do(gpu) -> None:
    """A training step with PYNEURO_GPU_LIMITS=minimal, where wgpu itself enforces the limits."""
    code = """
import numpy as np
import pyneuro as pn
from pyneuro import nn
from pyneuro.nn import functional as F
info = pn.gpu.info()
assert info["max_threads_per_group"] == 256 and info["max_shared_bytes"] == 16384, info
assert info["max_storage_buffers"] == 8 and info["max_binding_bytes"] == 128 << 20, info
model = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)
).to("gpu")
optimizer = pn.optim.AdamW(model.parameters(), lr=0.01)
x, y = pn.randn(8, 1, 8, 8, device="gpu"), pn.randint(0, 10, (8,), device="gpu")
losses = []
for _ in range(5):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert np.isfinite(losses).all() and losses[-1] < losses[0], losses
print("done")
"""
    environment = {**os.environ, "PYNEURO_GPU_LIMITS": "minimal"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=110)
    assert done.stdout.strip() == "done", done.stderr
