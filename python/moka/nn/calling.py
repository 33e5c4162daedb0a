"""Calling a module: forward, and the hooks of every kind around it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .hooks import HookHandle, run_with_backward_hooks
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
_forward_pre: dict[int, Hook] = {}
_forward: dict[int, Hook] = {}
_forward_with_kwargs: dict[int, bool] = {}
_forward_always: dict[int, bool] = {}
_backward: dict[int, Hook] = {}
_backward_pre: dict[int, Hook] = {}
_registration: dict[str, dict[int, Hook]] = {"parameter": {}, "buffer": {}, "module": {}}


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

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every subclass says how."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward(); define forward(self, ...) in the class"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if not (
                self._forward_hooks
                or self._forward_pre_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
                or _forward
                or _forward_pre
                or _backward
                or _backward_pre
            ):
                return self.forward(*args, **kwargs)
            return self._call_with_hooks(args, kwargs)
        except AttributeError as error:
            if "_forward_hooks" not in self.__dict__:
                raise not_initialised(self) from None  # type: ignore[arg-type]
            note_module(self, error)  # type: ignore[arg-type]
            raise
        except Exception as error:
            note_module(self, error)  # type: ignore[arg-type]
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        done: set[int] = set()
        result: Any = None
        try:
            for hook in list(_forward_pre.values()):
                args = _replaced(args, hook(self, args))
            for key, hook in list(self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        args, kwargs = changed
                else:
                    args = _replaced(args, hook(self, args))
            backward = [*_backward.values(), *self._backward_hooks.values()]
            before = [*_backward_pre.values(), *self._backward_pre_hooks.values()]
            if backward or before:
                result = run_with_backward_hooks(self, backward, before, args, kwargs)  # type: ignore[arg-type]
            else:
                result = self.forward(*args, **kwargs)
            for key, hook, with_kwargs, _ in self._all_forward_hooks():
                done.add(key)
                changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if changed is not None:
                    result = changed
            return result
        except Exception:
            # Hooks that asked for it run after errors too; what they give is not used.
            for key, hook, with_kwargs, always in self._all_forward_hooks():
                if always and key not in done:
                    hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            raise

    def _all_forward_hooks(self) -> list[tuple[int, Hook, bool, bool]]:
        everywhere = [(k, h, k in _forward_with_kwargs, k in _forward_always) for k, h in _forward.items()]
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
        return HookHandle.add(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_output)` before the module's gradients are computed; a result that is not
        None replaces `grad_output`.
        """
        return HookHandle.add(self._backward_pre_hooks, hook, prepend)

    def register_backward_hook(self, hook: Hook) -> HookHandle:
        """The old name of `register_full_backward_hook`."""
        return self.register_full_backward_hook(hook)


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
    return HookHandle.add(_forward_pre, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> HookHandle:
    """Call `hook(module, args, output)` after forward of every module."""
    marks = {"with_kwargs": (_forward_with_kwargs, with_kwargs), "always": (_forward_always, always_call)}
    return _add(_forward, hook, False, marks)


def register_module_full_backward_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, grad_input, grad_output)` for every module."""
    return HookHandle.add(_backward, hook)


def register_module_backward_hook(hook: Hook) -> HookHandle:
    """The old name of `register_module_full_backward_hook`."""
    return register_module_full_backward_hook(hook)


def register_module_full_backward_pre_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, grad_output)` for every module."""
    return HookHandle.add(_backward_pre, hook)


def register_module_parameter_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, parameter)` when a parameter is registered; a result replaces it."""
    return HookHandle.add(_registration["parameter"], hook)


def register_module_buffer_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, buffer)` when a buffer is registered; a result replaces it."""
    return HookHandle.add(_registration["buffer"], hook)


def register_module_module_registration_hook(hook: Hook) -> HookHandle:
    """Call `hook(module, name, submodule)` when a submodule is registered; a result replaces it."""
    return HookHandle.add(_registration["module"], hook)
