"""torch.classes: classes of C++ extensions; none can be loaded."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import NoReturn

__all__: list[str] = []


def load_library(path: str) -> NoReturn:
    """Refused: extensions made for torch cannot be loaded."""
    raise OSError(f"torch.classes.load_library: {path}: extensions made for torch cannot be loaded by Moka")
