"""torch.cpu: the one device there is."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .cuda_streams import Stream

__all__ = [
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """True."""
    return True


is_initialized = is_available


def device_count() -> int:
    """One."""
    return 1


def current_device() -> str:
    """The name of the only device."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is only one."""


def synchronize(device: Any = None) -> None:
    """Nothing: operators have finished when they return."""


def current_stream(device: Any = None) -> None:
    """None: operators of the CPU run in no stream."""


def stream(stream: Any) -> AbstractContextManager[None]:
    """A block that changes nothing."""
    return nullcontext()
