"""Embedding: a table of vectors, looked up by index, one by one or in bags."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    weight: Parameter
    padding_idx: int | None

    def _set_up(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        weight: Tensor | None,
        freeze: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        name = type(self).__name__
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(
                    f"{name}: padding_idx must be within num_embeddings ({num_embeddings}), got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        if weight is not None:
            if tuple(weight.shape) != (num_embeddings, embedding_dim):
                raise ValueError(
                    f"{name}: weight must have shape [{num_embeddings}, {embedding_dim}], got "
                    f"{list(weight.shape)}"
                )
            self.weight = Parameter(weight, requires_grad=not freeze)
            return
        empty = _C.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.weight = Parameter(empty, requires_grad=not freeze)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool

    def _options(self) -> list[str]:
        """How options that are not the usual ones are written."""
        options = [] if self.max_norm is None else [f"max_norm={self.max_norm}"]
        options += [f"norm_type={self.norm_type}"] if self.norm_type != 2 else []
        return options + (["scale_grad_by_freq=True"] if self.scale_grad_by_freq else [])

    def extra_repr(self) -> str:
        text = [f"{self.num_embeddings}, {self.embedding_dim}"]
        text += [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return ", ".join(text + self._options() + (["sparse=True"] if self.sparse else []))


class Embedding(_Table):
    """y[...] = weight[index[...]].

    Shapes: indices [...] (int64, each at least 0 and below num_embeddings) to [..., embedding_dim]. `weight`
    is [num_embeddings, embedding_dim], normal at the start.

    Args:
        padding_idx: an index whose vector starts at zero and gets no gradient.
        max_norm: vectors longer than this (in the norm of order norm_type) are shrunk when they are used.
        scale_grad_by_freq: whether gradients are divided by how often an index occurs.
        sparse: whether the gradient is a sparse tensor of the rows that were used.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._set_up(num_embeddings, embedding_dim, padding_idx, _weight, _freeze, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **settings: Any) -> Embedding:
        """An Embedding with these vectors."""
        rows, columns = embeddings.shape
        return cls(rows, columns, _weight=embeddings, _freeze=freeze, **settings)


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the vectors of each bag of indices.

    Shapes: indices [bags, length], or [indices] with offsets [bags] where each bag begins, to [bags,
    embedding_dim].

    Args:
        mode: "sum" (which takes per_sample_weights), "mean" or "max".
        include_last_offset: whether offsets end with the number of indices.
        padding_idx: an index that does not count.
        max_norm, norm_type, scale_grad_by_freq, sparse: as for Embedding.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._set_up(num_embeddings, embedding_dim, padding_idx, _weight, False, device, dtype)

    def _options(self) -> list[str]:
        return [*super()._options(), f"mode={self.mode!r}"]

    def extra_repr(self) -> str:
        text = [f"{self.num_embeddings}, {self.embedding_dim}", *self._options()]
        return ", ".join(text + ([] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]))

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **settings: Any) -> EmbeddingBag:
        """An EmbeddingBag with these vectors."""
        rows, columns = embeddings.shape
        bag = cls(rows, columns, _weight=embeddings, **settings)
        bag.weight.requires_grad_(not freeze)
        return bag
