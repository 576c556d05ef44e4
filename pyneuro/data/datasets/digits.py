"""Handwritten digits that come with the package."""

from __future__ import annotations

import gzip
import io
from importlib import resources

import numpy as np

from pyneuro._core import Tensor
from pyneuro.functions import as_tensor

__all__ = ["digits"]


def digits() -> tuple[Tensor, Tensor]:
    """The 1,797 handwritten digits of 8 x 8 pixels (E. Alpaydin and C. Kaynak, UCI, 1998; CC BY 4.0).

    Returns:
        images: float32 of shape (1797, 1, 8, 8), from 0 (paper) to 1 (ink).
        labels: int64 of shape (1797,), 0 to 9.

    >>> images, labels = pn.data.datasets.digits()
    >>> images.shape, labels[:5].tolist()
    ((1797, 1, 8, 8), [0, 1, 2, 3, 4])
    >>> dataset = pn.data.TensorDataset(images, labels)
    """
    packed = resources.files("pyneuro.data.datasets").joinpath("digits.csv.gz").read_bytes()
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    images = (table[:, :64].astype(np.float32) / 16).reshape(-1, 1, 8, 8)
    return as_tensor(images), as_tensor(np.ascontiguousarray(table[:, 64]))
