"""`make bench`: pyneuro beside torch, each in a process of its own, taking turns (A B A B ...).

    python benchmarks/run.py                      everything
    python benchmarks/run.py --only gemm,linear   cases whose group or name contains a word
    TORCH_PYTHON=/path/to/python make bench       where torch lives in another environment

A figure is the median over rounds; a ratio is the median of each round's ratio, so that a drift of the
machine's speed hits both sides. `peak` is the share of the multiply-adds that the machine did at that moment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from cases import CASES

HERE = Path(__file__).resolve().parent
IMPORT = """
import json, sys, time
import numpy
start = time.perf_counter()
import {lib}
seconds = time.perf_counter() - start
if sys.platform == "linux":
    rss = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS")) / 1024
else:
    import resource
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps({{"seconds": seconds, "mib": rss}}))
"""


class Worker:
    """A library in its own process."""

    def __init__(self, python: str, lib: str) -> None:
        self.python, self.lib = python, lib
        command = [python, str(HERE / "worker.py"), lib]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: object) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(question, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the process died"}

    def measure_import(self) -> dict[str, float]:
        code = IMPORT.format(lib=self.lib)
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def torch_python() -> str | None:
    """The interpreter that has torch, if one does."""
    python = os.environ.get("TORCH_PYTHON", sys.executable)
    have = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return python if have.returncode == 0 else None


def shown(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def verdict(ratio: float | None, budget: float | None) -> str:
    if ratio is None or budget is None:
        return ""
    return f"<= {budget:g}  {'ok' if ratio <= budget else 'OVER'}"


def bench_imports(workers: list[Worker], rounds: int) -> list[dict[str, Any]]:
    runs = [[w.measure_import() for w in workers] for _ in range(rounds)]
    rows = []
    for what, key, limit, unit in (
        ("import, over NumPy's", "seconds", 0.1, "s"),
        ("memory after import", "mib", 45.0, "MiB"),
    ):
        # The least of the rounds: a start happens once, so a busy neighbour is not averaged away.
        least = [min(run[i][key] for run in runs) for i in range(len(workers))]
        cells = [f"{value:.3g} {unit}" for value in least]
        ratio = least[0] / least[1] if len(least) > 1 else None
        fine = "ok" if least[0] <= limit else "OVER"
        print_row(what, cells, ratio, f"<= {limit:g} {unit}  {fine}")
        rows.append({"name": what, "values": least, "ratio": ratio})
    return rows


def bench_case(index: int, workers: list[Worker], rounds: int) -> dict[str, Any]:
    case = CASES[index]
    times: list[list[float]] = [[] for _ in workers]
    shares = []
    error = ""
    for _ in range(rounds):
        for own, worker in zip(times, workers, strict=True):
            answer = worker.ask(index)
            if "error" in answer:
                error = f"{worker.lib}: {answer['error']}"
            else:
                own.append(answer["seconds"])
        if case.flops and times[0]:
            probe = workers[0].ask("probe")
            shares.append(case.flops / times[0][-1] / (probe["fma"] * probe["threads"]))
    medians = [statistics.median(own) if own else None for own in times]
    ratio = None
    if len(workers) > 1 and all(times):
        ratio = statistics.median(a / b for a, b in zip(*times, strict=False))
    share = f"{statistics.median(shares):6.1%} of peak" if shares else ""
    print_row(case.name, [shown(m) for m in medians], ratio, verdict(ratio, case.budget), share, error)
    return {"name": case.name, "values": medians, "ratio": ratio, "share": shares, "error": error}


def print_row(name: str, cells: list[str], ratio: float | None, *notes: str) -> None:
    ratio_cell = f"{ratio:.2f}x" if ratio is not None else ""
    line = f"  {name:32}" + "".join(f"{cell:>12}" for cell in cells) + f"{ratio_cell:>9}"
    print(f"{line}  {'  '.join(note for note in notes if note)}".rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="words; a case runs if its group or name contains one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args()
    words = [word.lower() for word in args.only.split(",") if word]

    workers = [Worker(sys.executable, "pyneuro")]
    python = torch_python()
    if python:
        workers.append(Worker(python, "torch"))
    probe = workers[0].ask("probe")
    print(
        f"{probe['isa']}, {probe['threads']} threads; at this moment one core does "
        f"{probe['fma'] / 1e9:.0f} GFLOP/s of float32 multiply-adds and reads {probe['bandwidth'] / 1e9:.1f} GB/s"
    )
    if not python:
        print("torch: not installed (TORCH_PYTHON names an interpreter that has it)")
    heads = "".join(f"{worker.lib:>12}" for worker in workers)
    print(f"{'':34}{heads}{'ratio' if python else '':>9}  budget")

    rows, group = [], ""
    if not words or any(word in "import memory" for word in words):
        print("start")
        rows += bench_imports(workers, args.rounds)
    for index, case in enumerate(CASES):
        if words and not any(word in f"{case.group} {case.name}".lower() for word in words):
            continue
        if case.group != group:
            group = case.group
            print(group)
        rows.append(bench_case(index, workers, args.rounds))
    if args.json:
        args.json.write_text(json.dumps({"probe": probe, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
