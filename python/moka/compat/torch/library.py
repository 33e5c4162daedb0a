"""torch.library: operators that a program defines in Python, with their gradients."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from moka._C import Tensor
from moka.autograd import Function

from .refusing import refused_function

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "fallthrough_kernel",
    "get_ctx",
    "impl",
    "impl_abstract",
    "infer_schema",
    "opcheck",
    "register_autocast",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_torch_dispatch",
    "register_vmap",
    "triton_op",
    "wrap_triton",
]


class Operator:
    """A defined operator: its schema, its function and, once registered, its gradient."""

    def __init__(self, name: str, schema: str = "") -> None:
        self.name, self.schema = name, schema
        self.run: Callable[..., Any] | None = None
        self.backward: Callable[..., Any] | None = None
        self.setup_context: Callable[..., Any] | None = None
        names = re.findall(r"(\w+)(?:\s*=[^,)]*)?\s*(?=[,)])", schema.partition("->")[0]) if schema else []
        self.names = names
        self.provided = False  # it has gradients by itself; what programs register for it is left out

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.run is None:
            raise NotImplementedError(f"{self.name}: the operator has no implementation for the CPU")
        if self.backward is None:
            return self.run(*args, **kwargs)
        return self._function().apply(*self._bound(args, kwargs))

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        assert self.run is not None
        bound = inspect.signature(self.run).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args + tuple(bound.kwargs.values())

    def _function(self) -> type[Function]:
        operator = self

        class Recorded(Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                assert operator.run is not None
                output = operator.run(*args)
                if operator.setup_context is not None:
                    operator.setup_context(ctx, args, output)
                return output

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                assert operator.backward is not None
                return operator.backward(ctx, *gradients)

        Recorded.__name__ = self.name.rpartition("::")[2]
        return Recorded


_operators: dict[str, Operator] = {}


def registered(name: str) -> Operator | None:
    """The operator "library::name", or None. Those of an extension that Moka does not have refuse calls."""
    library = name.partition("::")[0] + "::"
    if name not in _operators and any(
        known.provided and known.name.startswith(library) for known in _operators.values()
    ):
        why = "Moka has no such operator"
        provide({name: refused_function(f"torch.ops.{name}", why, NotImplementedError)})
    return _operators.get(name)


def provide(functions: dict[str, Callable[..., Any]]) -> None:
    """Define operators of an extension by functions of Moka's, under names such as "library::name"."""
    for name, function in functions.items():
        made = _operators.setdefault(name, Operator(name))
        made.run, made.provided = function, True


def _of(op: Any) -> Operator:
    name = op if isinstance(op, str) else getattr(op, "_qualname", None) or op._qualified_op_name
    name = name.partition(".")[0]
    found = registered(name)
    if found is None:
        raise RuntimeError(f"torch.library: operator {name} does not exist; define it first")
    return found


class Library:
    """A group of operators under one name.

    Args:
        ns: the name.
        kind: "DEF" for a new group, "IMPL" or "FRAGMENT" to add to one.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Library: kind must be 'DEF', 'IMPL' or 'FRAGMENT', but {kind!r} came")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Define an operator by its schema "name(Tensor x, int n) -> Tensor"; gives back its name."""
        name = schema.partition("(")[0].strip()
        define(f"{self.ns}::{name}", schema[len(name) :])
        return name

    def impl(
        self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False, **_: Any
    ) -> None:
        """Give an operator its function; those for other devices than the CPU are left out."""
        key = dispatch_key or self.dispatch_key
        name = op_name if isinstance(op_name, str) else op_name._qualified_op_name
        name = name if "::" in name else f"{self.ns}::{name}"
        if key in (
            "",
            "CPU",
            "CompositeExplicitAutograd",
            "CompositeImplicitAutograd",
            "Autograd",
            "AutogradCPU",
        ):
            operator = _of(name)
            operator.run = operator.run if operator.provided else fn

    def _register_fake(self, op_name: str, fn: Any, *_: Any, **__: Any) -> None:
        """Nothing: shapes come from running the operator."""

    def fallback(self, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False) -> None:
        """Refused."""
        raise NotImplementedError("Library.fallback: calls of all operators cannot be redirected in Moka")

    def _destroy(self) -> None:
        for name in [name for name in _operators if name.startswith(f"{self.ns}::")]:
            del _operators[name]


