"""Optimizer: what all of them share: groups of parameters with options, state of each parameter, hooks."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import enable_grad, set_grad_enabled
from moka.nn.hooks import HookHandle

__all__ = [
    "Optimizer",
    "Parameters",
    "check_modes",
    "check_options",
    "count_step",
    "kept_number",
    "number",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Iterable[tuple[str, Tensor]]

_global_pre_hooks: dict[int, Callable[..., Any]] = {}
_global_post_hooks: dict[int, Callable[..., Any]] = {}


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call `hook(optimizer, args, kwargs)` before every step of every optimizer."""
    return HookHandle.add(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call `hook(optimizer, args, kwargs)` after every step of every optimizer."""
    return HookHandle.add(_global_post_hooks, hook)


def number(value: Any) -> float:
    """An option as a number; options may be tensors of one element, which programs change in place."""
    return value.item() if isinstance(value, Tensor) else value


# How messages of PyTorch name options that they do not call by their names.
_WORDS = {"lr": "learning rate", "eps": "epsilon value"}


def invalid(name: str, option: str, value: Any, rule: str) -> ValueError:
    """The error for an option whose value breaks a rule."""
    return ValueError(f"{name}: Invalid {_WORDS.get(option, f'{option} value')}: {value}; {rule}")


def check_options(name: str, **options: Any) -> None:
    """Raise unless every given option is a number of at least zero."""
    for option, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"{name}: {option} given as a tensor must have one element, but has shape {list(value.shape)}"
            )
        if isinstance(value, str) or not hasattr(value, "__float__"):
            raise TypeError(
                f"{name}: {option} must be a number, but {type(value).__name__} {value!r:.40} came"
            )
        if not number(value) >= 0:
            raise invalid(name, option, value, f"{option} must not be negative")


def kept_number(value: float) -> Tensor:
    """A number as optimizers keep it in the state of a parameter: a tensor without dimensions."""
    double = _C.get_default_dtype() == _C.float64
    return _C.tensor(float(value), dtype=_C.float64 if double else _C.float32)


def count_step(state: dict[str, Any]) -> int:
    """Count one more step in the state of a parameter; how many that makes."""
    state["step"] += 1
    return int(state["step"])


def check_betas(name: str, betas: tuple[Any, Any]) -> None:
    """Raise unless both betas are in 0 to 1 (without 1), and both numbers or both tensors."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"{name}: betas must be two numbers, but {betas!r:.40} came")
    if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
        raise ValueError(f"{name}: betas must be two numbers or two tensors, not one of each: {betas}")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(f"{name}: betas[{i}] given as a tensor must have one element")
        if not 0 <= number(beta) < 1:
            raise ValueError(
                f"{name}: Invalid beta parameter at index {i}: {number(beta)}; "
                "betas must be at least 0 and below 1"
            )


def check_modes(name: str, options: Mapping[str, Any]) -> None:
    """Raise where the ways of running a step exclude each other.

    Steps here always run over all parameters of a group; `foreach`, `fused` and `capturable` are kept in the
    groups for programs that read them, `differentiable` runs the step so that gradients pass through it.
    """
    if options.get("fused") and options.get("differentiable"):
        raise RuntimeError(f"{name}: fused=True cannot be differentiated; leave out one of the two")
    if options.get("fused") and options.get("foreach"):
        raise RuntimeError(
            f"{name}: fused=True and foreach=True exclude each other; leave out one of the two"
        )
    if options.get("foreach") and not options.get("capturable"):
        tensors = [options.get("lr"), *(options.get("betas") or ())]
        if any(isinstance(value, Tensor) for value in tensors):
            raise ValueError(
                f"{name}: lr and betas as tensors need capturable=True with foreach=True, or no foreach"
            )


def refuse_sparse(name: str, parameters: Iterable[Any]) -> None:
    """Raise where a gradient is sparse, for optimizers that change all elements in every step."""
    if any(p.grad is not None and p.grad.is_sparse for p in parameters):
        hint = ", please consider SparseAdam instead" if name.startswith("Adam") else ""
        raise RuntimeError(f"{name} does not support sparse gradients{hint}")


def _itself(tensors: list[Any]) -> list[Any]:
    return tensors


def _as_real(tensors: list[Any]) -> list[Any]:
    return [_C.view_as_real(t.detach()) if t.is_complex() else t for t in tensors]


def real_view(parameters: list[Any]) -> Callable[[list[Any]], list[Any]]:
    """What shows lists of tensors to a step: complex ones as pairs of numbers on their memory."""
    return _as_real if any(p.is_complex() for p in parameters) else _itself


class Optimizer:
    """Holds parameters in groups; each group has its own options (lr, ...).

    Args:
        params: tensors, (name, tensor) pairs, or dicts {"params": tensors, option: value, ...}, one for
        each group.
        defaults: the options of groups that do not name them.

    A subclass defines `update(group)`, which changes the parameters of one group by their gradients, or a
    `step(closure=None)` of its own.
    """

    # State entries that are kept as numbers and may come as tensors of one element in a state dict.
    state_numbers: tuple[str, ...] = ()
    takes_sparse = False  # whether update() knows sparse gradients

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(
                f"{name}: params must be an iterable of tensors or dicts, not one tensor; use [tensor]"
            )
        if not isinstance(params, Iterable):
            hint = "; use its parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(
                f"{name}: params must be an iterable of tensors or dicts, but {type(params).__name__} "
                f"came{hint}"
            )
        check_modes(name, defaults)
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._make_hook_tables()
        if isinstance(params, (set, frozenset)):
            warnings.warn(
                f"{name}: params is a set, whose order changes from run to run; give a list, so that a saved "
                "state finds its parameters again",
                FutureWarning,
                stacklevel=3,
            )
        listed = list(params)
        if not listed:
            raise ValueError(
                f"{name}: the list of parameters is empty; a generator that was used before is empty too"
            )
        if not isinstance(listed[0], Mapping):
            listed = [{"params": listed}]
        for group in listed:
            self.add_param_group(group)

    def _make_hook_tables(self) -> None:
        self._pre_hooks: dict[int, Callable[..., Any]] = {}
        self._post_hooks: dict[int, Callable[..., Any]] = {}
        self._state_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._state_post_hooks: dict[int, Callable[..., Any]] = {}
        self._load_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._load_post_hooks: dict[int, Callable[..., Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        for group in self.param_groups:
            for option, value in self.defaults.items():
                group.setdefault(option, value)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"] if i else [f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with options of their own."""
        name = type(self).__name__
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{name}: a group must be a dict, but {type(param_group).__name__} came")
        group = dict(param_group)
        if "params" not in group:
            raise ValueError(
                f"{name}: group {len(self.param_groups)} has no 'params'; it has "
                f"{', '.join(group) or 'nothing'}"
            )
        given = group["params"]
        if isinstance(given, (set, frozenset)):
            raise TypeError(f"{name}: the params of a group must be ordered, but a set came; give a list")
        members = [given] if isinstance(given, Tensor) else list(given)
        names = [member[0] for member in members if isinstance(member, tuple)]
        if names and len(names) != len(members):
            raise ValueError(f"{name}: give names for all parameters of a group, or for none")
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ValueError(f"{name}: give names for the parameters of all groups, or of none")
        group["params"] = members = [member[1] if isinstance(member, tuple) else member for member in members]
        if names:
            group["param_names"] = names
        known = {id(p) for other in self.param_groups for p in other["params"]}
        own: set[int] = set()
        for i, parameter in enumerate(members):
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"{name}: params must be tensors, but entry {i} is {type(parameter).__name__}"
                )
            if not parameter.is_leaf and not self.defaults.get("differentiable"):
                raise ValueError(
                    f"{name}: entry {i} was computed from other tensors; only leaves can be optimized"
                )
            if id(parameter) in known:
                raise ValueError(f"{name}: entry {i} (shape {list(parameter.shape)}) is listed twice")
            if id(parameter) in own:
                warnings.warn(
                    f"{name}: a parameter group with duplicate parameters: entry {i} (shape "
                    f"{list(parameter.shape)}) is listed twice and would be changed twice in each step",
                    UserWarning,
                    stacklevel=3,
                )
            own.add(id(parameter))
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
        if closure is not None and not callable(closure):
            raise TypeError(
                f"{type(self).__name__}.step: closure must be a function that computes the loss again, but "
                f"{type(closure).__name__} came"
            )
        self._opt_called = True  # schedules ask
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            for group in self.param_groups:
                if not self.takes_sparse:
                    refuse_sparse(type(self).__name__, group["params"])
                self.update(group)
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Change the parameters of one group; runs without gradient tracking."""
        raise NotImplementedError(f"{type(self).__name__} defines neither update(group) nor step(closure)")

    def each(
        self, group: dict[str, Any], fresh: Callable[[Tensor], dict[str, Any]]
    ) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
        """Parameters that have a gradient, the gradient to descend, the state (`fresh(parameter)` at
        first)."""
        uphill = group.get("maximize", False)
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None:
                continue
            state, shown = self.state[parameter], parameter
            if parameter.is_complex():  # as pairs of numbers
                shown, gradient = _C.view_as_real(parameter.detach()), _C.view_as_real(gradient)
            if not state:
                state.update(fresh(shown))
            yield shown, -gradient if uphill else gradient, state

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` before every step; it may return changed (args, kwargs)."""
        return HookHandle.add(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return HookHandle.add(self._post_hooks, hook)

    # State

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer)` before state_dict() collects the state."""
        return HookHandle.add(self._state_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer, state_dict)` on the way out; a result that is not None replaces it."""
        return HookHandle.add(self._state_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call `hook(optimizer, state_dict)` before loading; a result that is not None replaces the state."""
        return HookHandle.add(self._load_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call `hook(optimizer)` after a state was loaded."""
        return HookHandle.add(self._load_post_hooks, hook, prepend)

    def state_dict(self) -> dict[str, Any]:
        """Options and state as plain data; parameters are numbered in the order of the groups."""
        for hook in list(self._state_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            options = {key: value for key, value in group.items() if key != "params"}
            groups.append({**options, "params": [numbers[id(p)] for p in group["params"]]})
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: copy.copy(values)
            for key, values in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in list(self._state_post_hooks.values()):
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of an optimizer for the same parameters gave; tensors are copied."""
        name = type(self).__name__
        for hook in list(self._load_pre_hooks.values()):
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(
                f"{name}.load_state_dict: the state must come from state_dict() of an optimizer, with state "
                "and param_groups; " + _content(state_dict)
            )
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
        fresh: defaultdict[Any, Any] = defaultdict(dict)
        for key, values in state_dict["state"].items():
            if not isinstance(key, int):
                fresh[key] = copy.deepcopy(values)
                continue
            parameter = owners.get(key)
            if parameter is None:
                raise ValueError(
                    f"{name}.load_state_dict: the state names parameter {key}, which no group has"
                )
            fresh[parameter] = {entry: self._fit(parameter, entry, value) for entry, value in values.items()}
        self.state = fresh
        for group, saved in zip(self.param_groups, given, strict=True):
            for option, value in saved.items():
                if option not in ("params", "param_names"):
                    group[option] = copy.deepcopy(value)
        for hook in list(self._load_post_hooks.values()):
            hook(self)

    def _fit(self, parameter: Tensor, key: str, value: Any) -> Any:
        """A state entry as this optimizer keeps it for `parameter`."""
        if isinstance(value, (list, tuple)):
            return type(value)(self._fit_tensor(entry) for entry in value)
        if key in self.state_numbers and (isinstance(value, (int, float)) or value.numel() == 1):
            return kept_number(number(value))
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        shape, own = tuple(value.shape), tuple(parameter.shape)
        factored = key in ("row_var", "col_var")
        if value.dim() and value.numel() != 0 and shape != own and not factored and self.state_numbers:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: {key} has shape {list(shape)}, its parameter "
                f"{list(own)}"
            )
        copied = self._fit_tensor(value)
        if key != "step" and value.dtype.is_floating_point and parameter.dtype.is_floating_point:
            copied = copied.to(parameter.dtype)
        return copied

    @staticmethod
    def _fit_tensor(value: Any) -> Any:
        return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _content(state: Any) -> str:
    if not isinstance(state, Mapping):
        return f"{type(state).__name__} came"
    names = list(map(str, state))
    return f"it has {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` of a class, with the hooks of the optimizer and of all optimizers around it."""
    if getattr(step, "_runs_hooks", False):
        return step

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self.__dict__.get("_in_step"):  # a subclass's step that calls the one of its base
            return step(self, *args, **kwargs)
        self.__dict__["_in_step"] = True
        try:
            for hook in [*_global_pre_hooks.values(), *getattr(self, "_pre_hooks", {}).values()]:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(
                            f"{type(self).__name__}: a step pre-hook must return None or (args, kwargs), but "
                            f"gave {type(changed).__name__}"
                        )
                    args, kwargs = changed
            result = step(self, *args, **kwargs)
            for hook in [*getattr(self, "_post_hooks", {}).values(), *_global_post_hooks.values()]:
                hook(self, args, kwargs)
            return result
        finally:
            del self.__dict__["_in_step"]

    run._runs_hooks = True  # type: ignore[attr-defined]
    return run


Optimizer.step = _with_hooks(Optimizer.step)  # type: ignore[method-assign]
