"""torch.utils.weak: references and dictionaries that tell objects apart by identity, since == of tensors
compares elements.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from moka._C import Tensor

__all__ = [
    "TensorWeakRef",
    "WeakIdKeyDictionary",
    "WeakIdRef",
    "WeakIdRefKeyDictionary",
    "WeakTensorKeyDictionary",
    "WeakTensorRefKeyDictionary",
]


class WeakIdRef(weakref.ref):
    """A weak reference that is equal to another one to the same object."""

    __slots__ = ("_id",)

    def __init__(self, key: Any, callback: Callable[[Any], Any] | None = None) -> None:
        super().__init__(key, callback)
        self._id = id(key)

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeakIdRef):
            return False
        mine, its = self(), other()
        return self is other if mine is None or its is None else mine is its


class TensorWeakRef(WeakIdRef):
    """A weak reference to a tensor."""

    def __init__(self, tensor: Tensor, callback: Callable[[Any], Any] | None = None) -> None:
        if not isinstance(tensor, Tensor):
            raise AssertionError(f"TensorWeakRef: a Tensor is needed, but {type(tensor).__name__} came")
        super().__init__(tensor, callback)


class WeakIdKeyDictionary(MutableMapping):
    """A dictionary whose keys are held weakly and told apart by identity."""

    def __init__(self, dict: Any = None, ref_type: type = WeakIdRef) -> None:
        self.ref_type = ref_type
        self.data: dict[Any, Any] = {}
        entries = self.data

        def remove(reference: Any) -> None:
            entries.pop(reference, None)

        self._remove = remove
        if dict is not None:
            self.update(dict)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[self.ref_type(key, self._remove)] = value

    def __getitem__(self, key: Any) -> Any:
        return self.data[self.ref_type(key)]

    def __delitem__(self, key: Any) -> None:
        del self.data[self.ref_type(key)]

    def __contains__(self, key: object) -> bool:
        try:
            return self.ref_type(key) in self.data
        except TypeError:
            return False

    def __iter__(self) -> Iterator[Any]:
        return (key for reference in list(self.data) if (key := reference()) is not None)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"

    def keyrefs(self) -> list[Any]:
        """The references."""
        return list(self.data)

    def copy(self) -> WeakIdKeyDictionary:
        """Another one with the same keys and values."""
        new = WeakIdKeyDictionary(ref_type=self.ref_type)
        new.update(self)
        return new

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> WeakIdKeyDictionary:
        from copy import deepcopy

        new = type(self)()
        new.ref_type = self.ref_type
        for key, value in self.items():
            new[key] = deepcopy(value, memo)
        return new

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = self.copy()
        new.update(other)
        return new

    def __ior__(self, other: Any) -> WeakIdKeyDictionary:
        self.update(other)
        return self


class WeakTensorKeyDictionary(WeakIdKeyDictionary):
    """One whose keys are tensors."""


WeakIdRefKeyDictionary = WeakIdKeyDictionary
WeakTensorRefKeyDictionary = WeakTensorKeyDictionary
