"""torch.save and torch.load: torch's own format out, every format that moka.load knows in."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka

__all__ = ["load", "save"]


def save(obj: Any, f: Any, *_: Any, **__: Any) -> None:
    """Write a file that torch.load reads (plain data and tensors)."""
    moka.save(obj, f, format="pt")


def load(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Read a file of torch.save or moka.save; no code in it is executed."""
    map_location = args[0] if args else kwargs.get("map_location")
    return moka.load(f, map_location=map_location)