def define(qualname: Any, schema: str, alias_analysis: str = "", *, lib: Any = None, tags: Any = ()) -> None:
    """Define the operator "library::name" with the schema "(Tensor x) -> Tensor"."""
    if not isinstance(qualname, str) or "::" not in qualname:
        raise ValueError(f"define: a name such as 'mylib::name' is needed, but {qualname!r} came")
    if qualname in _operators:
        raise RuntimeError(f"define: operator {qualname} exists already")
    _operators[qualname] = Operator(qualname, schema)


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Give an operator its function for some kinds of devices; a decorator without `func`."""
    if func is None:
        return lambda function: impl(qualname, types, function, lib=lib) or function
    kinds = [types] if isinstance(types, str) else list(types)
    if {kind.lower() for kind in kinds} & {
        "cpu",
        "default",
        "compositeimplicitautograd",
        "compositeexplicitautograd",
    }:
        _of(qualname).run = func
    return None


class CustomOpDef:
    """What custom_op gives: the operator, callable, to which a gradient can be added."""

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self._qualname, self._init_fn = name, fn
        self.__name__ = name.rpartition("::")[2]
        self.__doc__ = fn.__doc__
        operator = _operators[name] = Operator(name, infer_schema(fn, mutates_args=()))
        operator.run = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _operators[self._qualname](*args, **kwargs)

    def register_fake(self, fn: Any, /) -> Any:
        """The function; shapes come from running the operator."""
        return fn

    register_torch_dispatch = register_fake

    def register_kernel(self, device_types: Any, fn: Any = None, /) -> Any:
        """Give it the function for a kind of device."""
        return register_kernel(self, device_types, fn)

    def register_autograd(self, backward: Any, /, *, setup_context: Any = None) -> None:
        """Give it its gradient."""
        register_autograd(self, backward, setup_context=setup_context)

    def register_vmap(self, func: Any = None) -> Any:
        """The function; vmap goes through the parts of the operator."""
        return func if func is not None else lambda function: function


def custom_op(
    name: str,
    fn: Any = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make a function of tensors the operator "library::name"; a decorator without `fn`."""
    if fn is None:
        return lambda function: custom_op(
            name, function, mutates_args=mutates_args, device_types=device_types, schema=schema
        )
    if "::" not in name:
        raise ValueError(f"custom_op: a name such as 'mylib::name' is needed, but {name!r} came")
    return CustomOpDef(name, fn)


triton_op = custom_op


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Give an operator its function for a kind of device; a decorator without `func`."""
    if func is None:
        return lambda function: register_kernel(op, device_types, function)
    kinds = [device_types] if isinstance(device_types, str) or device_types is None else list(device_types)
    if ("cpu" in kinds or None in kinds) and not _of(op).provided:
        _of(op).run = func
    return func


def register_autograd(op: Any, backward: Any, /, *, setup_context: Any = None, lib: Any = None) -> None:
    """Give an operator its gradient.

    Args:
        backward: (ctx, *gradients of the outputs) -> gradients of the arguments.
        setup_context: (ctx, inputs, output), to save what backward needs.
    """
    operator = _of(op)
    if not operator.provided:
        operator.backward, operator.setup_context = backward, setup_context


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, _stacklevel: int = 1, **_: Any) -> Any:
    """The function, or a decorator that gives it back: shapes come from running the operator."""
    return (lambda function: function) if func is None else func


impl_abstract = register_vmap = register_torch_dispatch = register_fake


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """Nothing for CUDA; on the CPU under autocast the operator gets its tensors in that type."""
    operator = _of(op)
    run = operator.run
    if device_type != "cpu" or run is None:
        return

    def cast(*args: Any, **kwargs: Any) -> Any:
        from moka.amp import autocast, is_autocast_enabled

        if not is_autocast_enabled("cpu"):
            return run(*args, **kwargs)
        change = lambda v: v.to(cast_inputs) if isinstance(v, Tensor) and v.is_floating_point() else v  # noqa: E731
        with autocast("cpu", enabled=False):
            return run(*map(change, args), **{key: change(value) for key, value in kwargs.items()})

    operator.run = cast


def wrap_triton(triton_kernel: Any, /) -> Any:
    """Refused: Triton's kernels run on other devices."""
    raise RuntimeError(
        "torch.library.wrap_triton: Triton's kernels need a device that this build does not have"
    )


def fallthrough_kernel(*_: Any, **__: Any) -> Any:
    """Refused."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def get_ctx() -> Any:
    """Refused: shapes come from running the operator."""
    raise RuntimeError("torch.library.get_ctx: operators are never run on tensors without data here")


def opcheck(op: Any, args: Any, kwargs: Any = None, **_: Any) -> dict[str, str]:
    """Run the operator once and, where it has a gradient, backward once."""
    output = op(*args, **(kwargs or {}))
    outputs = [
        value for value in (output if isinstance(output, (tuple, list)) else [output]) if value.requires_grad
    ]
    if outputs:
        sum(value.sum() for value in outputs).backward()
    return {"test_schema": "SUCCESS", "test_autograd_registration": "SUCCESS"}


_WORDS = {Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str"}


def infer_schema(prototype_function: Any, /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The schema that the annotations of a function say."""
    import typing

    try:
        hints = typing.get_type_hints(prototype_function)
    except (NameError, TypeError):
        hints = {}

    def word(kind: Any) -> str:
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin in (list, tuple) or str(origin).endswith("Sequence'>"):
            return f"{word(inner[0])}[]"
        if type(None) in inner:
            return f"{word(next(one for one in inner if one is not type(None)))}?"
        return _WORDS.get(kind, getattr(kind, "__name__", "Tensor"))

    parts = []
    for name, parameter in inspect.signature(prototype_function).parameters.items():
        text = f"{word(hints.get(name, Tensor))} {name}"
        parts.append(text if parameter.default is inspect.Parameter.empty else f"{text}={parameter.default}")
    result = hints.get("return", Tensor)
    if typing.get_origin(result) is tuple:
        returned = f"({', '.join(word(one) for one in typing.get_args(result))})"
    else:
        returned = "()" if result is type(None) else word(result)
    return f"{op_name or ''}({', '.join(parts)}) -> {returned}"
