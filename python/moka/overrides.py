"""Types that stand in for tensors by __torch_function__: functions given one of them leave the work to it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from ._C import Tensor

__all__ = [
    "call_stand_in",
    "handle_torch_function",
    "has_torch_function",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "standing_in",
    "wrap_torch_function",
]


def _implementation(value: Any) -> Any:
    found = getattr(type(value), "__torch_function__", None)
    return None if found is None or found is getattr(Tensor, "__torch_function__", None) else found


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the values is of a type that has its own __torch_function__."""
    return any(_implementation(value) is not None for value in relevant_args)


def has_torch_function_unary(value: Any) -> bool:
    """has_torch_function of one value."""
    return _implementation(value) is not None


def has_torch_function_variadic(*values: Any) -> bool:
    """has_torch_function of several values."""
    return has_torch_function(values)


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor or has __torch_function__."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Call the __torch_function__ of the first value that knows the function; subclasses first."""
    candidates: list[Any] = []
    for value in relevant_args:
        if _implementation(value) is None or type(value) in (type(known) for known in candidates):
            continue
        place = next((i for i, known in enumerate(candidates) if issubclass(type(value), type(known))), None)
        candidates.insert(len(candidates) if place is None else place, value)
    types = tuple(type(value) for value in candidates)
    for value in candidates:
        result = _implementation(value)(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    names = ", ".join(kind.__name__ for kind in types)
    raise TypeError(f"no implementation found for {resolve_name(public_api)} on types {names}")


def _inside(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _inside(value)
        else:
            yield value


def call_stand_in(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a stand-in among the arguments, or in their lists, makes of a call; the extension's operators
    ask it.
    """
    return handle_torch_function(function, _inside((*args, *kwargs.values())), *args, **kwargs)


def standing_in(function: Callable[..., Any], module: str) -> Callable[..., Any]:
    """A function of Python that leaves calls with stand-ins to them; `module` is where programs find it."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            kind = type(value)
            if kind is Tensor or kind in _PLAIN:
                continue
            if kind in (list, tuple):
                if any(_implementation(one) is not None for one in _inside(value)):
                    return call_stand_in(called, args, kwargs)
            elif _implementation(value) is not None:
                return call_stand_in(called, args, kwargs)
        return function(*args, **kwargs)

    called.__module__ = module
    return called


_PLAIN = (int, float, bool, str, type(None))


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Any], Any]:
    """A decorator: the values that `dispatcher` names are asked for their __torch_function__ first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


def resolve_name(f: Any) -> str:
    """The full name of a function."""
    return f"{getattr(f, '__module__', None) or 'torch'}.{getattr(f, '__qualname__', repr(f))}"


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether it is one of Tensor's."""
    return getattr(Tensor, getattr(func, "__name__", ""), None) is func
