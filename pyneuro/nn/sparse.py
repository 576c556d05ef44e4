"""Embedding: a learned row for each index."""

from __future__ import annotations

from typing import Any

from pyneuro._core import Tensor
from pyneuro.autograd import no_grad
from pyneuro.functions.creation import empty
from pyneuro.nn import functional as F, init
from pyneuro.nn.functional.checks import check_positive
from pyneuro.nn.module import Module
from pyneuro.nn.parameter import Parameter

__all__ = ["Embedding"]


class Embedding(Module):
    """Looks up learned rows, which start as N(0, 1).

    Shapes: input (*) of any integer dtype, output (*, embedding_dim), weight (num_embeddings, embedding_dim).

    Args:
        num_embeddings: how many rows.
        embedding_dim: their width.
        padding_idx: a row that starts as zeros and gets no gradient.

    >>> pn.nn.Embedding(10, 3)(pn.tensor([[1, 2], [4, 5]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if max_norm is not None:
            raise NotImplementedError("Embedding: max_norm is not supported, renormalise the weight after each step")
        self.num_embeddings = check_positive("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = check_positive("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be in [{-num_embeddings}, {num_embeddings}), got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An embedding with these rows, not learned further if `freeze`."""
        if embeddings.ndim != 2:
            raise ValueError(f"Embedding: embeddings must have 2 dimensions, got {embeddings.ndim}")
        rows, width = embeddings.shape
        layer = cls(rows, width, padding_idx, dtype=embeddings.dtype, device=embeddings.device)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
