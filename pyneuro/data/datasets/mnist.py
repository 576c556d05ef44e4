"""MNIST and its relatives (Fashion-MNIST, KMNIST, ...) from their own files, in the IDX format."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyneuro._core import Tensor
from pyneuro.functions import as_tensor

__all__ = ["mnist", "read_idx"]

#: The element types of IDX, by their code; numbers are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, also one compressed by gzip, as an array in this machine's byte order.

    Raises:
        ValueError: the file is no IDX file, or its length is not what its header says.
    """
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"read_idx: {path} must be whole, got damaged gzip data ({error})") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _DTYPES:
        raise ValueError(f"read_idx: {path} must begin as an IDX file, got {raw[:4]!r}")
    dtype, ndim = np.dtype(_DTYPES[raw[2]]), raw[3]
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise ValueError(f"read_idx: {path} must hold {ndim} lengths, got {len(raw)} bytes in all")
    shape = struct.unpack(f">{ndim}I", raw[4:start])
    expected = start + dtype.itemsize * math.prod(shape)
    if len(raw) != expected:
        raise ValueError(f"read_idx: {path} must have {expected} bytes for shape {shape}, got {len(raw)}")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def mnist(root: str | os.PathLike[str], train: bool = True) -> tuple[Tensor, Tensor]:
    """MNIST, or another data set of the same layout, from the folder where its four files are.

    Args:
        root: the folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, each with or without `.gz`; or one with them in `MNIST/raw`, as torchvision
            leaves them. Nothing is downloaded.
        train: the training images (60,000 of MNIST) or the test images (10,000).

    Returns:
        images: float32 of shape (N, 1, 28, 28), from 0 to 1.
        labels: int64 of shape (N,).

    Raises:
        FileNotFoundError: a file is not there; the message says where it was looked for.
    """
    part = "train" if train else "t10k"
    images = read_idx(_find(Path(root), f"{part}-images-idx3-ubyte"))
    labels = read_idx(_find(Path(root), f"{part}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        got = f"{images.shape} and {labels.shape}"
        raise ValueError(f"mnist: images (N, height, width) and as many labels (N) are required, got {got}")
    scaled = images[:, None].astype(np.float32) / 255
    return as_tensor(scaled), as_tensor(labels.astype(np.int64))


def _find(root: Path, name: str) -> Path:
    candidates = [folder / (name + suffix) for folder in (root, root / "MNIST" / "raw") for suffix in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(f"mnist: {name} must be there, got none of {', '.join(map(str, candidates))}")
