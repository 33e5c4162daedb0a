"""torch.utils.deterministic: whether deterministic algorithms also fill memory that nobody wrote to."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from types import ModuleType

from . import root

__all__ = ["fill_uninitialized_memory"]

fill_uninitialized_memory: bool  # the property below


class _Switches(ModuleType):
    @property
    def fill_uninitialized_memory(self) -> bool:
        """Whether results of empty() and its relatives are filled while deterministic algorithms are on."""
        return root.fills_unset()

    @fill_uninitialized_memory.setter
    def fill_uninitialized_memory(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise RuntimeError(f"fill_uninitialized_memory: expected a bool, got {type(value).__name__}")
        root.fills_unset(value)


sys.modules[__name__].__class__ = _Switches
