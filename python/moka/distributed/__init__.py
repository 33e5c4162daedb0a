"""Several processes of one program: groups of them and their common operations, over TCP on the CPU."""
# SPDX-License-Identifier: Apache-2.0

from . import collectives as _collectives
from . import objects as _objects
from . import setup as _setup
from . import store as _store
from .collectives import *  # noqa: F403
from .group import ProcessGroup as ProcessGroup
from .group import Work as Work
from .objects import *  # noqa: F403
from .setup import *  # noqa: F403
from .setup import _get_default_group as _get_default_group
from .setup import _get_default_store as _get_default_store
from .setup import default_pg_nccl_timeout as default_pg_nccl_timeout
from .store import *  # noqa: F403

__all__ = sorted(
    {"Backend", "ProcessGroup", "Work", "reduce_op"}
    | set(_collectives.__all__)
    | set(_objects.__all__)
    | set(_setup.__all__)
    | set(_store.__all__)
)

reduce_op = _collectives.ReduceOp


class Backend(str):
    """The name of a kind of groups."""

    GLOO = "gloo"
    NCCL = "nccl"
    MPI = "mpi"
    UCC = "ucc"
    XCCL = "xccl"
    UNDEFINED = "undefined"
    backend_list = ("undefined", "gloo", "nccl", "xccl", "ucc", "mpi")
    default_device_backend_map = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "mps": "gloo"}

    def __new__(cls, name: str) -> "Backend":
        return str.__new__(cls, name.lower())


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number among the processes of this machine, from LOCAL_RANK."""
    import os

    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment; give fallback_rank")
    return fallback_rank
