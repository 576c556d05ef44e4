"""One library in a process of its own: reads a case's number, answers the median time of its step.

Started by run.py, which lets two of these take turns.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from cases import CASES, toolbox

BUDGET = 0.15  # seconds of measuring per case and round


def median_time(step: Callable[[], Any]) -> float:
    """Median over batches long enough for the clock; the first calls are not counted."""
    start = time.perf_counter()
    step()
    once = time.perf_counter() - start
    batch = max(int(1e-3 / max(once, 1e-7)), 1)
    for _ in range(2 * batch):
        step()
    times, end = [], time.perf_counter() + BUDGET
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            step()
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


def main(name: str) -> None:
    lib = importlib.import_module(name)
    parts = [importlib.import_module(f"{name}.{part}") for part in ("nn", "nn.functional", "optim")]
    lib.manual_seed(0)
    tools = toolbox(lib, *parts)
    steps: dict[int, Callable[[], Any]] = {}
    for line in sys.stdin:
        if line == "probe\n":
            answer: dict[str, Any] = {"threads": lib.get_num_threads(), **lib.cpu.probe()}
        else:
            index = int(line)
            try:
                if index not in steps:
                    steps = {index: CASES[index].setup(tools)}  # the last case's memory is given back
                answer = {"seconds": median_time(steps[index])}
            except Exception as error:  # a library that lacks something is a result, not a crash
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
