"""The CPU as pyneuro uses it: instruction set, threads, and what it can do at this moment."""

from __future__ import annotations

from pyneuro import _core
from pyneuro._core import get_num_threads, isa, set_num_threads

__all__ = ["get_num_threads", "isa", "probe", "set_num_threads"]


def probe() -> dict[str, float | int | str]:
    """Measure one core for some 50 ms; virtual machines vary from minute to minute.

    Returns:
        `isa` (the instruction set of the kernels), `threads`, `fma` (float32 multiply-adds, as operations per
        second, each counting two) and `bandwidth` (bytes read per second).

    >>> pn.cpu.probe()["threads"] == pn.get_num_threads()
    True
    """
    fma, bandwidth = _core.probe()
    return {"isa": isa(), "threads": get_num_threads(), "fma": fma, "bandwidth": bandwidth}
