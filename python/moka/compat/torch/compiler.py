"""torch.compiler: marks for a compiler of Python code, which Moka does not have; they change nothing."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["disable", "is_compiling", "is_dynamo_compiling", "reset"]


def is_compiling() -> bool:
    """False: Python runs this code."""
    return False


is_dynamo_compiling = is_compiling


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **_: Any) -> Any:
    """The function, or a decorator that gives it back."""
    return (lambda function: function) if fn is None else fn


def reset() -> None:
    """Nothing: nothing was compiled."""
