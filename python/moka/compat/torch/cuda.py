"""torch.cuda on a build without CUDA: questions are answered, work is refused."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, NoReturn

from .cuda_streams import CUDAGraph, Event, ExternalStream, Stream, StreamContext, graph, stream
from .refusing import refused_function

__all__ = [
    "CUDAGraph",
    "Event",
    "ExternalStream",
    "OutOfMemoryError",
    "Stream",
    "StreamContext",
    "current_device",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state_all",
    "graph",
    "init",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_stats",
    "memory_usage",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state_all",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """False: this build of Moka computes on the CPU."""
    return False


def device_count() -> int:
    """Zero."""
    return 0


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"torch.cuda.{what}: this build of Moka has no CUDA; ask torch.cuda.is_available() first"
    )


def init() -> None:
    """Refused."""
    _refuse("init")


def current_device() -> int:
    """Refused."""
    _refuse("current_device")


def set_device(device: Any) -> None:
    """Refused."""
    _refuse("set_device")


def get_device_name(device: Any = None) -> str:
    """Refused."""
    _refuse("get_device_name")


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Refused."""
    _refuse("get_device_capability")


def get_device_properties(device: Any = None) -> Any:
    """Refused."""
    _refuse("get_device_properties")


def synchronize(device: Any = None) -> None:
    """Refused."""
    _refuse("synchronize")


def manual_seed(seed: int) -> None:
    """Nothing: there is no device to seed."""


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no device to seed."""


def seed() -> None:
    """Nothing: there is no device to seed."""


def seed_all() -> None:
    """Nothing: there is no device to seed."""


def empty_cache() -> None:
    """Nothing: there is no memory to free."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: there is no memory."""


def memory_allocated(device: Any = None) -> int:
    """Zero."""
    return 0


memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated


max_memory_cached = memory_cached = memory_usage = memory_allocated


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Nothing: there is no memory."""
    return {}


def ipc_collect() -> None:
    """Nothing: there is no memory."""


reset_accumulated_memory_stats = reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def is_current_stream_capturing() -> bool:
    """False."""
    return False


is_tf32_supported = is_current_stream_capturing


def get_arch_list() -> list[str]:
    """None."""
    return []


def get_rng_state_all() -> list[Any]:
    """The states of no device."""
    return []


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Refused unless there is nothing to set."""
    if list(new_states):
        _refuse("set_rng_state_all")


class OutOfMemoryError(RuntimeError):
    """A CUDA device's memory is used up, which cannot happen here."""


class device:
    """The block's CUDA device; only None and negative numbers, which change nothing, can be asked for."""

    def __init__(self, device: Any) -> None:
        self.idx = -1
        if device is not None and not (isinstance(device, int) and device < 0):
            _refuse("device")

    def __enter__(self) -> None:
        """Nothing changes."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return False


class device_of(device):
    """The device of a tensor; one of the CPU changes nothing."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.get_device() if obj.is_cuda else -1)


_REFUSED = (
    "caching_allocator_alloc caching_allocator_delete can_device_access_peer change_current_allocator "
    "clock_rate current_blas_handle current_stream default_stream get_allocator_backend "
    "get_gencode_flags get_rng_state get_sync_debug_mode graph_pool_handle initial_seed "
    "list_gpu_processes make_graphed_callables mem_get_info memory_snapshot memory_summary power_draw "
    "set_per_process_memory_fraction set_rng_state set_stream set_sync_debug_mode temperature "
    "utilization"
).split()
for _name in _REFUSED:
    globals()[_name] = refused_function(
        f"torch.cuda.{_name}", "this build of Moka has no CUDA; ask torch.cuda.is_available() first"
    )
__all__ += _REFUSED
