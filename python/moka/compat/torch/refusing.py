"""Stand-ins for what cannot be here: importing them works, using them says what is missing and why."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["refused_class", "refused_function"]


def refused_function(name: str, why: str, error: type[Exception] = RuntimeError) -> Callable[..., Any]:
    """A function that raises `error` when it is called."""

    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise error(f"{name}: {why}")

    refused.__name__ = refused.__qualname__ = name.rpartition(".")[2]
    refused.__doc__ = f"Refused: {why}."
    return refused


def refused_class(name: str, why: str, bases: tuple[type, ...] = ()) -> type:
    """A class for isinstance and annotations, of which no instance can be made."""

    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"{name}: {why}")

    last = name.rpartition(".")[2]
    return type(last, bases, {"__init__": refuse, "__doc__": f"Refused: {why}.", "__module__": __name__})
