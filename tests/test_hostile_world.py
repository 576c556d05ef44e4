"""What comes from outside of a call: damaged files, pickles, threads, fork, Ctrl-C."""

from __future__ import annotations

import copy
import json
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro.testing import assert_close

STATE = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.array([1, 2], np.int64)}


def saved(path: Path) -> Path:
    pn.save({name: pn.tensor(value) for name, value in STATE.items()}, path)
    return path


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a safetensors file, however wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": b"1234567",
    "length without header": struct.pack("<Q", 100),
    "header of 2**60 bytes": safetensors(entry(), b"\0" * 8, 2**60),
    "header of -1 bytes": struct.pack("<q", -1) + b"{}",
    "header that is not JSON": safetensors(b"{not json", b"\0" * 8),
    "header that is a list": safetensors([1, 2]),
    "header that is not UTF-8": safetensors(b"\xff\xfe\xfd\xfc"),
    "entry without dtype": safetensors({"x": {"shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown dtype": safetensors(entry("F33"), b"\0" * 8),
    "shape beyond the data": safetensors(entry(shape=(3,)), b"\0" * 8),
    "shape that overflows": safetensors(entry(shape=(2**40, 2**40)), b"\0" * 8),
    "negative shape": safetensors(entry(shape=(-2,)), b"\0" * 8),
    "offsets beyond the file": safetensors(entry(offsets=(0, 1 << 40)), b"\0" * 8),
    "offsets backwards": safetensors(entry(offsets=(8, 0)), b"\0" * 8),
    "offsets with a gap": safetensors(entry(offsets=(4, 12)), b"\0" * 12),
    "data cut short": safetensors(entry(), b"\0" * 7),
    "data too long": safetensors(entry(), b"\0" * 9),
    "nested a thousand deep": safetensors(b"[" * 100_000),
    "random bytes": np.random.default_rng(0).bytes(4096),
}
PICKLES: dict[str, bytes] = {
    f"protocol {n}": pickle.dumps({"x": [1.0]}, protocol=n) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
}
PICKLES["torch zip archive"] = b"PK\x03\x04" + b"\0" * 60


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(DAMAGED[name])
    with pytest.raises((ValueError, OSError), match=r"^load: .*model\.safetensors"):
        pn.load(path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 50, -1])
def test_truncated_file(keep: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((ValueError, OSError), match=r"^load: .*model\.safetensors"):
        pn.load(path)


def test_every_flipped_bit_of_the_header(tmp_path: Path) -> None:
    """Any damage gives an exception of ours or tensors; nothing else."""
    path = saved(tmp_path / "model.safetensors")
    good = path.read_bytes()
    for position in range(len(good) - 40):
        for bit in (0x01, 0x80):
            path.write_bytes(good[:position] + bytes([good[position] ^ bit]) + good[position + 1 :])
            try:
                state = pn.load(path)
            except (ValueError, OSError) as e:
                assert str(e).startswith("load: ")
            else:
                assert all(isinstance(v, pn.Tensor) for v in state.values())


@pytest.mark.parametrize("name", PICKLES)
def test_pickle_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(PICKLES[name])
    with pytest.raises(ValueError, match=r"^load: .*pickle"):
        pn.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        pn.load(tmp_path / "nothing.safetensors")
    with pytest.raises(OSError, match=r"."):
        pn.load(tmp_path)
    with pytest.raises(OSError, match=r"."):
        pn.save({"x": pn.ones(1)}, tmp_path / "no" / "such" / "folder" / "x.safetensors")


def test_save_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    for bad in ({"x": {1, 2}}, {(1,): pn.ones(1)}, [pn.ones(1), print], object(), {"x": object()}):
        with pytest.raises(TypeError, match=r"^save: "):
            pn.save(bad, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir()), "a failed save left a file"


def test_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors")
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"^save: "):
        pn.save({"x": pn.ones(1), "y": object()}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_round_trip(tmp_path: Path) -> None:
    state = pn.load(saved(tmp_path / "model.safetensors"))
    for name, value in STATE.items():
        assert_close(state[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"]
)
def test_round_trip_of_views(dtype: str, tmp_path: Path) -> None:
    x = pn.arange(12).reshape(3, 4).to(getattr(pn, dtype))
    for view in (x.t(), x[:, ::-2], x[1], x[:0], x[1, 2], x[1].expand(3, 4)):
        pn.save({"x": view}, tmp_path / "x")
        loaded = pn.load(tmp_path / "x")["x"]
        assert loaded.dtype == x.dtype
        assert_close(loaded, view, rtol=0, atol=0)


def test_pickling_a_tensor_is_refused_or_right() -> None:
    x = pn.tensor([1.0, 2.0])
    try:
        blob = pickle.dumps(x)
    except TypeError as e:
        assert "pickle" in str(e)
    else:
        assert_close(pickle.loads(blob), x)


def test_copies() -> None:
    x = pn.tensor([1.0, 2.0])
    for y in (copy.copy(x), copy.deepcopy(x), copy.deepcopy({"x": x})["x"]):
        assert_close(y, x)
    deep = copy.deepcopy(x)
    deep += 1
    assert x.tolist() == [1, 2]


# --- threads -------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            work(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_read_one_tensor() -> None:
    a = np.random.default_rng(0).standard_normal((100, 100)).astype(np.float32)
    x = pn.tensor(a)
    expected = x @ x

    def work(_: int) -> None:
        for _ in range(50):
            assert_close(x @ x, expected, rtol=0, atol=0)
            assert_close(x[10:20].sum(0), a[10:20].sum(0))

    in_threads(4, work)


def test_threads_write_one_tensor() -> None:
    """No order is promised for racing writes, but every value must come from one of them."""
    x = pn.zeros(10_000)

    def work(i: int) -> None:
        for _ in range(50):
            x.fill_(float(i))
            x[100:200].add_(0.0)

    in_threads(4, work)
    assert set(x.tolist()) <= {0.0, 1.0, 2.0, 3.0}


def test_threads_with_their_own_generators() -> None:
    """The stream of a generator does not depend on what other threads draw."""
    expected = [pn.randn(1000, generator=pn.Generator().manual_seed(i)) for i in range(4)]

    def work(i: int) -> None:
        for _ in range(20):
            assert_close(pn.randn(1000, generator=pn.Generator().manual_seed(i)), expected[i], rtol=0, atol=0)

    in_threads(4, work)


def test_threads_run_in_parallel_with_python() -> None:
    """A long op gives up the interpreter lock: another thread counts meanwhile."""
    x = pn.randn(700, 700)
    stop = threading.Event()
    ticks = 0

    def count() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        x @ x
    stop.set()
    thread.join()
    assert ticks > 20, f"{ticks} ticks in half a second"


# --- processes -----------------------------------------------------------------------------------


def python(code: str, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


FORK = """
import os, warnings
warnings.simplefilter("ignore")
import pyneuro as pn
x = pn.ones(300, 300)
expected = (x @ x).sum().item() + x.exp().sum().item()      # the pool is running now
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        got = (x @ x).sum().item() + x.exp().sum().item()
        y = pn.ones(1000, requires_grad=True)
        (y * 2).sum().backward()
        os._exit(0 if got == expected and y.grad.sum().item() == 2000 else 1)
    children.append(pid)
assert all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in children)
assert (x @ x).sum().item() + x.exp().sum().item() == expected
print("fine")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork, which Windows lacks")
def test_fork() -> None:
    process = python(FORK)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out.strip()) == (0, "fine"), err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
@pytest.mark.parametrize(
    "step",
    [
        "x @ x",
        "x.exp().sum()",
        "pn.nn.functional.conv2d(x.view(1, 9, 100, 400), w)",
        "((x.requires_grad_() * 2).exp() @ x).sum().backward()",
    ],
)
def test_ctrl_c(step: str) -> None:
    """Ctrl-C in a loop of ops is KeyboardInterrupt, promptly, and the next op still works."""
    code = f"""
import pyneuro as pn
x, w = pn.ones(600, 600), pn.ones(16, 9, 5, 5)
print("ready", flush=True)
try:
    while True:
        {step}
except KeyboardInterrupt:
    print((pn.ones(300, 300) @ pn.ones(300, 300)).sum().item(), flush=True)
"""
    process = python(code)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out.strip()) == (0, str(300.0**3)), err


def test_exit_with_running_threads() -> None:
    """The interpreter ends while a daemon thread computes: no crash, no hang."""
    code = """
import threading, time
import pyneuro as pn
x = pn.ones(400, 400)
def work():
    while True:
        x @ x
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("leaving", flush=True)
"""
    process = python(code)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out.strip()) == (0, "leaving"), err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYNEURO_ISA", "sse9"),
        ("PYNEURO_NUM_THREADS", "many"),
        ("PYNEURO_NUM_THREADS", "0"),
        ("PYNEURO_NUM_THREADS", "-1"),
    ],
)
def test_wrong_settings_fail_loudly(variable: str, value: str) -> None:
    import os

    process = python("import pyneuro as pn; print(pn.ones(2).sum().item())", env={**os.environ, variable: value})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert variable in err.splitlines()[-1]
    assert value in err.splitlines()[-1]
    assert "panicked" not in err


def test_scalar_code_agrees_with_simd() -> None:
    """The plain loops are the oracle of the vectorised ones."""
    import os

    code = """
import pyneuro as pn
pn.manual_seed(0)
x = pn.randn(1000)
values = [x.exp(), x.tanh(), x.sin(), x.erf(), x.sum(), x.cumsum(0)]
values += [pn.nn.functional.softmax(x, 0), pn.randn(33, 65) @ pn.randn(65, 17)]
print(pn.cat([v.reshape(-1) for v in values]).tolist())
"""
    outputs = []
    for isa in (None, "scalar"):
        env = {k: v for k, v in os.environ.items() if k != "PYNEURO_ISA"}
        process = python(code, env={**env, "PYNEURO_ISA": isa} if isa else env)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        outputs.append(json.loads(out))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=2e-6, atol=1e-5)
