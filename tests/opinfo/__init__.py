"""What the tests know about every op: samples, an independent NumPy reference, dtypes, gradients, errors.

A new elementwise op is one line in `elementwise.py`; everything in `test_ops*.py` then runs for it by itself.
"""

from __future__ import annotations

from opinfo import creation, elementwise, index, linalg, movement, nn, random, reduce, sort_scan
from opinfo.core import Draw, Error, OpInfo, Sample

OPS: tuple[OpInfo, ...] = (
    *elementwise.OPS,
    *reduce.OPS,
    *movement.OPS,
    *index.OPS,
    *linalg.OPS,
    *nn.OPS,
    *sort_scan.OPS,
    *creation.OPS,
    *random.OPS,
)

__all__ = ["OPS", "Draw", "Error", "OpInfo", "Sample"]
