"""The memory of tensors as objects: one block of bytes, or of elements of one type, that tensors share."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _C
from ._C import Tensor

__all__ = ["TypedStorage", "UntypedStorage", "storage_of", "untyped_storage_of"]


class _Storage:
    """What both kinds share; `_flat()` is the memory as a tensor of one dimension."""

    _elements: Tensor

    def _flat(self) -> Tensor:
        return self._elements

    @property
    def device(self) -> Any:
        """Where the memory is."""
        return self._elements.device

    is_cuda = is_sparse = False

    def __len__(self) -> int:
        return self._elements.numel()

    size = __len__

    def nbytes(self) -> int:
        """The size in bytes."""
        return self._elements.numel() * self._elements.element_size()

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._elements.element_size()

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self._elements.data_ptr()

    def __getitem__(self, index: Any) -> Any:
        found = self._elements[index]
        return found.item() if found.dim() == 0 else type(self)._around(found)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[index] = value._elements if isinstance(value, _Storage) else value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """The elements."""
        return self._elements.tolist()

    def fill_(self, value: Any) -> Any:
        """Set all elements."""
        self._elements.fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Take the elements of another storage of the same size."""
        self._elements.copy_(source._elements)
        return self

    def clone(self) -> Any:
        """A copy of the memory."""
        return type(self)._around(self._elements.clone())

    def cpu(self) -> Any:
        """The storage: it is on the CPU."""
        return self

    def is_shared(self) -> bool:
        """False: tensors go to other processes by value."""
        return False

    def is_pinned(self, device: Any = None) -> bool:
        """False: there is no device to pin for."""
        return False

    def share_memory_(self) -> Any:
        """The storage; tensors go to other processes by value."""
        return self

    @classmethod
    def _around(cls, elements: Tensor) -> Any:
        made = object.__new__(cls)
        made._elements = elements
        return made

    def __repr__(self) -> str:
        lines = "\n".join(f" {value}" for value in self.tolist())
        return f"{lines}\n[moka.storage.{type(self).__name__} of size {len(self)}]"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from .tensor_methods import copy_with_storage

        return type(self)._around(copy_with_storage(self._elements, memo))

    def __reduce__(self) -> Any:
        return type(self)._around, (self._elements.clone(),)


class UntypedStorage(_Storage):
    """Memory as bytes.

    Args:
        size: how many bytes, of no particular value; or the bytes themselves.
    """

    def __init__(self, size: Any = 0, *, device: Any = None) -> None:
        if isinstance(size, int):
            self._elements = _C.empty(size, dtype=_C.uint8)
        else:
            self._elements = _C.tensor(list(size), dtype=_C.uint8)

    def resize_(self, size: int) -> UntypedStorage:
        """Another number of bytes; tensors that shared the memory keep it."""
        _C._resize(self._elements, [size])
        return self

    def untyped(self) -> UntypedStorage:
        """The storage."""
        return self


class TypedStorage(_Storage):
    """Memory as elements of one type.

    Args:
        args: how many elements, or the elements themselves.
        wrap_storage: bytes to share, instead.
    """

    def __init__(self, *args: Any, wrap_storage: Any = None, dtype: Any = None, device: Any = None) -> None:
        kind = dtype or _C.get_default_dtype()
        if wrap_storage is not None:
            self._elements = wrap_storage._elements.view(kind)
        elif not args or isinstance(args[0], int):
            self._elements = _C.empty(*(args or (0,)), dtype=kind)
        else:
            self._elements = _C.tensor(list(args[0]), dtype=kind)

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._elements.dtype

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage._around(self._elements.view(_C.uint8))

    _untyped_storage = property(untyped)

    def type(self, dtype: Any = None) -> Any:
        """The name of the type, or the elements in another one."""
        if dtype is None:
            return f"torch.{self.dtype.name}"
        return TypedStorage._around(self._elements.to(dtype))

    def resize_(self, size: int) -> TypedStorage:
        """Another number of elements; tensors that shared the memory keep it."""
        _C._resize(self._elements, [size])
        return self


def storage_of(tensor: Tensor) -> TypedStorage:
    """The whole memory of which a tensor shows a part, as elements of its type."""
    plain = tensor.detach()
    count = _C._storage_bytes(plain) // plain.element_size()
    return TypedStorage._around(_C.as_strided(plain, [count], [1], 0))


def untyped_storage_of(tensor: Tensor) -> UntypedStorage:
    """The whole memory of which a tensor shows a part, as bytes."""
    return storage_of(tensor).untyped()
