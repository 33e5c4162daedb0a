"""Operations of all processes of a group on their tensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from .group import Channel, Work, data_of, tensor_from
from .setup import group_of, member

__all__ = [
    "P2POp",
    "ReduceOp",
    "all_gather",
    "all_gather_into_tensor",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "gather",
    "irecv",
    "isend",
    "monitored_barrier",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "send",
]


class ReduceOp(enum.Enum):
    """How elements of several processes become one."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


ReduceOp.RedOpType = ReduceOp  # type: ignore[attr-defined]

_TWO: dict[ReduceOp, Callable[[Tensor, Tensor], Tensor]] = {
    ReduceOp.SUM: lambda a, b: a + b,
    ReduceOp.AVG: lambda a, b: a + b,
    ReduceOp.PRODUCT: lambda a, b: a * b,
    ReduceOp.MIN: lambda a, b: _C.minimum(a, b),
    ReduceOp.MAX: lambda a, b: _C.maximum(a, b),
    ReduceOp.BAND: lambda a, b: a & b,
    ReduceOp.BOR: lambda a, b: a | b,
    ReduceOp.BXOR: lambda a, b: a ^ b,
}


def _combine(parts: Sequence[Tensor], op: ReduceOp) -> Tensor:
    """In the order of the processes, so that all find the same bits."""
    total = parts[0]
    for part in parts[1:]:
        total = _TWO[op](total, part)
    return total / len(parts) if op is ReduceOp.AVG else total


def _about(tensor: Tensor, op: ReduceOp | None = None) -> str:
    return f"{tensor.dtype.name}[{tensor.numel()}]" + (f" {op.value}" if op else "")


def _check(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: a tensor is needed, but {type(value).__name__} came")


def _check_list(name: str, values: Any, size: int) -> None:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, Tensor) for value in values):
        raise TypeError(f"{name}: a list of tensors is needed, but {type(values).__name__} came")
    if len(values) != size:
        raise ValueError(f"{name}: one tensor for each of {size} processes is needed, but {len(values)} came")


def _write(target: Tensor, data: Any) -> None:
    target.detach().copy_(tensor_from(data, target).view(target.shape))


