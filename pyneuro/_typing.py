"""The types that public signatures speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from pyneuro._core import Tensor, device, dtype

Number: TypeAlias = bool | int | float
TensorOrNumber: TypeAlias = Tensor | Number
Dims: TypeAlias = int | Sequence[int] | None
Device: TypeAlias = str | device | None
DType: TypeAlias = dtype


class ValuesIndices(NamedTuple):
    """What an op returns that finds values and says where: `max`, `min`, `sort`, `topk`, ..."""

    values: Tensor
    indices: Tensor
