"""torch._dynamo: no compiler of Python code is here, so its marks change nothing and nothing is ever
compiled.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from moka.nn import Module

from .compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    reset,
    substitute_in_graph,
)
from .refusing import refused_function

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "disable",
    "disallow_in_graph",
    "explain",
    "export",
    "forbid_in_graph",
    "graph_break",
    "is_compiling",
    "is_dynamo_supported",
    "is_inductor_supported",
    "list_backends",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "optimize",
    "register_backend",
    "reset",
    "run",
    "skip",
    "substitute_in_graph",
]


class OptimizedModule(Module):
    """What torch.compile makes of a module: the same module one step down, under the name `_orig_mod`."""

    def __init__(self, mod: Module) -> None:
        super().__init__()
        self._modules["_orig_mod"] = mod
        del self.__dict__["training"]

    @property
    def training(self) -> bool:  # type: ignore[override]
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        if "_orig_mod" in self.__dict__.get("_modules", ()):
            self._orig_mod.training = mode

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's."""
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training" or name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})


def is_dynamo_supported() -> bool:
    """False."""
    return False


is_inductor_supported = is_dynamo_supported


def forbid_in_graph(fn: Any) -> Any:
    """The function."""
    return fn


disallow_in_graph = run = skip = forbid_in_graph


def mark_dynamic(t: Any, index: Any, *_: Any, **__: Any) -> None:
    """Nothing: shapes are never fixed."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """Nothing: shapes are never fixed."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing: addresses are never fixed."""


def graph_break(msg: str = "") -> None:
    """Nothing: there is no graph."""


def list_backends(*_: Any, **__: Any) -> list[str]:
    """No compiler is registered."""
    return []


def register_backend(compiler_fn: Any = None, name: str | None = None, tags: Any = ()) -> Any:
    """The function; it is never called."""
    return (lambda function: function) if compiler_fn is None else compiler_fn


def optimize(*_: Any, **__: Any) -> Callable[[Any], Any]:
    """A decorator that gives the function back."""
    return lambda function: function


def patch(*_: Any, **__: Any) -> AbstractContextManager[None]:
    """A block that changes nothing."""
    return nullcontext()


export = refused_function("torch._dynamo.export", "use torch.jit.trace, which records a run as a graph")
explain = refused_function("torch._dynamo.explain", "there is no compiler of Python code to ask")
