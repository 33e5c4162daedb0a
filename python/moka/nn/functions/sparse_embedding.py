"""Embeddings and gather with a sparse gradient, of the rows or elements that were used."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import Function
from moka.sparse import SparseTensor

__all__ = ["embedding_bags", "embedding_rows", "gather_elements"]


class _Elements(Function):
    """Elements by their index along one dimension, whose gradient holds them alone."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, dim: int, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape, ctx.dim = input.shape, dim
        return _C.gather(input, dim, index)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        (index,) = ctx.saved_tensors
        if not ctx.shape:
            indices = _C.zeros(0, index.numel(), dtype=_C.int64)
            return SparseTensor(indices, dy.reshape(-1), ctx.shape), None, None
        if not index.dim():  # one place of a vector
            index = index.reshape(1)
        places = [
            _C.arange(0, size).reshape(-1, *[1] * (index.dim() - 1 - d)).expand(index.shape)
            for d, size in enumerate(index.shape)
        ]
        size = ctx.shape[ctx.dim]
        places[ctx.dim] = _C.where(index < 0, index + size, index).long()
        indices = _C.stack([place.reshape(-1) for place in places])
        return SparseTensor(indices, dy.reshape(-1), ctx.shape), None, None


def gather_elements(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """gather with a sparse gradient."""
    return _Elements.apply(input, dim, index)


class _Rows(Function):
    """Rows of a table by index, whose gradient holds them alone."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape, ctx.padding_idx = weight.shape, padding_idx
        return _C.embedding(weight, index)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        (index,) = ctx.saved_tensors
        flat, values = index.reshape(-1).long(), dy.reshape(-1, ctx.shape[1])
        if ctx.padding_idx is not None:
            used = flat != ctx.padding_idx
            flat, values = flat[used], values[used]
        return SparseTensor(flat.unsqueeze(0), values, ctx.shape), None, None


def embedding_rows(weight: Tensor, index: Tensor, padding_idx: int | None, by_frequency: bool) -> Tensor:
    """nn.functional.embedding with a sparse gradient."""
    if by_frequency:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    return _Rows.apply(weight, index, padding_idx)


class _Bags(Function):
    """Sums or means of rows, whose gradient holds the rows that were used alone."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        per_sample: Tensor | None,
        index: Tensor,
        offsets: Tensor,
        mode: str,
        last: bool,
        padding_idx: int | None,
    ) -> Tensor:
        result = _C.embedding_bag(weight, index, offsets, mode, per_sample, last, padding_idx, False)[0]
        ends = offsets[1:] if last else _C.cat([offsets[1:], offsets.new_full((1,), index.numel())])
        starts = offsets[:-1] if last else offsets
        bags = _C.repeat_interleave(_C.arange(0, starts.numel()), (ends - starts).long())
        ctx.save_for_backward(weight, per_sample, index.long(), bags)
        ctx.mode, ctx.padding_idx, ctx.bags = mode, padding_idx, starts.numel()
        return result

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        weight, per_sample, index, bags = ctx.saved_tensors
        used = _C.ones(index.numel(), dtype=_C.bool)
        if ctx.padding_idx is not None:
            used = index != ctx.padding_idx
        values = dy[bags]
        slope = None
        if per_sample is not None:
            if ctx.needs_input_grad[1]:
                slope = _C.where(used, (values * weight[index]).sum(-1), 0)
            values = values * per_sample.unsqueeze(-1)
        if ctx.mode == "mean":
            counts = _C.zeros(ctx.bags, dtype=dy.dtype).index_add(0, bags, used.to(dy.dtype))
            values = values / counts[bags].clamp_min(1).unsqueeze(-1)
        gradient = SparseTensor(index[used].unsqueeze(0), values[used], weight.shape)
        return gradient, slope, None, None, None, None, None


def embedding_bags(
    weight: Tensor,
    index: Tensor,
    offsets: Tensor,
    mode: str,
    per_sample: Tensor | None,
    last: bool,
    padding_idx: int | None,
    by_frequency: bool,
) -> Tensor:
    """nn.functional.embedding_bag with a sparse gradient."""
    if by_frequency:
        raise RuntimeError("embedding_bag: scale_grad_by_freq is not supported with sparse gradients")
    return _Bags.apply(weight, per_sample, index, offsets, mode, last, padding_idx)
