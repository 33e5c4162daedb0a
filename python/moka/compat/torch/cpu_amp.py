"""torch.cpu.amp: mixed precision with the device already chosen."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka import amp

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):
    """moka.amp.autocast for "cpu"."""

    def __init__(
        self, enabled: bool = True, dtype: Any = moka.bfloat16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """moka.amp.GradScaler for "cpu"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)
