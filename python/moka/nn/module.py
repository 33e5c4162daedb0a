"""Module: the base of every layer and model, which finds, names, saves and moves the tensors below it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from moka import _C
from moka._C import Tensor
from moka.missing import MissingName

from .calling import HOOK_TABLES, Calling, registration_hooks
from .converting import Converting
from .notes import not_initialised
from .parameter import Buffer, Parameter
from .stateful import Stateful

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")


class Module(Stateful, Calling, Converting):
    """A part of a model: parameters, buffers, submodules, and a `forward` that uses them.

    Parameters, Buffers and Modules that are assigned to attributes are registered under the attribute's name.

    >>> class Net(moka.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = moka.nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.linear(x).relu()
    """

    call_super_init = False  # whether Module.__init__ passes its arguments on (for several base classes)
    training: bool
    if TYPE_CHECKING:  # programs evaluate the annotations of modules with names of their own
        _parameters: dict[str, Parameter | None]
        _buffers: dict[str, Tensor | None]
        _modules: dict[str, Module | None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        put = self.__dict__.__setitem__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_non_persistent_buffers_set", set())
        put("_modules", {})
        for table in HOOK_TABLES:
            put(table, {})
        if self.call_super_init:
            super().__init__(*args, **kwargs)
        elif args or kwargs:
            given = f"{len(args)} arguments" + (f" and {', '.join(kwargs)}" if kwargs else "")
            raise TypeError(f"{type(self).__name__}: Module.__init__ takes no arguments, but got {given}")

    # Attributes

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        look_up_natively(cls)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            entries = own.get(registry)
            if entries is not None and name in entries:
                return entries[name]
        raise MissingName(
            f"{type(self).__name__!r} object has no attribute {name!r}",
            name,
            "" if name.startswith("_") else "; did you mean {!r}?",
            lambda: [key for table in ("_parameters", "_buffers", "_modules") for key in own.get(table, ())],
        )

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            own["_modules"][name] = registration_hooks("module", self, name, value)
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, value, persistent=value.persistent)
        elif "_parameters" in own and name in own["_parameters"]:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter: assign a moka.nn.Parameter or None, "
                    f"not {type(value).__name__}; to change its values use {name}.data or "
                    f"{name}.copy_() under no_grad"
                )
            own["_parameters"][name] = None
        elif "_modules" in own and name in own["_modules"]:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a submodule: assign a moka.nn.Module or None, "
                    f"not {type(value).__name__}"
                )
            own["_modules"][name] = None
        elif "_buffers" in own and name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a buffer: assign a Tensor or None, not "
                    f"{type(value).__name__}"
                )
            own["_buffers"][name] = value
        else:
            object.__setattr__(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Modules that older versions pickled lack the newer tables.
        self.__dict__.update(state)
        for table in HOOK_TABLES:
            self.__dict__.setdefault(table, {})
        self.__dict__.setdefault("_non_persistent_buffers_set", set())

    def __delattr__(self, name: str) -> None:
        own = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in own.get(registry, ()):
                del own[registry][name]
                own["_non_persistent_buffers_set"].discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        own = self.__dict__
        names = {*super().__dir__(), *own["_parameters"], *own["_buffers"], *own["_modules"]}
        return sorted(name for name in names if not name[:1].isdigit())  # those of Sequential are no names

    def _forget(self, name: str, keep: str) -> None:
        """Make `name` free for the registry `keep`, wherever it was registered before."""
        own = self.__dict__
        if "_parameters" not in own:
            raise not_initialised(self)
        own.pop(name, None)
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry != keep:
                own[registry].pop(name, None)
        if keep != "_buffers":
            own["_non_persistent_buffers_set"].discard(name)

    def _check_name(self, what: str, name: str, registry: str) -> None:
        own = self.__dict__
        if registry not in own:
            raise not_initialised(self)
        if not isinstance(name, str):
            kind = what.removeprefix("register_").removeprefix("add_")
            raise TypeError(f"{what}: {kind} name should be a string. Got {type(name).__name__}")
        if name == "" or "." in name:
            raise KeyError(f"{what}: {name!r} cannot be a name: it must not be empty or hold a dot")
        if hasattr(self, name) and name not in own[registry]:
            raise KeyError(f"{what}: {type(self).__name__} already has an attribute {name!r}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name (an optional bias, for example)."""
        self._check_name("register_parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: {name!r} must be a moka.nn.Parameter or None, but "
                f"{type(param).__name__} came; "
                f"wrap it: moka.nn.Parameter(value)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"register_parameter: {name!r} was computed by {param.grad_fn}; a parameter must be a leaf, "
                f"so that training changes it itself"
            )
        self._parameters[name] = registration_hooks("parameter", self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is saved (when `persistent`) and moved with the module, but never trained."""
        self._check_name("register_buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: {name!r} must be a Tensor or None, but {type(tensor).__name__} came"
            )
        self._buffers[name] = registration_hooks("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"add_module: {name!r} must be a Module or None, but {type(module).__name__} came"
            )
        self._check_name("add_module", name, "_modules")
        self._modules[name] = registration_hooks("module", self, name, module)

    # Looking through the tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module below and this one first, each once, with its dotted name."""
        seen: set[Module] = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    seen, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Every module below and this one first, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for place, module in modules:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{place}.{name}" if place else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters here and (with `recurse`) below, each once, with dotted names."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters here and (with `recurse`) below, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers here and (with `recurse`) below, each once, with dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers here and (with `recurse`) below, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; "" is the module itself."""
        module = self
        walked: list[str] = []
        for part in target.split(".") if target else ():
            below = module._modules.get(part)
            if below is None:
                place = ".".join(walked) or type(self).__name__
                raise AttributeError(
                    f"get_submodule: {place} has no submodule {part!r} (looking for {target!r})"
                )
            walked.append(part)
            module = below
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place with this dotted name; with `strict` one must be there already."""
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: a Module is needed, but {type(module).__name__} came")
        place, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the name must not be empty")
        owner = self.get_submodule(place)
        if strict and name not in owner._modules:
            raise AttributeError(f"set_submodule: {type(owner).__name__} has no submodule {name!r}")
        setattr(owner, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name."""
        return self._get_member(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with this dotted name."""
        return self._get_member(target, "_buffers", "buffer")

    def _get_member(self, target: str, registry: str, kind: str) -> Any:
        place, _, name = target.rpartition(".")
        value = getattr(self.get_submodule(place), registry).get(name)
        if value is None:
            raise AttributeError(f"get_{kind}: {type(self).__name__} has no {kind} {target!r}")
        return value

    # Changing everything at once

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with every module, submodules before the modules that hold them; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Switch training behaviour (dropout, batch statistics) on or off everywhere; returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, but {type(mode).__name__} came")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """The same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Switch training of every parameter on or off; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget (or, with `set_to_none=False`, zero) the gradient of every parameter."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    def _replicate_for_data_parallel(self) -> Module:
        """A module with tables of its own that show the same tensors."""
        replica = self.__new__(type(self))
        replica.__dict__.update(self.__dict__)
        replica.__dict__["_parameters"] = {}
        for table in ("_buffers", "_modules"):
            replica.__dict__[table] = dict(self.__dict__[table])
        replica._is_replica = True
        return replica

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Accepted and without effect: eager layers run as they are. `moka.jit.trace` makes a module into a
        graph that passes optimize.
        """

    # Text

    def extra_repr(self) -> str:
        """What stands between the brackets in the text of this module; layers give their sizes."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {text}" for name, text in self._texts_of_children()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"

    def _texts_of_children(self) -> Iterator[tuple[str, str]]:
        """Names and texts; lists write equal neighbours once."""
        for name, module in self._modules.items():
            yield name, repr(module).replace("\n", "\n  ")

    def summary(self, *inputs: Any) -> Any:
        """Run the module once and give a table of its layers: output shapes, parameters, multiply-adds.

        >>> print(model.summary(moka.zeros(1, 1, 28, 28)))
        """
        from .summary import summarize

        return summarize(self, inputs)


def look_up_natively(cls: type, below: bool = False) -> None:
    """Attributes of `cls`, and of the classes `below` it, are found natively where Module has the word."""
    own = cls.__getattr__, cls.__getattribute__  # type: ignore[attr-defined]
    if own == (Module.__getattr__, object.__getattribute__):
        _C._read_registries(cls, Module.__getattr__)
    for one in cls.__subclasses__() if below else ():
        look_up_natively(one, below)


look_up_natively(Module)
