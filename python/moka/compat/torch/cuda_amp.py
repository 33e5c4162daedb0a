"""torch.cuda.amp: mixed precision with the device already chosen."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from enum import Enum
from typing import Any

import moka
from moka import amp

__all__ = ["GradScaler", "OptState", "autocast", "custom_bwd", "custom_fwd"]

custom_fwd = functools.partial(amp.custom_fwd, device_type="cuda")
custom_bwd = functools.partial(amp.custom_bwd, device_type="cuda")


class OptState(Enum):
    """How far an optimizer is in its round of a GradScaler."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class autocast(amp.autocast):
    """moka.amp.autocast for "cuda"."""

    def __init__(
        self, enabled: bool = True, dtype: Any = moka.float16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """moka.amp.GradScaler for "cuda"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)
