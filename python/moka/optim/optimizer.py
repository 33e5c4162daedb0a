"""Optimizer: what all of them share: groups of parameters with options, state of each parameter, hooks."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moka._C import Tensor
from moka.autograd import enable_grad, no_grad
from moka.nn.hooks import HookHandle

__all__ = ["Optimizer", "check_options"]

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Iterable[tuple[str, Tensor]]


def check_options(name: str, **options: float) -> None:
    """Raise unless every given option is a number of at least zero."""
    for option, value in options.items():
        if not value >= 0:
            raise ValueError(f"{name}: {option} must not be negative, but is {value}")


class Optimizer:
    """Holds parameters in groups; each group has its own options (lr, ...).

    Args:
        params: tensors, (name, tensor) pairs, or dicts {"params": tensors, option: value, ...}, one for
        each group.
        defaults: the options of groups that do not name them.

    A subclass defines `update(group)`, which changes the parameters of one group by their gradients.
    """

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(
                f"{name}: params must be an iterable of tensors or dicts, not one tensor; use [tensor]"
            )
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        self._pre_hooks: dict[int, Callable[..., Any]] = {}
        self._post_hooks: dict[int, Callable[..., Any]] = {}
        listed = list(params)
        if not listed:
            raise ValueError(
                f"{name}: the list of parameters is empty; a generator that was used before is empty too"
            )
        if not isinstance(listed[0], Mapping):
            listed = [{"params": listed}]
        for group in listed:
            self.add_param_group(group)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with options of their own."""
        name = type(self).__name__
        group = dict(param_group)
        given = group["params"]
        members = [given] if isinstance(given, Tensor) else list(given)
        group["params"] = members = [member[1] if isinstance(member, tuple) else member for member in members]
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for i, parameter in enumerate(members):
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"{name}: params must be tensors, but entry {i} is {type(parameter).__name__}"
                )
            if not parameter.is_leaf:
                raise ValueError(
                    f"{name}: entry {i} was computed from other tensors; only leaves can be optimized"
                )
            if id(parameter) in known:
                raise ValueError(f"{name}: entry {i} (shape {list(parameter.shape)}) is listed twice")
            known.add(id(parameter))
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget (or, with `set_to_none=False`, zero) the gradients of all parameters."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, once.

        Args:
            closure: computes the loss again (zero_grad, forward, backward) and returns it; its result is
            returned.
        """
        for hook in list(self._pre_hooks.values()):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self.update(group)
        for hook in list(self._post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Change the parameters of one group; runs without gradient tracking."""
        raise NotImplementedError(f"{type(self).__name__} defines no update(group)")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` before every step."""
        return HookHandle.add(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return HookHandle.add(self._post_hooks, hook)

    # State

    def state_dict(self) -> dict[str, Any]:
        """Options and state as plain data; parameters are numbered in the order of the groups."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            groups.append({**group, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(parameter)]: dict(values) for parameter, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of an optimizer for the same parameters gave; tensors are copied."""
        name = type(self).__name__
        given = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        given_sizes = [len(group["params"]) for group in given]
        if sizes != given_sizes:
            raise ValueError(
                f"{name}.load_state_dict: this optimizer has groups of {sizes} parameters, the state "
                f"has {given_sizes}"
            )
        owners: dict[int, Tensor] = {}
        for group, saved in zip(self.param_groups, given, strict=True):
            owners.update(zip(saved["params"], group["params"], strict=True))
        fresh: dict[Tensor, dict[str, Any]] = {}
        for number, values in state_dict["state"].items():
            parameter = owners.get(number)
            if parameter is None:
                raise ValueError(
                    f"{name}.load_state_dict: the state names parameter {number}, which no group has"
                )
            fresh[parameter] = {key: _fit(name, parameter, key, value) for key, value in values.items()}
        self.state = fresh
        for group, saved in zip(self.param_groups, given, strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})


def _fit(name: str, parameter: Tensor, key: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.dim() and tuple(value.shape) != tuple(parameter.shape):
        raise ValueError(
            f"{name}.load_state_dict: {key} has shape {list(value.shape)}, its parameter "
            f"{list(parameter.shape)}"
        )
    return (
        value.detach().clone().to(parameter.dtype)
        if value.dtype.is_floating_point
        else value.detach().clone()
    )
