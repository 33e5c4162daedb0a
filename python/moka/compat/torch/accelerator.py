"""torch.accelerator: there is none in this build, and the CPU is none."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from .refusing import refused_function

__all__ = [
    "current_accelerator",
    "device_count",
    "is_available",
]

_NONE = "this build of Moka has no accelerator; ask torch.accelerator.is_available() first"


def is_available() -> bool:
    """False: this build of Moka computes on the CPU."""
    return False


def device_count() -> int:
    """Zero."""
    return 0


def current_accelerator(check_available: bool = False) -> Any:
    """None."""
    return None


_REFUSED = (
    "current_device_idx current_device_index current_stream device_index empty_cache "
    "max_memory_allocated max_memory_reserved memory_allocated memory_reserved memory_stats "
    "reset_peak_memory_stats set_device_idx set_device_index set_stream synchronize"
).split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.accelerator.{_name}", _NONE)
__all__ += _REFUSED
