"""Parameters that are computed from others: `module.weight` becomes a function of what is really trained."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from moka._C import Tensor
from moka.autograd import no_grad

from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_cache: dict[tuple[int, str], Any] = {}
_caching = 0


@contextmanager
def cached() -> Iterator[None]:
    """Inside, every parametrized tensor is computed once and kept."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


def _check_originals(value: Any) -> None:
    """Raise unless it is a tensor or a sequence of them."""
    wrong = None if isinstance(value, Tensor | Sequence) else type(value).__name__
    if isinstance(value, Sequence):
        others = ((i, part) for i, part in enumerate(value) if not isinstance(part, Tensor))
        wrong = next((f"{type(part).__name__} as element {i}" for i, part in others), None)
    if wrong:
        raise ValueError(
            "register_parametrization: 'right_inverse' must return a Tensor or a Sequence of tensors "
            f"(list, tuple...). Got {wrong}"
        )


class ParametrizationList(ModuleList):
    """The functions of one tensor, first to last, and what they start from: `original` (or original0, ...
    where
    the first function takes several tensors).
    """

    def __init__(self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList: at least one parametrization is needed")
        super().__init__(modules)
        self.unsafe = unsafe
        value: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        value = module.right_inverse(value)
                    except NotImplementedError:
                        break
        _check_originals(value)
        self.is_tensor = isinstance(value, Tensor)
        self.ntensors = 1 if self.is_tensor else len(value)
        if self.is_tensor:
            if value.dtype != original.dtype:
                raise ValueError(
                    "register_parametrization: When `right_inverse` outputs one tensor, it may not change "
                    f"the dtype: it was {original.dtype}, but {value.dtype} came"
                )
            if tuple(value.shape) == tuple(original.shape) and isinstance(original, Parameter):
                original.data = value.detach()
                self.original = original
            else:
                self._keep("original", value, original)
        else:
            for i, part in enumerate(value):
                self._keep(f"original{i}", part, original)
        if not unsafe:
            _check_result(original, self(), type(modules[-1]).__name__)

    def _keep(self, name: str, value: Tensor, original: Tensor) -> None:
        if isinstance(original, Parameter):
            setattr(self, name, Parameter(value.detach().clone(), original.requires_grad))
        else:
            self.register_buffer(name, value.detach().clone())

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that the functions give `value`."""
        with no_grad():
            result: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"{type(module).__name__} has no right_inverse, so the parametrized tensor cannot be "
                        "assigned"
                    )
                result = module.right_inverse(result)
            parts = [result] if isinstance(result, Tensor) else list(result)
            for original, part in zip(self._originals(), parts, strict=True):
                if tuple(original.shape) == tuple(part.shape):
                    original.copy_(part)
                else:
                    original.data = part.detach().clone()

    def forward(self) -> Tensor:  # type: ignore[override]
        modules = list(self)
        value = modules[0](*self._originals())
        for module in modules[1:]:
            value = module(value)
        return value


def _check_result(before: Tensor, after: Any, name: str) -> None:
    """An error where a parametrization, named in it, does not give a tensor such as it got."""
    if not isinstance(after, Tensor):
        raise ValueError(
            f"register_parametrization: A parametrization must return a tensor, but {name} gives "
            f"{type(after).__name__}"
        )
    for what in ("dtype", "shape"):
        had, has = getattr(before, what), getattr(after, what)
        if had != has:
            raise ValueError(
                f"register_parametrization: A parametrization may not change the {what} of the tensor, "
                f"unless with unsafe=True: it was {had}, but {name} makes it {has}"
            )


def _class_with_properties(module: Module) -> None:
    """Give the module a class of its own, on which the parametrized names are properties."""
    base = type(module)

    def state(self: Any) -> Any:
        raise RuntimeError(
            f"{base.__name__} is parametrized and cannot be pickled; pickle its state_dict(), or remove the "
            "parametrizations first"
        )

    members = {"__getstate__": state, "_parametrized_from": base, "__module__": base.__module__}
    members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)
    module.parametrizations = ModuleDict()


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    import copy

    made = self.__new__(type(self))
    memo[id(self)] = made
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def _add_property(module: Module, name: str) -> None:
    def read(self: Any) -> Tensor:
        if not _caching:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make `module.tensor_name` the result of `parametrization(original)`; several apply one after the other.

    A method right_inverse(value) of the first parametrization says from which original the value comes;
    a further one starts from the present value, which it changes. Returns the module.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        entry = module.parametrizations[tensor_name]
        if not unsafe:
            before, name = getattr(module, tensor_name), type(parametrization).__name__
            after = parametrization(before)
            _check_result(before, after, name)
            if hasattr(parametrization, "right_inverse"):
                with suppress(NotImplementedError):
                    _check_result(before, parametrization.right_inverse(after), f"{name}.right_inverse")
        entry.append(parametrization)
        entry.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"register_parametrization: {type(module).__name__} does not have a parameter, a buffer, or a "
            f"parametrized element with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    entry = ParametrizationList([parametrization], original, unsafe)
    if not hasattr(type(module), "_parametrized_from"):
        _class_with_properties(module)
    delattr(module, tensor_name)
    module.parametrizations[tensor_name] = entry
    _add_property(module, tensor_name)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module (or this tensor of it) is parametrized."""
    entries = module._modules.get("parametrizations")
    if not isinstance(entries, ModuleDict) or not hasattr(type(module), "_parametrized_from"):
        return False
    return len(entries) > 0 if tensor_name is None else tensor_name in entries


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make `module.tensor_name` an ordinary parameter again: with its present value, or (without
    `leave_parametrized`) with the original one.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"remove_parametrizations: Module {type(module).__name__} does not have a parametrization on "
            f"{tensor_name}"
        )
    entry = module.parametrizations[tensor_name]
    if not leave_parametrized and not entry.is_tensor:
        raise ValueError(
            "remove_parametrizations: leave_parametrized=False needs one original tensor, but there are "
            f"{entry.ntensors}"
        )
    kept = entry._originals()[0]
    value = getattr(module, tensor_name).detach() if leave_parametrized else kept
    del module.parametrizations[tensor_name]
    delattr(type(module), tensor_name)
    if not isinstance(kept, Parameter):
        module.register_buffer(tensor_name, value)
    elif leave_parametrized and entry.is_tensor and tuple(kept.shape) == tuple(value.shape):
        kept.data = value.clone()  # optimizers that know the original go on with it
        module.register_parameter(tensor_name, kept)
    else:
        module.register_parameter(tensor_name, kept if value is kept else Parameter(value.clone()))
    if not len(module.parametrizations):
        del module.parametrizations
        module.__class__ = type(module)._parametrized_from
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module, or the one it had before it was parametrized."""
    return getattr(type(module), "_parametrized_from", type(module))


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give `to_module` the parametrizations (all, or those of one tensor) of `from_module`, with its
    values."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        if name not in to_module._parameters and not is_parametrized(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        entry = from_module.parametrizations[name]
        for function in entry:
            register_parametrization(to_module, name, function, unsafe=entry.unsafe)
        target = to_module.parametrizations[name]
        for mine, theirs in zip(target._originals(), entry._originals(), strict=True):
            mine.data = theirs.detach().clone()
    return to_module
