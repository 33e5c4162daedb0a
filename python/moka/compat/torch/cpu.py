"""torch.cpu: the one device that is always there."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

__all__ = ["current_device", "device_count", "is_available", "set_device", "synchronize"]


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """One."""
    return 1


def current_device() -> str:
    """ "cpu"."""
    return "cpu"


def set_device(device: Any) -> None:
    """There is one: nothing to choose."""


def synchronize(device: Any = None) -> None:
    """Calls have ended when they return."""
