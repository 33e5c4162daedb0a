"""torch's functions that ask for and set autocast, one for each kind of device."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka.amp import autocast_mode as _mode
from moka.amp.autocast_mode import (
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
)

__all__ = [
    "clear_autocast_cache",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "get_autocast_gpu_dtype",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
    "set_autocast_gpu_dtype",
]


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch it; with one argument the device is "cuda"."""
    if enabled is None:
        _mode.set_autocast_enabled("cuda", bool(device_type))
    else:
        _mode.set_autocast_enabled(str(device_type), enabled)


def is_autocast_cpu_enabled() -> bool:
    """Whether it is on for the CPU."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch it for the CPU."""
    _mode.set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    """Its type on the CPU."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """Choose its type on the CPU."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> Any:
    """Its type on CUDA devices."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: Any) -> None:
    """Choose its type on CUDA devices."""
    set_autocast_dtype("cuda", dtype)
