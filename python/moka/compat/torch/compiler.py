"""torch.compiler: marks for a compiler of Python code, which Moka does not have; they change nothing."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .refusing import refused_function

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "load_compiled_function",
    "reset",
    "set_stance",
    "substitute_in_graph",
    "wrap_numpy",
]


def is_compiling() -> bool:
    """False: Python runs this code."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **_: Any) -> Any:
    """The function, or a decorator that gives it back."""
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function."""
    return fn


assume_constant_result = wrap_numpy = allow_in_graph


def substitute_in_graph(original_fn: Any, *_: Any, **__: Any) -> Callable[[Any], Any]:
    """A decorator that gives the function back."""
    return lambda function: function


def compile(*args: Any, **kwargs: Any) -> Any:
    """torch.compile."""
    from .root import compile

    return compile(*args, **kwargs)


def set_stance(*_: Any, **__: Any) -> AbstractContextManager[None]:
    """A block that changes nothing; nothing is compiled under any stance."""
    return nullcontext()


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """No compiler is registered."""
    return []


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs."""


def reset() -> None:
    """Nothing: nothing was compiled."""


load_compiled_function = refused_function(
    "torch.compiler.load_compiled_function", "nothing can be compiled here"
)
