"""Operations of all processes of a group through which gradients flow."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import Function

from . import collectives
from .collectives import ReduceOp
from .setup import get_world_size, group_of

__all__ = ["all_gather", "all_reduce", "broadcast", "reduce"]


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: ReduceOp, group: Any, tensor: Tensor) -> Tensor:
        ctx.op, ctx.group = op, group
        result = tensor.detach().clone()
        collectives.all_reduce(result, op, group)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        total = gradient.clone()
        collectives.all_reduce(total, ctx.op, ctx.group)
        return None, None, total


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        rows = [_C.empty_like(tensor) for _ in range(get_world_size(group))]
        collectives.all_gather(rows, tensor.detach().contiguous(), group)
        return tuple(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        found = group_of(ctx.group)
        assert found is not None
        rows = [gradient.contiguous() for gradient in gradients]
        own = _C.empty_like(rows[0])
        collectives.reduce_scatter(own, rows, ReduceOp.SUM, ctx.group)
        return None, own


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        result = tensor.detach().clone()
        collectives.broadcast(result, src, group)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        total = gradient.clone()
        collectives.reduce(total, ctx.src, ReduceOp.SUM, ctx.group)
        found = group_of(ctx.group)
        assert found is not None
        if found.ranks[found.rank()] != ctx.src:
            total.zero_()
        return None, None, total


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The elements of all processes combined; gradients are summed in the same way."""
    return _AllReduce.apply(op, group, tensor)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes; each gets the sum of the gradients for its own."""
    return _AllGather.apply(group, tensor)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of process `src`, which gets the sum of all gradients."""
    return _Broadcast.apply(src, group, tensor)


def reduce(tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The elements of all processes combined in process `dst`; the others keep theirs."""
    total = _AllReduce.apply(op, group, tensor)
    found = group_of(group)
    return total if found is not None and found.ranks[found.rank()] == dst else tensor
