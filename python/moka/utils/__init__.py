"""Helpers under the names of the torch API: moka.utils.data is moka.data; checkpointing."""
# SPDX-License-Identifier: Apache-2.0

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import checkpoint as checkpoint
    from . import data as data

__all__ = ["checkpoint", "data"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: programs that only run graphs need neither.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
