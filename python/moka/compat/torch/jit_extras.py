"""Names of torch.jit that only mark code for a compiler: outside of it they change nothing."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["Final", "annotate", "export", "ignore", "is_scripting", "unused"]


def is_scripting() -> bool:
    """False: Python runs this code."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value; the type tells a compiler about it."""
    return the_value


def export(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function."""
    return fn


def unused(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function."""
    return fn


def ignore(drop: Any = False, **_: Any) -> Any:
    """The function, or a decorator that gives it back."""
    return drop if callable(drop) else lambda fn: fn
