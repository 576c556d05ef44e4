"""Finding GPU adapters through wgpu, without importing it before it is needed."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Preferred first.  OpenGL is left out: it shows every Vulkan device a second time, with fewer abilities.
_BACKENDS = ("Vulkan", "Metal", "D3D12")
_KINDS = ("DiscreteGPU", "IntegratedGPU", "Unknown", "CPU")  # a software adapter is the last resort


@dataclass(frozen=True)
class Adapter:
    """One GPU that pyneuro can use.

    Attributes:
        index: the number in ``"gpu:<index>"``.
        name: what the driver calls the device.
        kind: ``"DiscreteGPU"``, ``"IntegratedGPU"``, ``"CPU"`` (a software driver) or ``"Unknown"``.
        backend: ``"Vulkan"``, ``"Metal"`` or ``"D3D12"``.
        driver: the driver's own description, often with its version.
        features: the optional WebGPU features it offers.
    """

    index: int
    name: str
    kind: str
    backend: str
    driver: str
    features: tuple[str, ...]

    @property
    def is_software(self) -> bool:
        """True where the "GPU" is a program on the CPU, such as Mesa lavapipe."""
        return self.kind == "CPU"


def why_unavailable() -> str | None:
    """The reason why no GPU can be used, in words, or None when one can."""
    if importlib.util.find_spec("wgpu") is None:
        return "the package wgpu is not installed (pip install wgpu)"
    try:
        found = native_adapters()
    except Exception as error:
        return f"wgpu could not look for adapters: {error}"
    if not found:
        return (
            "wgpu found no Vulkan, Metal or DX12 adapter; install the driver of your GPU, or a software one "
            "(Debian and Ubuntu: apt install mesa-vulkan-drivers)"
        )
    return None


@functools.cache
def native_adapters() -> tuple[Any, ...]:
    """The wgpu adapters that pyneuro uses, best first; ``"gpu:<i>"`` is the i-th of them.

    Raises:
        ImportError: wgpu is not installed.
    """
    import wgpu

    _restrict_backends()
    with _quiet_window_system():
        adapters = list(wgpu.gpu.enumerate_adapters_sync())
    adapters = [a for a in adapters if a.info["backend_type"] in _BACKENDS]
    adapters.sort(key=lambda a: (_rank(_KINDS, a.info["adapter_type"]), _rank(_BACKENDS, a.info["backend_type"])))

    # On Windows one card appears under Vulkan and under DX12: keep its preferred backend.  Two equal cards
    # under one backend are two devices.
    backend_of: dict[tuple[int, int, str], str] = {}
    kept = []
    for adapter in adapters:
        info = adapter.info
        card = (info["vendor_id"], info["device_id"], info["device"])
        if backend_of.setdefault(card, info["backend_type"]) == info["backend_type"]:
            kept.append(adapter)
    return tuple(kept)


@functools.cache
def list_adapters() -> tuple[Adapter, ...]:
    """The adapters as plain data; empty where there is no wgpu or no adapter."""
    if why_unavailable() is not None:
        return ()
    return tuple(
        Adapter(
            index=index,
            name=native.info["device"],
            kind=native.info["adapter_type"],
            backend=native.info["backend_type"],
            driver=native.info["description"],
            features=tuple(sorted(native.features)),
        )
        for index, native in enumerate(native_adapters())
    )


def _rank(order: tuple[str, ...], name: str) -> int:
    return order.index(name) if name in order else len(order)


@contextmanager
def _quiet_window_system() -> Iterator[None]:
    """Keep Wayland, which Vulkan drivers start, from printing an error where nobody is logged in."""
    missing = "XDG_RUNTIME_DIR" not in os.environ
    if missing:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.gettempdir()
    try:
        yield
    finally:
        if missing:
            del os.environ["XDG_RUNTIME_DIR"]


def _restrict_backends() -> None:
    """Keep wgpu from starting OpenGL, which is slow to start and complains on machines without a display."""
    wanted = {"darwin": ["Metal"], "win32": ["Vulkan", "DX12"]}.get(sys.platform, ["Vulkan"])
    try:
        from wgpu.backends.wgpu_native import _helpers
        from wgpu.backends.wgpu_native.extras import set_instance_extras

        if getattr(_helpers, "_the_instance", None) is None:  # else other code has started wgpu already
            set_instance_extras(backends=wanted)
    except Exception:  # an older or newer wgpu-py without this call only costs the time saved here
        return
