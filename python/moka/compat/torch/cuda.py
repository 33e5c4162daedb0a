"""torch.cuda on a build without CUDA: questions are answered, work is refused."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "init",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
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
