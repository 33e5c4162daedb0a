"""The group of all processes of a program: how they find each other, and which groups there are."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from .group import Mesh, ProcessGroup
from .store import FileStore, PrefixStore, Store, TCPStore

__all__ = [
    "GroupMember",
    "default_group",
    "default_pg_timeout",
    "destroy_process_group",
    "first_of",
    "get_backend",
    "get_global_rank",
    "get_group_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "group",
    "group_of",
    "init_process_group",
    "is_available",
    "is_backend_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "is_ucc_available",
    "is_xccl_available",
    "member",
    "new_group",
    "new_subgroups",
    "supported_backends",
]

default_pg_timeout = timedelta(minutes=30)
default_pg_nccl_timeout = timedelta(minutes=10)
supported_backends = ("gloo",)


class _GroupMember(type):
    """GroupMember.WORLD is the group of all processes, once there is one."""

    @property
    def WORLD(cls) -> ProcessGroup | None:
        return _state.world


class GroupMember(metaclass=_GroupMember):
    """Groups by name: WORLD, and what new_group gives to processes outside of a group."""

    NON_GROUP_MEMBER = -100


class group(metaclass=_GroupMember):
    """Groups by name: WORLD."""


class _State:
    world: ProcessGroup | None = None
    count = 0
    groups: list[ProcessGroup]


_state = _State()
_state.groups = []


def is_available() -> bool:
    """True."""
    return True


def is_gloo_available() -> bool:
    """True: the groups of Moka answer to that name."""
    return True


def is_nccl_available() -> bool:
    """False: NCCL is for CUDA."""
    return False


is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_backend_available(backend: str) -> bool:
    """Whether groups of that kind can be made."""
    return backend.lower() in supported_backends


def is_initialized() -> bool:
    """Whether there is a group of all processes."""
    return _state.world is not None


def is_torchelastic_launched() -> bool:
    """Whether a launcher that restarts processes started this one."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _number(name: str, given: int, from_place: str | None) -> int:
    value = given if given >= 0 else int(from_place) if from_place is not None else -1
    if value < 0:
        raise ValueError(
            f"init_process_group: {name} is not known; give it, or set {name.upper()} in the environment"
        )
    return value


def _meet(init_method: str, rank: int, world_size: int, timeout: timedelta) -> tuple[Store, int, int]:
    url = urlparse(init_method)
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    if url.scheme == "env":
        rank = _number("rank", rank, os.environ.get("RANK"))
        world_size = _number("world_size", world_size, os.environ.get("WORLD_SIZE"))
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if name not in os.environ:
                raise ValueError(
                    "Error initializing torch.distributed using env:// rendezvous: environment "
                    f"variable {name} "
                    "expected, but not set"
                )
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(host, port, world_size, rank == 0, timeout, wait_for_workers=False), rank, world_size
    rank = _number("rank", rank, query.get("rank"))
    world_size = _number("world_size", world_size, query.get("world_size"))
    if url.scheme == "tcp":
        if url.hostname is None or url.port is None:
            raise ValueError(f"init_process_group: {init_method!r} names no host and port")
        store: Store = TCPStore(
            url.hostname, url.port, world_size, rank == 0, timeout, wait_for_workers=False
        )
    elif url.scheme == "file":
        if not url.path:
            raise ValueError(f"init_process_group: {init_method!r} names no file")
        store = FileStore(url.path, world_size)
        store.set_timeout(timeout)
    else:
        raise RuntimeError(f"No rendezvous handler for {url.scheme}://; env://, tcp:// and file:// are there")
    return store, rank, world_size


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Store | None = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
    **_: Any,
) -> None:
    """Meet the other processes of the program; all wait here for each other.

    Args:
        backend: "gloo" (or "cpu:gloo"); groups of Moka run on the CPU.
        init_method: env:// (the default: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE), tcp://host:port or
            file:///path.
        store: where they meet instead; then rank and world_size are needed.

    Raises:
        ValueError: it was done before, or something is not known.
        RuntimeError: the backend is not there, or it took too long.
    """
    if _state.world is not None:
        raise ValueError("trying to initialize the default process group twice!")
    kinds = re.findall(r"(?:(\w+):)?(\w+)", (backend or "gloo").lower())
    kind = next((name for device, name in kinds if device in ("", "cpu")), kinds[0][1])
    if kind in ("undefined", ""):
        kind = "gloo"
    if kind not in supported_backends:
        raise RuntimeError(
            f"init_process_group: backend {backend!r} is not there; Moka has 'gloo' on the CPU"
        )
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    limit = timeout or default_pg_timeout
    if store is None:
        store, rank, world_size = _meet(init_method or "env://", rank, world_size, limit)
    elif rank < 0 or world_size < 1:
        raise ValueError("init_process_group: with a store, rank and world_size are needed")
    if not 0 <= rank < world_size:
        raise ValueError(f"init_process_group: rank {rank} is not below world_size {world_size}")
    _state.count += 1
    mesh = Mesh(PrefixStore(f"moka/{_state.count}", store), rank, world_size, limit)
    _state.world = ProcessGroup(mesh, list(range(world_size)), "world", limit, kind)
    _state.store = store  # type: ignore[attr-defined]
    _state.groups.append(_state.world)


