"""The state of a module, out and in: state_dict and load_state_dict."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from moka._C import Tensor
from moka.autograd import no_grad

from .hooks import HookHandle
from .parameter import Parameter
from .state import state_errors

if TYPE_CHECKING:
    from .module import Module

__all__ = ["IncompatibleKeys", "Stateful"]


class IncompatibleKeys(NamedTuple):
    """What load_state_dict found missing in the state, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


class _BoundHook:
    """hook(module, ...) of a module that the hook does not keep alive."""

    def __init__(self, hook: Callable[..., Any], module: Any) -> None:
        functools.update_wrapper(self, hook)
        self.hook = hook
        self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self.module()
        if module is None:
            raise RuntimeError("load_state_dict: the module of a hook is gone")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {"hook": self.hook, "module": self.module()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["module"] is None:
            raise RuntimeError("a hook of load_state_dict cannot be copied: its module is gone")
        self.__init__(state["hook"], state["module"])  # type: ignore[misc]


def _copy_into(target: Tensor, value: Tensor, name: str) -> None:
    if target.device.type == "meta" and value.device.type != "meta":
        warnings.warn(
            f"for {name}: copying from a non-meta parameter in the checkpoint to a meta parameter in the "
            "current model, which is a no-op. (Did you mean to pass `assign=True` to take the tensors of the "
            "state themselves?)",
            stacklevel=2,
        )
    target.copy_(value)


class Stateful:
    """The part of Module that gives and takes its state."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Any]
    _state_dict_hooks: dict[int, Callable[..., Any]]
    _state_dict_pre_hooks: dict[int, Callable[..., Any]]
    _load_state_dict_pre_hooks: dict[int, Callable[..., Any]]
    _load_state_dict_post_hooks: dict[int, Callable[..., Any]]
    _version = 1  # of the module's entries in a state dict, for classes that change them

    if TYPE_CHECKING:

        def named_modules(self, *, remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]: ...

    def state_dict(
        self,
        *args: Any,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name; the tensors share memory with the module.

        Args:
            destination: a dict to fill, instead of a new one.
            prefix: put before every name.
            keep_vars: give the Parameters themselves, not detached tensors.
        """
        if args:  # the old way: state_dict(destination, prefix, keep_vars)
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given["destination"]
            prefix, keep_vars = given.get("prefix", prefix), given.get("keep_vars", keep_vars)
        state: dict[str, Any] = OrderedDict() if destination is None else destination
        if destination is None:
            state._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = {"version": self._version}
        if hasattr(state, "_metadata"):
            state._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(state, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            changed = hook(self, state, prefix, metadata)
            if changed is not None:
                state = changed
        return state

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Add the entries of this module alone; may be overridden."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's state is collected."""
        return HookHandle.add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after the module's state was collected."""
        return HookHandle.add(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> HookHandle:
        return HookHandle.add(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)` before loading; it may change the state_dict it gets, which is a copy.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> HookHandle:
        kept = _BoundHook(hook, self) if with_module else hook
        return HookHandle.add(self._load_state_dict_pre_hooks, kept)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the two lists of keys in
        place."""
        return HookHandle.add(self._load_state_dict_post_hooks, hook)

    def get_extra_state(self) -> Any:
        """Override (with set_extra_state) to add plain data to `state_dict()` under the name
        "_extra_state".
        """
        raise NotImplementedError(f"{type(self).__name__} has no extra state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state gave."""
        raise NotImplementedError(f"{type(self).__name__} has an extra state but no set_extra_state()")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values from `state_dict` into parameters and buffers of the same names.

        Args:
            state_dict: what `state_dict()` of such a module gave.
            strict: names missing in the state or unknown to the module are errors.
            assign: take the given tensors themselves instead of copying their values.
        Returns: the names that were missing and the names that had no place. Raises RuntimeError with all
        differences, grouped, before anything is changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: Expected state_dict to be dict-like, got {type(state_dict).__name__}"
            )
        metadata = getattr(state_dict, "_metadata", None) or {}
        state: dict[str, Any] = OrderedDict(state_dict)
        errors: list[str] = []
        missing: list[str] = []
        unexpected: list[str] = []
        special: list[str] = []  # prefixes of modules that load themselves
        modules = [
            (f"{place}." if place else "", m) for place, m in self.named_modules(remove_duplicate=False)
        ]
        for prefix, module in modules:
            local = metadata.get(prefix[:-1], {})
            for hook in list(module._load_state_dict_pre_hooks.values()):
                # A hook sees the part of its module; what it changes there counts.
                part = OrderedDict((k, v) for k, v in state.items() if k.startswith(prefix))
                known = list(part)
                hook(part, prefix, local, strict, missing, unexpected, errors)
                for name in known:
                    if name not in part:
                        del state[name]
                state.update(part)
            module._upgrade_state(state, prefix, local.get("version"))
            if type(module)._load_from_state_dict is not Stateful._load_from_state_dict:
                special.append(prefix)
        own = self.state_dict(keep_vars=True)
        for prefix, module in modules:  # whoever can take an extra state wants one
            if module._takes_extra_state():
                own.setdefault(prefix + "_extra_state", None)
            else:
                own.pop(prefix + "_extra_state", None)
        absent = [name for name in own if name not in state]
        extra = [name for name in state if name not in own]
        if special:
            absent = [name for name in absent if name.rpartition(".")[0] + "." * ("." in name) not in special]
            extra = [name for name in extra if not name.startswith(tuple(special))]
        missing += [name for name in absent if name not in missing]
        unexpected += [name for name in extra if name not in unexpected]
        problem = state_errors(type(self).__name__, own, state, missing, unexpected, strict, assign)
        if problem and not self._decides_later(special):
            raise RuntimeError(problem)
        with no_grad():
            for prefix, module in modules:
                if prefix in special:
                    local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
                    module._load_from_state_dict(state, prefix, local, strict, missing, unexpected, errors)
                else:
                    module._take_state(state, prefix, assign)
        result = IncompatibleKeys(missing, unexpected)
        for _, module in modules:
            for hook in list(module._load_state_dict_post_hooks.values()):
                if hook(module, result) is not None:
                    raise RuntimeError("load_state_dict: a post-hook must change the keys in place")
        if errors or (strict and (missing or unexpected)):
            again = state_errors(type(self).__name__, own, state, missing, unexpected, strict, assign)
            raise RuntimeError("\n".join([again, *errors]).strip())
        return result

    def _takes_extra_state(self) -> bool:
        return type(self).set_extra_state is not Stateful.set_extra_state

    def _upgrade_state(self, state: dict[str, Any], prefix: str, version: int | None) -> None:
        """Change a state that an older version of the class saved (None: who knows) into today's."""

    def _decides_later(self, special: list[str]) -> bool:
        """Whether modules or hooks that see the whole load may still take differences away."""
        return bool(special) or any(m._load_state_dict_post_hooks for _, m in self.named_modules())

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load the entries of this module alone; modules override it to read other names or shapes."""
        assign = local_metadata.get("assign_to_params_buffers", False)
        buffers = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        fitting = dict(state_dict)
        for name, own in {**self._parameters, **buffers}.items():
            key = prefix + name
            if own is None:
                continue
            if key not in state_dict:
                if strict and key not in missing_keys:
                    missing_keys.append(key)
            elif not assign and tuple(state_dict[key].shape) != tuple(own.shape):
                error_msgs.append(
                    f"  size mismatch for {key}: the module has {list(own.shape)}, the state has "
                    f"{list(state_dict[key].shape)}"
                )
                del fitting[key]
        if strict:
            names = {*self._parameters, *self._buffers, *self._modules, "_extra_state"}
            for key in state_dict:
                inner = key[len(prefix) :].split(".", 1)[0]
                if key.startswith(prefix) and inner not in names and key not in unexpected_keys:
                    unexpected_keys.append(key)
        self._take_state(fitting, prefix, assign)

    def _take_state(self, state: Mapping[str, Any], prefix: str, assign: bool) -> None:
        for name, parameter in self._parameters.items():
            value = state.get(prefix + name)
            if parameter is None or value is None:
                continue
            if assign:
                self._parameters[name] = Parameter(value, parameter.requires_grad)
            else:
                _copy_into(parameter, value, prefix + name)
        for name, buffer in self._buffers.items():
            value = state.get(prefix + name)
            if buffer is None or value is None or name in self._non_persistent_buffers_set:
                continue
            if assign:
                self._buffers[name] = value
            else:
                _copy_into(buffer, value, prefix + name)
        if prefix + "_extra_state" in state and self._takes_extra_state():
            self.set_extra_state(state[prefix + "_extra_state"])
