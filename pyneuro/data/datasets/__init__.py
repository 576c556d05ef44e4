"""Real data to learn from."""

from pyneuro.data.datasets.digits import digits

__all__ = ["digits"]
