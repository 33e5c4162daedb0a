"""Modules that hold other modules: Sequential, ModuleList, ModuleDict."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential", "position"]


def position(owner: Module, index: int, end: int) -> int:
    """`index` counted from the start, checked against the length `end`."""
    place = operator.index(index)
    if not -end <= place < end:
        raise IndexError(f"{type(owner).__name__}: index {place} is outside a list of {end}")
    return place % end


class _Listed(Module):
    """What the containers with numbered entries share: length, iteration, indexing, insertion."""

    _modules: dict[str, Module | None]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self._modules.values())

    def _renumber(self, modules: list[Module | None]) -> None:
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def __getitem__(self, index: int | slice) -> Any:
        entries = list(self._modules.items())
        if isinstance(index, slice):
            return self._of(dict(entries[index]))
        return entries[position(self, index, len(entries))][1]

    def _of(self, modules: dict[str, Any]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: entries must be Modules, but {type(module).__name__} came"
            )
        name = list(self._modules)[position(self, index, len(self))]
        self._modules[name] = module

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        doomed = names[index] if isinstance(index, slice) else [names[position(self, index, len(names))]]
        for name in doomed:
            del self._modules[name]
        if all(name.isdigit() for name in names):
            self._renumber(list(self._modules.values()))

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add several modules at the end; returns self."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before position `index`; returns self."""
        if not isinstance(module, Module):
            raise AssertionError(
                f"{type(self).__name__}: a Module is needed, but {type(module).__name__} came"
            )
        if not -len(self) <= index <= len(self):
            raise IndexError(
                f"{type(self).__name__}: position {index} is out of range for {len(self)} modules"
            )
        entries = list(self._modules.values())
        entries.insert(index, module)
        self._renumber(entries)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a module out and return it."""
        module = self[index]
        del self[index]
        return module


def _times(times: int) -> int:
    if not isinstance(times, int):
        raise TypeError(f"Sequential: it can be multiplied by an int, but {type(times).__name__} came")
    if times <= 0:
        raise ValueError(f"Sequential: it can be repeated at least once, not {times} times")
    return times


class Sequential(_Listed):
    """Modules applied one after the other: y = f_n(... f_2(f_1(x))).

    >>> moka.nn.Sequential(moka.nn.Linear(4, 8), moka.nn.ReLU(), moka.nn.Linear(8, 2))

    A dict in place of the modules gives them names.
    """

    @overload
    def __init__(self, *modules: Module) -> None: ...
    @overload
    def __init__(self, modules: Mapping[str, Module], /) -> None: ...
    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(modules):
                self.add_module(str(i), module)

    def _of(self, modules: dict[str, Any]) -> Sequential:
        return type(self)(modules)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        entries = list(self)
        for _ in range(_times(times) - 1):
            self.extend(entries)
        return self

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Listed):
    """A list of modules whose parameters belong to the module that holds the list."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _of(self, modules: dict[str, Any]) -> ModuleList:
        return type(self)(modules.values())

    def _texts_of_children(self) -> Iterator[tuple[str, str]]:
        texts = [repr(module) for module in self]
        first = 0
        for i in range(1, len(texts) + 1):
            if i < len(texts) and texts[i] == texts[first]:
                continue
            text = texts[first].replace("\n", "\n  ")
            yield (str(first), text) if i == first + 1 else (f"{first}-{i - 1}", f"{i - first} x {text}")
            first = i

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """Named modules whose parameters belong to the module that holds the dict."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        try:
            return self._modules[key]
        except KeyError:
            raise KeyError(
                f"ModuleDict: no module {key!r}; there are {', '.join(self._modules) or 'none'}"
            ) from None

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and module."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules, from a mapping or from pairs of name and module."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"ModuleDict.update: a mapping or pairs are needed, but {type(modules).__name__} came"
            )
        for name, module in modules.items() if hasattr(modules, "items") else modules:
            self[name] = module

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()
