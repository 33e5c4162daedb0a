"""Types that stand in for tensors by __torch_function__: functions given one of them leave the work to it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from . import _C
from ._C import Tensor
from .tensor_methods import disabled_torch_function_impl

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "BaseTorchFunctionMode",
    "DisableTorchFunctionSubclass",
    "TorchFunctionMode",
    "call_stand_in",
    "default_torch_function",
    "disabled_torch_function_impl",
    "get_default_nowrap_functions",
    "handle_torch_function",
    "has_torch_function",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "prepare",
    "resolve_name",
    "standing_in",
    "wrap_torch_function",
]


class DisableTorchFunctionSubclass:
    """A block in which subclasses of Tensor are treated as plain tensors."""

    def __enter__(self) -> None:
        self._before = _C._overrides_disabled(1)

    def __exit__(self, *_: Any) -> None:
        _C._overrides_disabled(self._before)


class _Modes(threading.local):
    def __init__(self) -> None:
        self.stack: list[TorchFunctionMode] = []


_modes = _Modes()


class TorchFunctionMode:
    """A block in which every call of a function or method of tensors goes to __torch_function__ of the mode.

    Inside of it the mode is off, so that it may call the function itself.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __torch_function__")

    def __enter__(self: Self) -> Self:
        _modes.stack.append(self)
        _C._function_modes(len(_modes.stack))
        return self

    def __exit__(self, *_: Any) -> None:
        _modes.stack.pop()
        _C._function_modes(len(_modes.stack))

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A mode made of the arguments."""
        return cls(*args, **kwargs)


BaseTorchFunctionMode = TorchFunctionMode


def _call_mode(function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    mode = _modes.stack.pop()
    _C._function_modes(len(_modes.stack))
    try:
        return mode.__torch_function__(function, types, args, kwargs)
    finally:
        _modes.stack.append(mode)
        _C._function_modes(len(_modes.stack))


def _implementation(value: Any) -> Any:
    kind = type(value)
    if kind is Tensor:
        return None
    if issubclass(kind, Tensor) and not _C._is_overriding(kind):
        return None
    return getattr(kind, "__torch_function__", None)


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
    if _modes.stack:
        result = _call_mode(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
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
    form = _FORMS.get(function.__name__, lambda *args, **kwargs: (args, kwargs))

    def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call_stand_in(called, *form(*args, **kwargs))

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if _C._function_modes():
            return ask(args, kwargs)
        for value in (*args, *kwargs.values()):
            kind = type(value)
            if kind is Tensor or kind in _PLAIN:
                continue
            if kind in (list, tuple):
                if any(_implementation(one) is not None for one in _inside(value)):
                    return ask(args, kwargs)
            elif _implementation(value) is not None:
                return ask(args, kwargs)
        return function(*args, **kwargs)

    called.__module__ = module
    return called


_PLAIN = (int, float, bool, str, type(None))


def _einsum_form(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], (list, tuple)):
        args = (args[0], *args[1])
    return args, kwargs


def _tensordot_form(
    a: Any, b: Any, dims: Any = 2, out: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (a, b), {"dims": dims, "out": out}


# How stand-ins see the arguments of functions that take them in several forms.
_FORMS: dict[str, Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "einsum": _einsum_form,
    "tensordot": _tensordot_form,
}


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
    return (
        getattr(Tensor, getattr(func, "__name__", ""), None) is func
        or getattr(func, "__name__", "") == "__get__"
    )


@functools.cache
def get_default_nowrap_functions() -> set[Any]:
    """What gives tensors that stay plain: parts of a tensor that are tensors of their own."""
    return {Tensor.__dict__[name].__get__ for name in ("_base", "grad")}


def _wrapped(value: Any, cls: type) -> Any:
    if isinstance(value, Tensor):
        return value if isinstance(value, cls) else value.as_subclass(cls)  # type: ignore[attr-defined]
    if isinstance(value, (tuple, list)) and any(isinstance(part, (Tensor, tuple, list)) for part in value):
        parts = [_wrapped(part, cls) for part in value]
        if type(value) in (tuple, list) or hasattr(value, "n_fields"):
            return type(value)(parts)
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def default_torch_function(cls: type, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What subclasses of Tensor do unless they say otherwise: the results become of that class."""
    if not all(issubclass(cls, kind) for kind in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
        return result if func in get_default_nowrap_functions() else _wrapped(result, cls)


# Signs that are reported as the method that computes them.
_SIGNS = {
    **{f"__{name}__": name for name in ("add", "sub", "mul", "pow", "matmul", "ne", "lt", "le", "gt", "ge")},
    **{f"__r{name}__": name for name in ("add", "mul")},
    **{f"__i{name}__": f"{name}_" for name in ("add", "sub", "mul", "pow")},
    **{"__truediv__": "div", "__itruediv__": "div_", "__ifloordiv__": "floor_divide_"},
    **{"__mod__": "remainder", "__imod__": "remainder_", "__pos__": "positive"},
    **{"__neg__": "neg", "__abs__": "abs"},
    **{f"__r{name}__": f"bitwise_{name}" for name in ("and", "or", "xor")},
}
_BINARY = {f"__{side}{name}__" for side in ("", "r", "i") for name in ("add", "sub", "mul", "pow", "matmul")}
_BINARY |= {f"__{side}{name}__" for side in ("", "r", "i") for name in ("truediv", "floordiv", "mod")}
_BINARY |= {f"__{side}{name}__" for side in ("", "r", "i") for name in ("and", "or", "xor")}
_BINARY |= {f"__{side}{name}__" for side in ("", "r", "i") for name in ("lshift", "rshift")}
_BINARY |= {f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge")}
# What types, not values, are asked for, and what must work before a value is whole.
_UNTOUCHED = {
    *("__class__", "__class_getitem__", "__delattr__", "__dict__", "__dictoffset__", "__dir__", "__doc__"),
    *("__getattribute__", "__getstate__", "__hash__", "__init__", "__init_subclass__", "__module__"),
    *("__new__", "__reduce__", "__setattr__", "__sizeof__", "__str__", "__subclasshook__", "__weakref__"),
    *("__torch_function__", "__weaklistoffset__", "_make_subclass", "_make_wrapper_subclass", "as_subclass"),
}


def _left(name: str, base: Any) -> Any:
    """A method or property of a subclass that leaves the call to its __torch_function__."""
    if not callable(base):
        read, write = base.__get__, getattr(base, "__set__", None)

        def get(self: Any) -> Any:
            if not _C._is_overriding(type(self)):
                return read(self)
            return handle_torch_function(read, (self,), self)

        def put(self: Any, value: Any) -> None:
            if not _C._is_overriding(type(self)):
                return write(self, value)
            handle_torch_function(write, (self, value), self, value)

        return property(get, put if write is not None else None, doc=base.__doc__)
    told = getattr(Tensor, _SIGNS[name]) if name in _SIGNS else base

    @functools.wraps(base)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _C._is_overriding(type(self)):
            return base(self, *args, **kwargs)
        relevant = (self, *_inside(args), *kwargs.values())
        if name not in _BINARY:
            return handle_torch_function(told, relevant, self, *args, **kwargs)
        try:
            return handle_torch_function(told, relevant, self, *args)
        except TypeError:
            return NotImplemented

    return method


def prepare(cls: type) -> None:
    """Make the methods of a new subclass of Tensor leave calls to its __torch_function__; operators look for
    it themselves.
    """
    known = any(_C._is_overriding(parent) for parent in cls.__mro__[1:])
    _C._add_overriding(cls)
    if known:
        return
    own = {name for kind in cls.__mro__ if not issubclass(Tensor, kind) for name in vars(kind)}
    operator = type(Tensor.__dict__["add"])
    for name, base in list(vars(Tensor).items()):
        if name in own or name in _UNTOUCHED or isinstance(base, (operator, classmethod, staticmethod)):
            continue
        if isinstance(base, FunctionType) and vars(Tensor).get(base.__name__) is not base:
            base.__name__ = name  # what programs see of it
        if callable(base) or hasattr(base, "__get__"):
            setattr(cls, name, _left(name, base))
