"""Checks for code that computes with tensors: comparison within tolerance and gradients by finite differences.

>>> import pyneuro as pn
>>> from pyneuro.testing import assert_close, gradcheck
>>> assert_close(pn.tensor([1.0, 2.0]) / 3, pn.tensor([1 / 3, 2 / 3]))
>>> x = pn.randn(3, 4, dtype=pn.float64, requires_grad=True)
>>> gradcheck(pn.tanh, x)
True
"""

from __future__ import annotations

from pyneuro.testing.compare import TOLERANCES, assert_close, tolerance
from pyneuro.testing.gradients import GradcheckError, gradcheck, gradgradcheck

__all__ = [
    "TOLERANCES",
    "GradcheckError",
    "assert_close",
    "gradcheck",
    "gradgradcheck",
    "tolerance",
]
