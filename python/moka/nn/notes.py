"""What errors say about the module that they arose in."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module

__all__ = ["not_initialised", "note_module"]


def not_initialised(module: Module) -> AttributeError:
    """The error of a module whose __init__ did not call Module's first."""
    name = type(module).__name__
    return AttributeError(
        f"{name}: call super().__init__() first in {name}.__init__, before assigning or calling"
    )


def note_module(module: Module, error: Exception) -> None:
    """Add (or lengthen) the note that says in which module the error arose: "In 2.conv of Net:
    Conv2d(...)".
    """
    if not hasattr(error, "add_note"):  # Python 3.10
        return
    trail: list[Module] | None = getattr(error, "_moka_modules", None)
    if trail is None:
        error.add_note("")
        trail = error._moka_modules = []  # type: ignore[attr-defined]
        error._moka_note = len(error.__notes__) - 1  # type: ignore[attr-defined]
    trail.append(module)
    names = [
        next((name for name, below in parent.named_modules() if below is child), "?")
        for child, parent in zip(trail, trail[1:], strict=False)
    ]
    origin = repr(trail[0])
    if "\n" in origin:
        origin = type(trail[0]).__name__
    where = f"{'.'.join(reversed(names))} of {type(module).__name__}: " if names else ""
    error.__notes__[error._moka_note] = f"In {where}{origin}"  # type: ignore[attr-defined]
