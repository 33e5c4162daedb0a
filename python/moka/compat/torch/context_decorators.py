"""torch.utils._contextlib: context managers that decorate functions too."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["context_decorator"]


def context_decorator(ctx: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a context around every call; `ctx` is a context manager or makes them.

    A generator is inside of the context while it runs, not while it waits.
    """
    if not (callable(ctx) or hasattr(ctx, "__enter__")):
        raise TypeError(f"context_decorator: {ctx!r} is no context manager and makes none")
    fresh = ctx if callable(ctx) and not hasattr(ctx, "__enter__") else (lambda: ctx)
    if inspect.isclass(func):
        raise RuntimeError(f"context_decorator: functions can be decorated, the class {func.__name__} cannot")
    if inspect.isgeneratorfunction(func):
        return _wrap_generator(fresh, func)

    @functools.wraps(func)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with fresh():
            return func(*args, **kwargs)

    return inside


def _wrap_generator(ctx_factory: Callable[[], Any], func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def generate(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        go_on: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with ctx_factory():
                    value = go_on()
            except StopIteration as end:
                return end.value
            try:
                sent = yield value
                go_on = functools.partial(generator.send, sent)
            except GeneratorExit:
                with ctx_factory():
                    generator.close()
                raise
            except BaseException as error:
                go_on = functools.partial(generator.throw, error)

    return generate


class _DecoratorContextManager:
    """A context manager that decorates functions: each call has a clone of it."""

    def __call__(self, orig_func: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(orig_func):
            for name in ("__init__", "__new__"):
                if name in vars(orig_func):
                    setattr(orig_func, name, context_decorator(lambda: self.clone(), vars(orig_func)[name]))
            return orig_func
        return context_decorator(lambda: self.clone(), orig_func)

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> Any:
        raise NotImplementedError

    def clone(self) -> Any:
        """Another one of the same kind; managers with arguments say how."""
        return type(self)()


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One that takes no arguments: `@manager` and `@manager()` are the same."""

    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        if orig_func is None:
            return made
        made.__init__()
        return made(orig_func)
