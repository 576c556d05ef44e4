"""Real data to learn from."""

from pyneuro.data.datasets.digits import digits
from pyneuro.data.datasets.mnist import mnist, read_idx

__all__ = ["digits", "mnist", "read_idx"]
