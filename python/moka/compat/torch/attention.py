"""torch.nn.attention: which kernels attention may use; Moka has one for all cases."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SDPBackend", "WARN_FOR_UNFUSED_KERNELS", "sdpa_kernel"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(enum.IntEnum):
    """Kernels of torch's."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """A block that allows only some kernels; results are the same with all."""
    kinds = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not kinds or not all(isinstance(kind, SDPBackend) for kind in kinds):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend instances")
    yield
