"""torch.mps and torch.xpu: questions are answered, work is refused."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from .refusing import refused_function

__all__ = [
    "device_count",
    "empty_cache",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
]


def is_available() -> bool:
    """False: this build of Moka computes on the CPU."""
    return False


is_initialized = is_bf16_supported = is_available


def device_count() -> int:
    """Zero."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no device to seed."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing: there is no memory to free."""


def memory_allocated(device: Any = None) -> int:
    """Zero."""
    return 0


max_memory_allocated = memory_allocated

_REFUSED = (
    "current_device get_device_capability get_device_name get_device_properties get_rng_state "
    "set_device set_rng_state synchronize"
).split()
for _name in _REFUSED:
    globals()[_name] = refused_function(
        f"{_name} of torch.mps and torch.xpu", "this build of Moka has no such device"
    )
__all__ += _REFUSED