def _finish(work: Work, async_op: bool) -> Work | None:
    if async_op:
        return work
    work.wait()
    return None


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Process `src` gives its elements to all."""
    _check("broadcast", tensor)
    found = group_of(group)
    if found is None:
        return None
    root = member(found, src, group_src)

    def body(channel: Channel) -> None:
        if channel.rank == root:
            data = data_of(tensor)
            for other in range(channel.size):
                if other != root:
                    channel.send(other, data, _about(tensor))
        else:
            _write(tensor, channel.receive(root, _about(tensor)))

    return _finish(found.run("broadcast", body, [tensor]), async_op)


def _parts(count: int, size: int) -> list[tuple[int, int]]:
    return [(count * i // size, count * (i + 1) // size) for i in range(size)]


def _sum_up(channel: Channel, tensor: Tensor, op: ReduceOp) -> None:
    """Every process combines one part of the elements of all and gives it to all."""
    flat = tensor.detach().contiguous().view(-1)
    places, about = _parts(flat.numel(), channel.size), _about(tensor, op)
    others = [other for other in range(channel.size) if other != channel.rank]
    for other in others:
        channel.send(other, data_of(flat[slice(*places[other])]), about)
    own = flat[slice(*places[channel.rank])]
    parts = [
        own if i == channel.rank else tensor_from(channel.receive(i, about), own) for i in range(channel.size)
    ]
    total = _combine(parts, op).to(tensor.dtype)
    data = data_of(total)
    for other in others:
        channel.send(other, data, about)
    rows = [
        total if i == channel.rank else tensor_from(channel.receive(i, about), own)
        for i in range(channel.size)
    ]
    tensor.detach().copy_(_C.cat(rows).view(tensor.shape))


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """The elements of all processes combined, in all of them."""
    _check("all_reduce", tensor)
    found = group_of(group)
    if found is None:
        return None
    return _finish(found.run("all_reduce", lambda channel: _sum_up(channel, tensor, op), [tensor]), async_op)


def all_reduce_coalesced(
    tensors: list[Tensor], op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """all_reduce of several tensors."""
    work = None
    for tensor in tensors:
        work = all_reduce(tensor, op, group, async_op)
    return work


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """The elements of all processes combined, in process `dst`."""
    _check("reduce", tensor)
    found = group_of(group)
    if found is None:
        return None
    root = member(found, dst, group_dst)

    def body(channel: Channel) -> None:
        about = _about(tensor, op)
        if channel.rank != root:
            return channel.send(root, data_of(tensor), about)
        flat = tensor.detach().contiguous().view(-1)
        parts = [
            flat if i == root else tensor_from(channel.receive(i, about), flat) for i in range(channel.size)
        ]
        tensor.detach().copy_(_combine(parts, op).view(tensor.shape))
        return None

    return _finish(found.run("reduce", body, [tensor]), async_op)


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensors of all processes, in all of them."""
    _check("all_gather", tensor)
    found = group_of(group)
    if found is None:
        return None
    _check_list("all_gather", tensor_list, found.size())

    def body(channel: Channel) -> None:
        data = data_of(tensor)
        for other in range(channel.size):
            channel.send(other, data, tensor.dtype.name)
        for i, target in enumerate(tensor_list):
            _write(target, channel.receive(i, target.dtype.name))

    return _finish(found.run("all_gather", body, tensor_list), async_op)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensors of all processes one after the other, in all of them."""
    found = group_of(group)
    if found is None:
        return None
    rows = list(output_tensor.detach().view(found.size(), *input_tensor.shape).unbind(0))
    return all_gather(rows, input_tensor, group, async_op)


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """The tensors of all processes, in process `dst`."""
    _check("gather", tensor)
    found = group_of(group)
    if found is None:
        return None
    root = member(found, dst, group_dst)
    if found.rank() == root:
        _check_list("gather", gather_list, found.size())
    elif gather_list:
        raise ValueError("gather: gather_list belongs to the destination only")

    def body(channel: Channel) -> None:
        channel.send(root, data_of(tensor), tensor.dtype.name)
        for i, target in enumerate(gather_list or ()):
            _write(target, channel.receive(i, target.dtype.name))

    return _finish(found.run("gather", body, gather_list), async_op)


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Process `src` gives each process one of its tensors."""
    _check("scatter", tensor)
    found = group_of(group)
    if found is None:
        return None
    root = member(found, src, group_src)
    if found.rank() == root:
        _check_list("scatter", scatter_list, found.size())

    def body(channel: Channel) -> None:
        for i, part in enumerate(scatter_list or ()):
            if channel.rank == root:
                channel.send(i, data_of(part), _about(part))
        _write(tensor, channel.receive(root, _about(tensor)))

    return _finish(found.run("scatter", body, [tensor]), async_op)


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Every process gives each process one of its tensors."""
    found = group_of(group)
    if found is None:
        return None
    _check_list("all_to_all", output_tensor_list, found.size())
    _check_list("all_to_all", input_tensor_list, found.size())

    def body(channel: Channel) -> None:
        for i, part in enumerate(input_tensor_list):
            channel.send(i, data_of(part), _about(part))
        for i, target in enumerate(output_tensor_list):
            _write(target, channel.receive(i, _about(target)))

    return _finish(found.run("all_to_all", body, output_tensor_list), async_op)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Every process gives each process a part of its first dimension."""
    found = group_of(group)
    if found is None:
        return None
    size = found.size()

    def split(tensor: Tensor, sizes: list[int] | None) -> list[Tensor]:
        return list(tensor.detach().split(sizes or tensor.shape[0] // size))

    return all_to_all(split(output, output_split_sizes), split(input, input_split_sizes), group, async_op)


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Each process gets the combination of the tensors that all have for it."""
    found = group_of(group)
    if found is None:
        return None
    _check_list("reduce_scatter", input_list, found.size())

    def body(channel: Channel) -> None:
        about = _about(output, op)
        for i, part in enumerate(input_list):
            channel.send(i, data_of(part), about)
        parts = [tensor_from(channel.receive(i, about), output) for i in range(channel.size)]
        output.detach().copy_(_combine(parts, op).view(output.shape))

    return _finish(found.run("reduce_scatter", body, [output]), async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """reduce_scatter of the parts of one tensor along its first dimension."""
    found = group_of(group)
    if found is None:
        return None
    rows = [part.contiguous() for part in input.detach().view(found.size(), *output.shape).unbind(0)]
    return reduce_scatter(output, rows, op, group, async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes are here."""
    found = group_of(group)
    if found is None:
        return None

    def body(channel: Channel) -> None:
        for other in range(channel.size):
            channel.send(other, b"")
        for other in range(channel.size):
            channel.receive(other)

    return _finish(found.run("barrier", body), async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """barrier; a process that does not come is named in the error."""
    barrier(group)


def isend(
    tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> Work | None:
    """Begin to send a tensor to process `dst`."""
    _check("isend", tensor)
    found = group_of(group)
    if found is None:
        return None
    other = member(found, dst, group_dst)
    if other == found.rank():
        raise ValueError("isend: the destination is this process itself")
    data = bytes(data_of(tensor))
    return found.run_pair(f"to {tag}", lambda channel: channel.send(other, data, _about(tensor)), [tensor])


def irecv(
    tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> Work | None:
    """Begin to receive a tensor from process `src`, or from any."""
    _check("irecv", tensor)
    found = group_of(group)
    if found is None:
        return None
    other = None if src is None and group_src is None else member(found, src, group_src)

    def body(channel: Channel) -> int:
        who, data = channel.receive_from(other, _about(tensor))
        _write(tensor, data)
        return found.ranks[who]

    return found.run_pair(f"to {tag}", body, [tensor])


def send(
    tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> None:
    """Send a tensor to process `dst`."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(
    tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> int:
    """Receive a tensor from process `src`, or from any; who sent it."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return work.source_rank()


class P2POp:
    """One send or receive of batch_isend_irecv: `op` is isend or irecv."""

    def __init__(
        self,
        op: Callable[..., Any],
        tensor: Tensor,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (isend, irecv):
            raise ValueError("P2POp: op must be distributed.isend or distributed.irecv")
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag
        self.group_peer = group_peer


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work | None]:
    """Begin several sends and receives."""
    return [one.op(one.tensor, one.peer, one.group, one.tag, one.group_peer) for one in p2p_op_list]
