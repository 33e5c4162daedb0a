"""The state of a module, out and in: state_dict and load_state_dict."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from moka._C import Tensor
from moka.autograd import no_grad

from .parameter import Parameter
from .state import state_errors

if TYPE_CHECKING:
    from .module import Module

__all__ = ["IncompatibleKeys", "Stateful"]


class IncompatibleKeys(NamedTuple):
    """What load_state_dict found missing in the state, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Stateful:
    """The part of Module that gives and takes its state."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _transient_buffers: set[str]
    _modules: dict[str, Module | None]

    if TYPE_CHECKING:

        def named_modules(self, *, remove_duplicate: bool) -> Iterator[tuple[str, Module]]: ...

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name; the tensors share memory with the module.

        Args:
            destination: a dict to fill, instead of a new one.
            prefix: put before every name.
            keep_vars: give the Parameters themselves, not detached tensors.
        """
        state = {} if destination is None else destination
        for name, parameter in self._parameters.items():
            if parameter is not None:
                state[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._transient_buffers:
                state[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            state[prefix + "_extra_state"] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

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
                f"load_state_dict: a dict of names and tensors is needed, {type(state_dict).__name__} came"
            )
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problem = state_errors(type(self).__name__, own, state_dict, missing, unexpected, strict, assign)
        if problem:
            raise RuntimeError(problem)
        with no_grad():
            for place, module in self.named_modules(remove_duplicate=False):
                module._take_state(state_dict, f"{place}." if place else "", assign)
        return IncompatibleKeys(missing, unexpected)

    def _take_state(self, state: Mapping[str, Any], prefix: str, assign: bool) -> None:
        for name, parameter in self._parameters.items():
            value = state.get(prefix + name)
            if parameter is None or value is None:
                continue
            if assign:
                self._parameters[name] = Parameter(value, parameter.requires_grad)
            else:
                parameter.copy_(value)
        for name, buffer in self._buffers.items():
            value = state.get(prefix + name)
            if buffer is None or value is None or name in self._transient_buffers:
                continue
            if assign:
                self._buffers[name] = value
            else:
                buffer.copy_(value)
        if prefix + "_extra_state" in state:
            self.set_extra_state(state[prefix + "_extra_state"])
