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
            for hook in before:
                changed = hook(module, gradients)
                if changed is not None:
                    gradients = changed if isinstance(changed, tuple) else (changed,)
            seen["grad_output"] = gradients
            if not places:
                for hook in hooks:
                    hook(module, (), gradients)
            return gradients

    class BeforeModule(Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> Any:
            return tuple(tensor.view(tensor.shape) for tensor in tensors)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            full: list[Any] = [None] * len(args)
            for place, gradient in zip(places, gradients, strict=True):
                full[place] = gradient
            for hook in hooks:
                changed = hook(module, tuple(full), seen["grad_output"])
                if changed is not None:
                    full = list(changed) if isinstance(changed, tuple) else [changed]
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
    replaced = list(outputs)
    for place, value in zip(tracked, BehindModule.apply(*(outputs[i] for i in tracked)), strict=True):
        replaced[place] = value
    if not isinstance(result, (tuple, list)):
        return replaced[0]
    return replaced if isinstance(result, list) else tuple(replaced)