def default_group() -> ProcessGroup:
    """The group of all processes."""
    if _state.world is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call init_process_group."
        )
    return _state.world


_get_default_group = default_group


def _get_default_store() -> Store:
    default_group()
    return _state.store  # type: ignore[attr-defined]


def group_of(given: Any) -> ProcessGroup | None:
    """The group that is meant; None for one that this process does not belong to."""
    if given is GroupMember.NON_GROUP_MEMBER or given == GroupMember.NON_GROUP_MEMBER:
        return None
    found = default_group() if given is None else given
    if not isinstance(found, ProcessGroup):
        raise TypeError(f"a process group is needed, but {type(given).__name__} came")
    return None if found.rank() < 0 else found


def member(found: ProcessGroup, rank: int | None, own: int | None) -> int:
    """The number in the group of a process that is given by its number in the program, or by that number
    itself.
    """
    if own is not None:
        if not 0 <= own < found.size():
            raise ValueError(f"process {own} is not in a group of {found.size()}")
        return own
    return get_group_rank(found, 0 if rank is None else rank)


def first_of(found: ProcessGroup) -> int:
    """The number in the program of a group's process 0."""
    return found.ranks[0]


def new_group(
    ranks: list[int] | None = None,
    timeout: timedelta | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    **_: Any,
) -> Any:
    """A group of some processes; all processes of the program must call it, in the same order."""
    world = default_group()
    chosen = sorted(ranks) if ranks is not None else list(world.ranks)
    if len(set(chosen)) != len(chosen) or any(not 0 <= rank < world.size() for rank in chosen):
        raise ValueError(f"new_group: {ranks} are not different processes below {world.size()}")
    _state.count += 1
    if world.mesh.rank not in chosen:
        return GroupMember.NON_GROUP_MEMBER
    made = ProcessGroup(world.mesh, chosen, f"group {_state.count}", timeout or world.timeout, world.backend)
    _state.groups.append(made)
    return made


def new_subgroups(
    group_size: int | None = None, group: Any = None, timeout: timedelta | None = None, **_: Any
) -> tuple[Any, list[Any]]:
    """Groups of `group_size` neighbours; the own one, and all."""
    size = group_size or get_world_size()
    if get_world_size() % size:
        raise ValueError(f"new_subgroups: {get_world_size()} processes do not split into groups of {size}")
    made = [new_group(list(range(i, i + size)), timeout) for i in range(0, get_world_size(), size)]
    own = next(one for one in made if one != GroupMember.NON_GROUP_MEMBER)
    return own, made


def destroy_process_group(group: Any = None) -> None:
    """Leave a group, or without one all of them."""
    if group is None or group is _state.world:
        world = default_group()
        for one in _state.groups:
            one.close()
        _state.groups.clear()
        world.mesh.close()
        _state.world = None
    elif isinstance(group, ProcessGroup) and group in _state.groups:
        group.close()
        _state.groups.remove(group)


def get_rank(group: Any = None) -> int:
    """The own number in a group; -1 outside of it."""
    found = group_of(group)
    return -1 if found is None else found.rank()


def get_world_size(group: Any = None) -> int:
    """How many processes a group has; -1 outside of it."""
    found = group_of(group)
    return -1 if found is None else found.size()


def get_backend(group: Any = None) -> str:
    """The name of its backend."""
    found = group_of(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    return found.backend


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in a group of a process of the program."""
    if global_rank not in group.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group.group_name}")
    return group.ranks.index(global_rank)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number in the program of a process of a group."""
    if not 0 <= group_rank < group.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {group.group_name}")
    return group.ranks[group_rank]


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The numbers in the program of a group's processes."""
    return list((group or default_group()).ranks)
