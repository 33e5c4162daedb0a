"""Calling a module: forward, and the hooks of every kind around it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .hooks import HookHandle, hook_last_node, run_with_backward_hooks
from .notes import not_initialised, note_module

__all__ = [
    "HOOK_TABLES",
    "Calling",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
    "registration_hooks",
]

Hook = Callable[..., Any]

# Tables of hooks that every module has: number of the hook -> hook, or -> True for the marks.
HOOK_TABLES = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)

# The same for all modules.
_global_forward_pre_hooks: dict[int, Hook] = {}
_global_forward_hooks: dict[int, Hook] = {}
_global_forward_hooks_with_kwargs: dict[int, bool] = {}
_global_forward_hooks_always_called: dict[int, bool] = {}
_global_backward_hooks: dict[int, Hook] = {}
_global_backward_pre_hooks: dict[int, Hook] = {}
_global_is_full_backward_hook: bool | None = None
_global_parameter_registration_hooks: dict[int, Hook] = {}
_global_buffer_registration_hooks: dict[int, Hook] = {}
_global_module_registration_hooks: dict[int, Hook] = {}
_registration = {
    "parameter": _global_parameter_registration_hooks,
    "buffer": _global_buffer_registration_hooks,
    "module": _global_module_registration_hooks,
}


def registration_hooks(kind: str, module: Any, name: str, value: Any) -> Any:
    """What is registered in place of `value`, as the registration hooks say."""
    for hook in list(_registration[kind].values()):
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


class Calling:
    """The part of Module that runs forward and the hooks."""

    _forward_pre_hooks: dict[int, Hook]
    _forward_pre_hooks_with_kwargs: dict[int, bool]
    _forward_hooks: dict[int, Hook]
    _forward_hooks_with_kwargs: dict[int, bool]
    _forward_hooks_always_called: dict[int, bool]
    _backward_hooks: dict[int, Hook]
    _backward_pre_hooks: dict[int, Hook]
    _is_full_backward_hook: bool | None = None  # which kind is registered

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every subclass says how."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward(); define forward(self, ...) in the class"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            own = self.__dict__
            if not (
                own["_forward_hooks"]
                or own["_forward_pre_hooks"]
                or own["_backward_hooks"]
                or own["_backward_pre_hooks"]
                or _global_forward_hooks
                or _global_forward_pre_hooks
                or _global_backward_hooks
                or _global_backward_pre_hooks
            ):
                return self.forward(*args, **kwargs)
            return self._call_with_hooks(args, kwargs)
        except Exception as error:
            if "_forward_hooks" not in self.__dict__:
                raise not_initialised(self) from None  # type: ignore[arg-type]
            note_module(self, error)  # type: ignore[arg-type]
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        done: set[int] = set()
        result: Any = None
        try:
            for hook in list(_global_forward_pre_hooks.values()):
                args = _replaced(args, hook(self, args))
            for key, hook in list(self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        args, kwargs = changed
                else:
                    args = _replaced(args, hook(self, args))
            backward: list[Hook] = []
            old: list[Hook] = []  # of register_backward_hook
            (old if _global_is_full_backward_hook is False else backward).extend(
                _global_backward_hooks.values()
            )
            (old if self._is_full_backward_hook is False else backward).extend(self._backward_hooks.values())
            before = [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
            if backward or before:
                result = run_with_backward_hooks(self, backward, before, args, kwargs)  # type: ignore[arg-type]
            else:
                result = self.forward(*args, **kwargs)
            for key, hook, with_kwargs, _ in self._all_forward_hooks():
                done.add(key)
                changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if changed is not None:
                    result = changed
            if old:
                hook_last_node(self, old, args, result)  # type: ignore[arg-type]
            return result
        except Exception:
            # Hooks that asked for it run after errors too; what they give is not used.
            for key, hook, with_kwargs, always in self._all_forward_hooks():
                if always and key not in done:
                    hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            raise

    def _all_forward_hooks(self) -> list[tuple[int, Hook, bool, bool]]:
        with_kwargs, always = _global_forward_hooks_with_kwargs, _global_forward_hooks_always_called
        everywhere = [(k, h, k in with_kwargs, k in always) for k, h in _global_forward_hooks.items()]
        own = [
            (k, h, k in self._forward_hooks_with_kwargs, k in self._forward_hooks_always_called)
            for k, h in self._forward_hooks.items()
        ]
        return everywhere + own

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args)` before forward; what it returns (if not None) replaces the arguments.

        With `with_kwargs`: `hook(module, args, kwargs)`, which may return (args, kwargs).
        """
        marks = {"with_kwargs": (self._forward_pre_hooks_with_kwargs, with_kwargs)}
        return _add(self._forward_pre_hooks, hook, prepend, marks)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Call `hook(module, args, output)` after forward; a result that is not None replaces output.

        With `with_kwargs`: `hook(module, args, kwargs, output)`. With `always_call` also when forward failed.
        """
        marks = {
            "with_kwargs": (self._forward_hooks_with_kwargs, with_kwargs),
            "always": (self._forward_hooks_always_called, always_call),
        }
        return _add(self._forward_hooks, hook, prepend, marks)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradient of the inputs is known.

        `grad_input` and `grad_output` are tuples; a tuple that the hook returns replaces `grad_input`.
        """
        self._is_full_backward_hook = _one_kind(self._is_full_backward_hook, True, "a single Module")
        return HookHandle.add(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_output)` before the module's gradients are computed; a result that is not
        None replaces `grad_output`.
        """
        return HookHandle.add(self._backward_pre_hooks, hook, prepend)

    def register_backward_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when the node that made the output has run.

        `grad_input` is what that one node computed, not the gradient of the module's inputs: for that there
        is `register_full_backward_hook`.
        """
        self._is_full_backward_hook = _one_kind(self._is_full_backward_hook, False, "a single Module")
        return HookHandle.add(self._backward_hooks, hook)


def _one_kind(present: bool | None, full: bool, where: str) -> bool:
    if present is not None and present is not full:
        raise RuntimeError(
            f"Cannot use both regular backward hooks and full backward hooks on {where}. Please use only one "
            "of them."
        )
    return full


def _replaced(args: tuple[Any, ...], changed: Any) -> tuple[Any, ...]:
    if changed is None:
        return args
    return changed if isinstance(changed, tuple) else (changed,)


def _add(hooks: dict[int, Hook], hook: Hook, prepend: bool, marks: dict[str, tuple[Any, bool]]) -> HookHandle:
    handle = HookHandle.add(hooks, hook, prepend, tuple(table for table, _ in marks.values()))
    for table, wanted in marks.values():
        if wanted:
            table[handle.id] = True
    return handle


def register_module_forward_pre_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, args)` before forward of every module."""
    return HookHandle.add(_global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> HookHandle:
    """Call `hook(module, args, output)` after forward of every module."""
    marks = {
        "with_kwargs": (_global_forward_hooks_with_kwargs, with_kwargs),
        "always": (_global_forward_hooks_always_called, always_call),
    }
    return _add(_global_forward_hooks, hook, False, marks)


def register_module_full_backward_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, grad_input, grad_output)` for every module."""
    global _global_is_full_backward_hook
    present = _global_is_full_backward_hook if _global_backward_hooks else None
    _global_is_full_backward_hook = _one_kind(present, True, "all modules")
    return HookHandle.add(_global_backward_hooks, hook)


def register_module_backward_hook(hook: Hook) -> HookHandle:
    """The same, called when the node that made a module's output has run; see
    Module.register_backward_hook.
    """
    global _global_is_full_backward_hook
    present = _global_is_full_backward_hook if _global_backward_hooks else None
    _global_is_full_backward_hook = _one_kind(present, False, "all modules")
    return HookHandle.add(_global_backward_hooks, hook)


def register_module_full_backward_pre_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, grad_output)` for every module."""
    return HookHandle.add(_global_backward_pre_hooks, hook)


def register_module_parameter_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, parameter)` when a parameter is registered; a result replaces it."""
    return HookHandle.add(_registration["parameter"], hook)


def register_module_buffer_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, buffer)` when a buffer is registered; a result replaces it."""
    return HookHandle.add(_registration["buffer"], hook)


def register_module_module_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, submodule)` when a submodule is registered; a result replaces it."""
    return HookHandle.add(_registration["module"], hook)
