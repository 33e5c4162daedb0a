"""Hooks of modules: handles that remove them, and the way backward hooks see the gradients of one module."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moka._C import Tensor
from moka.autograd import Function, is_grad_enabled

if TYPE_CHECKING:
    from .module import Module

__all__ = ["HookHandle", "run_with_backward_hooks"]

_next_id = itertools.count()


class HookHandle:
    """What registering a hook returns: `remove()` takes the hook away again; also a context manager."""

    def __init__(self, hooks: dict[int, Any], key: int, marks: tuple[dict[int, bool], ...] = ()) -> None:
        self._hooks = hooks
        self._marks = marks
        self.id = key

    def hooks_dict_ref(self) -> dict[int, Any]:
        """The table that holds the hook."""
        return self._hooks

    @classmethod
    def add(
        cls,
        hooks: dict[int, Any],
        hook: Any,
        prepend: bool = False,
        marks: tuple[dict[int, bool], ...] = (),
    ) -> HookHandle:
        """Put `hook` last (or first, with `prepend`) in the table `hooks`; `marks` are tables that may
        mention
        it too.
        """
        key = next(_next_id)
        if prepend:
            others = list(hooks.items())
            hooks.clear()
            hooks[key] = hook
            hooks.update(others)
        else:
            hooks[key] = hook
        return cls(hooks, key, marks)

    def remove(self) -> None:
        """Take the hook away; doing it twice is harmless."""
        for table in (self._hooks, *self._marks):
            table.pop(self.id, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def _spread(gradients: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
    """The gradients at their places among `count` values; None elsewhere."""
    full: list[Any] = [None] * count
    for place, gradient in zip(places, gradients, strict=True):
        full[place] = gradient
    return tuple(full)


def _checked(changed: Any, count: int, what: str) -> tuple[Any, ...]:
    several = changed if isinstance(changed, tuple) else (changed,)
    if len(several) != count:
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, got {len(several)}, but expected {count}"
        )
    return several


def run_with_backward_hooks(
    module: Module,
    hooks: list[Callable[..., Any]],
    before: list[Callable[..., Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run forward between two identity nodes, through which every gradient of this call must pass.

    The node behind the module calls the hooks of `before` and collects grad_output, the node before it calls
    the hooks with both.
    Inputs without requires_grad have None in grad_input; if no input has it, the hooks run at the output.
    """
    places = [i for i, value in enumerate(args) if isinstance(value, Tensor) and value.requires_grad]
    seen: dict[str, Any] = {}

    class BehindModule(Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> Any:
            return tuple(tensor.view(tensor.shape) for tensor in tensors)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            full = _spread(gradients, seen["tracked"], seen["outputs"])
            for hook in before:
                changed = hook(module, full)
                if changed is not None:
                    full = _checked(changed, len(full), "grad_output")
            seen["grad_output"] = full
            if not places:
                for hook in hooks:
                    changed = hook(module, (None,) * len(args), full)
                    several = changed if isinstance(changed, tuple) else (changed,)
                    if any(g is not None for g in several):
                        raise RuntimeError(
                            "Backward hook for Modules where no input requires gradient should always return "
                            f"None, but {type(changed).__name__} came"
                        )
            return tuple(full[place] for place in seen["tracked"])

    class BeforeModule(Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> Any:
            return tuple(tensor.view(tensor.shape) for tensor in tensors)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            full = _spread(gradients, places, len(args))
            for hook in hooks:
                changed = hook(module, full, seen["grad_output"])
                if changed is not None:
                    full = _checked(changed, len(args), "grad_input")
            return tuple(full[place] for place in places)

    if places and is_grad_enabled():
        wrapped = list(args)
        for place, value in zip(places, BeforeModule.apply(*(args[i] for i in places)), strict=True):
            wrapped[place] = value
        args = tuple(wrapped)
    result = module.forward(*args, **kwargs)
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    tracked = [i for i, value in enumerate(outputs) if isinstance(value, Tensor) and value.requires_grad]
    if not tracked:
        return result
    seen.update(tracked=tracked, outputs=len(outputs))
    replaced = list(outputs)
    for place, value in zip(tracked, BehindModule.apply(*(outputs[i] for i in tracked)), strict=True):
        replaced[place] = value
    if not isinstance(result, (tuple, list)):
        return replaced[0]
    return replaced if isinstance(result, list) else tuple(replaced)
