"""Operations of all processes of a group on any values that can be pickled."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle
from typing import Any

from .group import Channel
from .setup import group_of, member

__all__ = [
    "all_gather_object",
    "broadcast_object_list",
    "gather_object",
    "recv_object_list",
    "scatter_object_list",
    "send_object_list",
]


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """The values of all processes, in all of them."""
    found = group_of(group)
    if found is None:
        return

    def body(channel: Channel) -> None:
        data = pickle.dumps(obj)
        for other in range(channel.size):
            channel.send(other, data)
        for i in range(channel.size):
            object_list[i] = pickle.loads(channel.receive(i))

    found.run("all_gather_object", body).wait()


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """The values of all processes, in process `dst`."""
    found = group_of(group)
    if found is None:
        return
    root = member(found, dst, group_dst)

    def body(channel: Channel) -> None:
        channel.send(root, pickle.dumps(obj))
        if channel.rank == root:
            assert object_gather_list is not None, "gather_object: the destination needs object_gather_list"
            for i in range(channel.size):
                object_gather_list[i] = pickle.loads(channel.receive(i))

    found.run("gather_object", body).wait()


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Process `src` gives its values to all."""
    found = group_of(group)
    if found is None:
        return
    root = member(found, src, group_src)

    def body(channel: Channel) -> None:
        if channel.rank == root:
            data = pickle.dumps(list(object_list))
            for other in range(channel.size):
                if other != root:
                    channel.send(other, data)
        else:
            object_list[:] = pickle.loads(channel.receive(root))

    found.run("broadcast_object_list", body).wait()


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """Process `src` gives each process one of its values."""
    found = group_of(group)
    if found is None:
        return
    root = member(found, src, group_src)

    def body(channel: Channel) -> None:
        if channel.rank == root:
            for i, value in enumerate(scatter_object_input_list or ()):
                channel.send(i, pickle.dumps(value))
        scatter_object_output_list[0] = pickle.loads(channel.receive(root))

    found.run("scatter_object_list", body).wait()


def send_object_list(object_list: list[Any], dst: int | None = None, group: Any = None, **_: Any) -> None:
    """Send values to process `dst`."""
    found = group_of(group)
    if found is not None:
        data, other = pickle.dumps(list(object_list)), member(found, dst, None)
        found.run_pair("objects", lambda channel: channel.send(other, data)).wait()


def recv_object_list(object_list: list[Any], src: int | None = None, group: Any = None, **_: Any) -> int:
    """Receive values from process `src`, or from any; who sent them."""
    found = group_of(group)
    if found is None:
        return -1

    def body(channel: Channel) -> int:
        who, data = channel.receive_from(None if src is None else member(found, src, None))
        object_list[:] = pickle.loads(data)
        return found.ranks[who]

    work = found.run_pair("objects", body)
    work.wait()
    return work.source_rank()
