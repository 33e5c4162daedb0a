"""Modules that hold parameters: ParameterList and ParameterDict."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moka._C import Tensor

from .containers import position
from .module import Module
from .parameter import Parameter

__all__ = ["ParameterDict", "ParameterList"]


def _entry(value: Any) -> Any:
    """A tensor as a parameter; other values are kept as they are."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(name: object, value: Any, kind_of_elements: str | None = None) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Object of type: Tensor"
        sizes = "x".join(str(size) for size in value.shape)
        return f"  ({name}): {kind} containing: [{kind_of_elements or value.dtype} of size {sizes}]"
    return f"  ({name}): Object of type: {type(value).__name__}"


class ParameterList(Module):
    """A list of parameters that belong to the module that holds the list; tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._size)])

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(self._size))])
        return getattr(self, str(position(self, index, self._size)))

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(str(position(self, index, self._size)), value)

    def _put(self, name: str, value: Any) -> None:
        value = _entry(value)
        if isinstance(value, Parameter) and name in self.__dict__:
            del self.__dict__[name]
        elif not isinstance(value, Parameter):
            self._parameters.pop(name, None)
        setattr(self, name, value)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter (a tensor becomes one) at the end; returns self."""
        self._size += 1
        self._put(str(self._size - 1), value)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several at the end; returns self."""
        if isinstance(values, (Tensor, str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList: an iterable is needed, but {type(values).__name__} came")
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def pop(self, index: int = -1) -> Any:
        """Take an entry out and return it."""
        entries = list(self)
        value = entries.pop(position(self, index, self._size))
        delattr(self, str(self._size - 1))
        self._size -= 1
        for i, entry in enumerate(entries):
            self._put(str(i), entry)
        return value

    def extra_repr(self) -> str:
        return "\n".join(_line(i, value) for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList holds parameters and cannot be called")


class ParameterDict(Module):
    """Named parameters that belong to the module that holds the dict; tensors become parameters."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(f"ParameterDict: no entry {key!r}; there are {', '.join(self._keys) or 'none'}")
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: names must be strings, but {type(key).__name__} came")
        if key not in self._keys and hasattr(type(self), key):
            raise KeyError(f"ParameterDict: {key!r} is an attribute of the dict itself; take another name")
        self._keys[key] = None
        ParameterList._put(self, key, value)  # type: ignore[arg-type]

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return [self[key] for key in self._keys]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and parameter."""
        return [(key, self[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The entry of this name, or `default`."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The entry of this name, which is `default` if there was none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace several, from a mapping or from pairs of name and value.

        The names of a plain mapping are taken in their order as text, those of an OrderedDict or
        ParameterDict as they come.
        """
        if not isinstance(parameters, Iterable):
            raise TypeError(
                f"ParameterDict.update: a mapping or pairs are needed, but {type(parameters).__name__} came"
            )
        if isinstance(parameters, (OrderedDict, ParameterDict)):
            pairs = list(parameters.items())
        elif isinstance(parameters, Mapping):
            pairs = sorted(parameters.items(), key=lambda pair: pair[0])
        else:
            pairs = []
            for i, pair in enumerate(parameters):
                if not isinstance(pair, Iterable):
                    raise TypeError(
                        f"ParameterDict.update: entry {i} must be a pair, but {type(pair).__name__} came"
                    )
                if len(pair := tuple(pair)) != 2:
                    raise ValueError(f"ParameterDict.update: entry {i} must be a pair, but holds {len(pair)}")
                pairs.append(pair)
        for key, value in pairs:
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take an entry out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last entry out and return its name and value."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all entries out."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dict of the same entries."""
        return ParameterDict(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict in which every name has `default`."""
        return ParameterDict([(key, default) for key in keys])

    def __or__(self, other: Mapping[str, Any]) -> ParameterDict:
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Mapping[str, Any]) -> ParameterDict:
        merged = ParameterDict(other)
        merged.update(self)
        return merged

    def __ior__(self, other: Mapping[str, Any]) -> ParameterDict:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(
            _line(key, value, value.type() if isinstance(value, Tensor) else None)
            for key, value in self.items()
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterDict holds parameters and cannot be called")
