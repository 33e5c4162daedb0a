"""Errors of names that are not there; the nearest name is looked for when the error is read, not when it is
raised, since most of them answer hasattr().
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["MissingName"]


class MissingName(AttributeError):
    """A name that a module does not have.

    Args:
        text: what is missing.
        hint: what follows where a name is near, with {} for it.
        known: gives the names there are.
    """

    def __init__(
        self, text: str, name: str = "", hint: str = "", known: Callable[[], Iterable[str]] = tuple
    ) -> None:
        super().__init__(text, name=name)
        self._hint, self._known = hint, known

    def __str__(self) -> str:
        from difflib import get_close_matches

        near = get_close_matches(self.name, list(self._known()), n=1) if self.name and self._hint else []
        return self.args[0] + (self._hint.format(near[0]) if near else "")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return AttributeError, (str(self),)


# Programs and readers see what it is to them.
MissingName.__name__ = MissingName.__qualname__ = "AttributeError"
MissingName.__module__ = "builtins"
