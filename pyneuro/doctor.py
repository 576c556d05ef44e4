"""`python -m pyneuro.doctor`: what pyneuro finds on this machine, and what is missing, in words.

Exit status: 0 where CPU and GPU both work, 1 where something is broken, 2 where only the GPU is missing.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import pyneuro as pn

Verdict = Literal["ok", "note", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the report, and what to do about it."""

    verdict: Verdict
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"[{self.verdict:^7}]  {self.text}"
        return f"{line}\n{' ' * 11}{self.advice}" if self.advice else line


def check_python() -> Iterator[Finding]:
    """The interpreter, the platform and NumPy."""
    yield Finding(
        "ok",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"NumPy {np.__version__}, pyneuro {pn.__version__} ({Path(pn.__file__).parent})",
    )


def check_cpu() -> Iterator[Finding]:
    """Instruction set, threads, and one computation."""
    names = {
        "avx512": "AVX-512",
        "avx2": "AVX2 and FMA",
        "neon": "NEON",
        "scalar": "no SIMD: this CPU has neither AVX2 nor NEON, so everything is several times slower",
    }
    isa = pn.cpu.isa()
    forced = os.environ.get("PYNEURO_ISA")
    how = f"forced by PYNEURO_ISA={forced}" if forced else "the best this CPU has"
    yield Finding("note" if isa == "scalar" or forced else "ok", f"CPU kernels: {names[isa]} ({how})")
    threads, cores = pn.get_num_threads(), os.cpu_count()
    reason = "" if threads == cores else " (affinity, cgroup quota or PYNEURO_NUM_THREADS)"
    yield Finding("ok", f"threads: {threads} of {cores} cores{reason}")
    yield _compare("cpu", "the CPU")


def check_gpu() -> Iterator[Finding]:
    """wgpu, adapters, drivers, and one computation on each adapter."""
    adapters = pn.gpu.adapters()
    if not adapters:
        yield Finding("missing", f"GPU: {pn.gpu.why_unavailable()}", _driver_advice())
        return
    for adapter in adapters:
        yield Finding("ok", f"gpu:{adapter.index}: {adapter.name}, {adapter.backend}, {adapter.driver}")
        if adapter.is_software:
            yield Finding(
                "note",
                f"gpu:{adapter.index} is a program on the CPU: right for tests, slow for work",
                "install the driver of your graphics card if there is one",
            )
        yield _compare(f"gpu:{adapter.index}", adapter.name)


def _compare(device: str, name: str) -> Finding:
    """Train one linear layer for one step on the device and compare with NumPy."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    try:
        weight = pn.tensor(w, device=device, requires_grad=True)
        y = (pn.tensor(x, device=device) @ weight).tanh()
        y.sum().backward()
        assert weight.grad is not None
        got = weight.grad.cpu().numpy()
    except Exception as error:
        return Finding("broken", f"{name} fails to compute: {type(error).__name__}: {error}")
    wanted = x.T.astype(np.float64) @ (1 - np.tanh(x.astype(np.float64) @ w) ** 2)
    worst = float(np.abs(got - wanted).max())
    if not worst < 1e-3:
        return Finding("broken", f"{name} computes wrong numbers: a gradient is off by {worst:.3g}")
    return Finding("ok", f"{name} computes: a matrix product, tanh and their gradients agree with NumPy")


def _driver_advice() -> str:
    """What would make a GPU appear on this platform."""
    if sys.platform != "linux":
        return "install or update the driver of your graphics card"
    advice = []
    if ctypes.util.find_library("vulkan") is None:
        advice.append("the Vulkan loader is missing (Debian, Ubuntu: apt install libvulkan1)")
    places = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
    if not any(Path(p).is_dir() and any(Path(p).iterdir()) for p in places):
        advice.append(
            "no Vulkan driver is installed (Debian, Ubuntu: apt install mesa-vulkan-drivers; it serves AMD and "
            "Intel cards and any CPU; NVIDIA cards need NVIDIA's driver)"
        )
    nodes = sorted(Path("/dev/dri").glob("renderD*")) if Path("/dev/dri").is_dir() else []
    closed = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        advice.append(f"you may not open {closed[0]}: add yourself to the group that owns it (render or video)")
    return "; ".join(advice)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (check_python, check_cpu, check_gpu)


def main() -> int:
    """Print the report; returns the exit status."""
    verdicts: set[Verdict] = set()
    for check in CHECKS:
        for finding in check():
            print(finding)
            verdicts.add(finding.verdict)
    if "broken" in verdicts:
        print("\nSomething is broken; please report the lines above.")
        return 1
    if "missing" in verdicts:
        print('\nThe CPU is ready. device="gpu" will raise until the above is installed.')
        return 2
    print('\nEverything works: device="cpu" and device="gpu".')
    return 0


if __name__ == "__main__":
    sys.exit(main())
