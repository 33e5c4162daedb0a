"""Operators that are left to Python: modes and subclasses of Tensor with __torch_dispatch__, below autograd.

An operator is shown as `torch.ops.aten.<name>.<overload>` with its arguments; composites are seen by their
parts.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import functools
import re
import threading
from collections.abc import Callable
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from . import _C
from ._C import Tensor

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "TorchDispatchMode",
    "current_mode",
    "is_traceable_wrapper_subclass",
    "make_wrapper_subclass",
    "return_and_correct_aliasing",
    "without_modes",
]


_HEAP_TYPE = 1 << 9  # in __flags__: a class that Python code defines


class _Modes(threading.local):
    def __init__(self) -> None:
        self.stack: list[TorchDispatchMode] = []


_modes = _Modes()


def _show() -> None:
    _C._dispatch_modes(len(_modes.stack))


class TorchDispatchMode:
    """A block in which every operator, below autograd, goes to __torch_dispatch__(func, types, args, kwargs)
    of the mode; inside of it the mode is off, so that it may call the operator itself.
    """

    def __init__(self, _dispatch_key: Any = None) -> None:
        pass

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __torch_dispatch__")

    def __enter__(self: Self) -> Self:
        install()
        _modes.stack.append(self)
        _show()
        return self

    def __exit__(self, *_: Any) -> None:
        _modes.stack.pop()
        _show()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A mode made of the arguments."""
        return cls(*args, **kwargs)


def current_mode() -> TorchDispatchMode | None:
    """The innermost mode of this thread, or None."""
    return _modes.stack[-1] if _modes.stack else None


class without_modes:  # noqa: N801  (a block)
    """A block in which no mode sees operators."""

    def __enter__(self) -> list[TorchDispatchMode]:
        self._before, _modes.stack = _modes.stack, []
        _show()
        return self._before

    def __exit__(self, *_: Any) -> None:
        _modes.stack = self._before
        _show()


# ---- what an operator is called


def _default(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None if text == "None" else text


@functools.cache
def _schemas() -> dict[str, tuple[list[tuple[str, bool, bool, Any]], str]]:
    """By operator: its arguments (name, keyword only, has a default, the default), and what its name is
    without the overload.
    """
    known = {}
    for op in _C._op_table():
        parts = re.findall(
            r"(\w+)(?:=((?:'[^']*'|\[[^\]]*\]|[^,)])*))?(?=[,)])", op["schema"].partition("->")[0]
        )
        defaults = {name: _default(text) for name, text in parts}
        rows = [(a["name"], a["keyword_only"], a["has_default"], defaults.get(a["name"])) for a in op["args"]]
        known[op["name"]] = rows, op["base"]
    return known


_BY_OPERAND = frozenset(
    "float_power "
    "add sub rsub mul div eq ne lt le gt ge fmod remainder floor_divide bitwise_and bitwise_or bitwise_xor "
    "lerp masked_fill fill copysign heaviside bitwise_left_shift bitwise_right_shift xlogy".split()
)
_FIXED = {
    **dict.fromkeys(("transpose", "select", "unbind"), "int"),
    **dict.fromkeys(("slice", "split", "index"), "Tensor"),
    **{"where": "self", "arange": "start_step", "var": "correction", "std": "correction", "sort": "default"},
}


def _overload(name: str, base: str, args: list[Any]) -> str:
    operand = (
        "Tensor" if len(args) > 1 and isinstance(args[-1 if base == "lerp" else 1], Tensor) else "Scalar"
    )
    if base in ("masked_fill", "lerp"):
        operand = "Tensor" if isinstance(args[2], Tensor) else "Scalar"
    if name == "div.mode":
        return f"{operand}_mode"
    if base == "pow":
        if not isinstance(args[0], Tensor):
            return "Scalar"
        return f"Tensor_{operand}"
    if base in _BY_OPERAND:
        return operand
    if base in ("sum", "mean", "any", "all", "prod", "squeeze"):
        given = len(args) > 1 and args[1] is not None
        listed = isinstance(args[1], (list, tuple)) if given else False
        if base == "sum":
            return "dim_IntList" if given else "default"
        if base == "squeeze":
            return ("dims" if listed else "dim") if given else "default"
        return (
            ("dim_int" if base == "prod" else "dims" if base != "mean" and listed else "dim")
            if given
            else "default"
        )
    if base == "clamp":
        return "Tensor" if any(isinstance(a, Tensor) for a in args[1:]) else "default"
    if base == "scatter":
        return "src" if isinstance(args[3], Tensor) else "value"
    return _FIXED.get(base) or name.partition(".")[2] or "default"


# Operators that have another name, or other arguments, among torch's.
_RENAMED: dict[str, Callable[..., tuple[str, tuple[Any, ...]]]] = {
    "softmax": lambda x, dim, dtype=None: ("_softmax", (x if dtype is None else x.to(dtype), dim, False)),
    "log_softmax": lambda x, dim, dtype=None: (
        "_log_softmax",
        (x if dtype is None else x.to(dtype), dim, False),
    ),
    "permute_dims": lambda *args: ("permute", args),
    "concat": lambda *args: ("cat", args),
    "reshape": lambda *args: ("view", args),
}
for _dims in (1, 2, 3):
    _RENAMED[f"conv{_dims}d"] = lambda x, w, b, stride, padding, dilation, groups=1, *_: (
        "convolution",
        (
            x,
            w,
            b,
            _list(stride, x),
            _list(padding, x),
            _list(dilation, x),
            False,
            [0] * (x.dim() - 2),
            groups,
        ),
    )


def _list(value: Any, x: Tensor) -> Any:
    if isinstance(value, int):
        return [value] * (x.dim() - 2)
    return list(value) * (x.dim() - 2) if len(value) == 1 else list(value)


def _parted(name: str, args: list[Any]) -> Any:
    """What torch has no operator of its own for, by its parts; NotImplemented for others."""
    if name == "linear" and args[0].dim() >= 1:
        x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
        if weight.dim() == 1:
            return _C.matmul(x, weight) if bias is None else _C.matmul(x, weight).add_(bias)
        flat = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        made = _C.mm(flat, weight.t()) if bias is None else _C.addmm(bias, flat, weight.t())
        return made if x.dim() == 2 else made.reshape(*x.shape[:-1], weight.shape[0])
    if name == "linear_backward_input":
        return _C.matmul(args[0], args[1]) if args[1].dim() == 2 else args[0].unsqueeze(-1) * args[1]
    if name == "linear_backward_weight" and args[0].dim() == args[1].dim():
        dy, x = (t.reshape(-1, t.shape[-1]) for t in args[:2])
        return _C.mm(dy.t(), x)
    return NotImplemented


def aten_call(
    name: str, given: list[Any], outs: list[Tensor], in_place: bool
) -> tuple[Any, tuple, dict[str, Any]]:
    """How torch would show a call: the operator with its overload, arguments, and those by name."""
    rows, base = _schemas()[name]
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for value, (argument, keyword_only, has_default, default) in zip(given, rows, strict=False):
        same = has_default and value is not None and type(value) is type(default) and value == default
        if keyword_only:
            if not (same or (has_default and value is None)):
                keywords[argument] = value
        else:
            positional.append(value)
    overload = _overload(name, base, given)
    while positional:
        _, _, has_default, default = rows[len(positional) - 1]
        last = positional[-1]
        if not has_default or isinstance(last, Tensor) or not (last is None or last == default):
            break
        positional.pop()
    packet, args = base, tuple(positional)
    if base in _RENAMED and not outs:
        packet, args = _RENAMED[base](*given[: len(positional)] if "conv" not in base else given)
        keywords = {}
        overload = "default"
    if in_place and not base.endswith("_"):
        packet += "_"
    elif outs and not in_place and not base.endswith("_"):
        overload = "out"
        keywords["out"] = outs[0] if len(outs) == 1 else tuple(outs)
    return _operator(packet, overload, base), args, keywords


@functools.cache
def _operator(packet: str, overload: str, base: str) -> Any:
    from .aten import packet_of

    return getattr(packet_of(packet, base), overload)


# Composites of Moka that are one operator among torch's.
_WHOLE = (
    "addmm addmv addbmm baddbmm addr max min rsub clamp_min clamp_max std ones_like zeros_like full_like "
    "empty_like rand_like randn_like new_zeros new_ones new_full new_empty"
).split()


# ---- who answers


def _wrappers(values: Any) -> list[type]:
    """The classes among the values that answer for operators, subclasses first."""
    found: list[type] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            kinds = _wrappers(value)
        elif isinstance(value, Tensor) and hasattr(type(value), "__torch_dispatch__"):
            kinds = [type(value)]
        else:
            continue
        for kind in kinds:
            if kind not in found:
                place = next((i for i, other in enumerate(found) if issubclass(kind, other)), len(found))
                found.insert(place, kind)
    return found


def _answer(name: str, given: list[Any], outs: list[Tensor], in_place: bool) -> Any:
    """The layer's question: the results of a call, or NotImplemented where nobody answers for it."""
    kinds = _wrappers([*given, *outs])
    if not kinds and not _modes.stack:
        return NotImplemented
    if not outs:
        parts = _parted(name, given)
        if parts is not NotImplemented:
            return parts
    if name == "_local_scalar_dense":  # item(): no operator of Moka's
        func, args, keywords = _operator(name, "default", name), tuple(given), {}
    else:
        func, args, keywords = aten_call(name, given, outs, in_place)
    types = tuple(kinds)
    if _modes.stack:
        mode = _modes.stack.pop()
        _show()
        try:
            result = mode.__torch_dispatch__(func, types, args, keywords)
        finally:
            _modes.stack.append(mode)
            _show()
        if result is not NotImplemented:
            return result
    for kind in kinds:
        result = kind.__torch_dispatch__(func, types, args, keywords)  # type: ignore[attr-defined]
        if result is not NotImplemented:
            return result
    names = ", ".join(kind.__name__ for kind in kinds)
    raise TypeError(
        f"Multiple dispatch failed for '{func}'; all __torch_dispatch__ handlers returned NotImplemented: "
        f"{names}"
    )


@functools.cache
def install() -> None:
    """Hear of operators from now on."""
    _C._dispatch_handler(_answer, _WHOLE)


# ---- making tensors that answer


@functools.cache
def _share_attributes(cls: type) -> None:
    """What a class keeps in slots is kept as other attributes are, which all objects of one wrapper share."""
    for kind in cls.__mro__:
        for name, value in list(vars(kind).items()):
            if kind.__flags__ & _HEAP_TYPE and isinstance(value, MemberDescriptorType):
                delattr(kind, name)


def make_wrapper_subclass(
    cls: type,
    size: Any,
    strides: Any = None,
    storage_offset: Any = None,
    memory_format: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    *_: Any,
    **__: Any,
) -> Any:
    """A tensor of class `cls` without elements, whose __torch_dispatch__ answers for operators on it."""
    if not hasattr(cls, "__torch_dispatch__"):
        raise RuntimeError(
            f"_make_wrapper_subclass requires __torch_dispatch__ to be defined, which {cls.__name__} lacks"
        )
    install()
    _share_attributes(cls)
    sizes = [int(n) for n in size]
    made = _C._make_wrapper(cls, sizes, None if strides is None else [int(n) for n in strides], dtype, device)
    return made.requires_grad_(True) if requires_grad else made


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """Whether it is a wrapper that can be taken apart and put together."""
    return isinstance(t, Tensor) and hasattr(t, "__tensor_flatten__") and hasattr(t, "__tensor_unflatten__")


def return_and_correct_aliasing(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """`out`; in-place operators and those with out= give back what they wrote into."""
    if func._schema_name.endswith("_") and args:
        return args[0]
    return (kwargs or {}).get("out", out)
