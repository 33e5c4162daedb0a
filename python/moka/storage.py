"""The memory of tensors as objects: one block of bytes, or of elements of one type, that tensors share."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsIndex

from . import _C
from ._C import Tensor
from .creation import frombuffer
from .torch_files import STORAGES

__all__ = ["KINDS", "SomeStorage", "TypedStorage", "UntypedStorage", "storage_of", "untyped_storage_of"]


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

    def _check_values(self) -> None:
        if self._elements.is_meta:
            raise NotImplementedError(f"{type(self).__name__}: Not available for 'meta' device type")

    def __getitem__(self, index: Any) -> Any:
        self._check_values()
        found = self._elements[index]
        return found.item() if found.dim() == 0 else type(self)._around(found)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[index] = value._elements if isinstance(value, _Storage) else value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """The elements; NotImplementedError on the meta device, which has none."""
        self._check_values()
        return self._elements.tolist()

    def fill_(self, value: Any) -> Any:
        """Set all elements."""
        self._elements.fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Take the bytes of another storage of the same size."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(
                f"copy_: the storage has {self.nbytes()} bytes but the source {source.nbytes()}"
            )
        self._bytes().copy_(source._bytes())
        return self

    def clone(self) -> Any:
        """A copy of the memory."""
        return type(self)._around(self._elements.clone())

    def cpu(self) -> Any:
        """The storage: it is on the CPU."""
        return self

    def get_device(self) -> int:
        """-1: it is on the CPU."""
        return self._elements.get_device()

    def _bytes(self) -> Tensor:
        raise NotImplementedError

    @property
    def _cdata(self) -> int:
        return self._elements.data_ptr()

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()

    def __copy__(self) -> Any:
        return self.clone()

    def _to(self, dtype: Any) -> TypedStorage:
        if not isinstance(dtype, _C.dtype):
            raise TypeError(f"expected a dtype, got {type(dtype).__name__}")
        return TypedStorage._around(self._elements.to(dtype, copy=True))

    def is_shared(self) -> bool:
        """Whether other processes can write into the memory."""
        return self._elements.is_shared()

    def is_pinned(self, device: Any = None) -> bool:
        """False: there is no device to pin for."""
        return False

    def share_memory_(self) -> Any:
        """Move the elements into memory that processes share; tensors made before keep theirs."""
        self._elements.share_memory_()
        return self

    @classmethod
    def _around(cls, elements: Tensor) -> Any:
        made = object.__new__(cls)
        made._elements = elements
        return made

    def __repr__(self) -> str:
        meta = self._elements.is_meta
        lines = "..." if meta else "\n".join(f" {value}" for value in self.tolist())
        return f"{lines}\n[moka.storage.{type(self).__name__} of size {len(self)}]"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from .tensor_methods import copy_with_storage

        return type(self)._around(copy_with_storage(self._elements, memo))

    def __reduce__(self) -> Any:
        return type(self)._around, (self._elements.clone(),)


def _cast(name: str) -> Callable[[_Storage], Any]:
    def cast(self: _Storage) -> Any:
        return self._to(getattr(_C, name))

    cast.__doc__ = f"A copy of the elements as {name}."
    return cast


for _method, _name in {
    **{"double": "float64", "float": "float32", "half": "float16", "bfloat16": "bfloat16"},
    **{"long": "int64", "int": "int32", "short": "int16", "char": "int8", "byte": "uint8", "bool": "bool"},
    **{"complex_double": "complex128", "complex_float": "complex64"},
}.items():
    setattr(_Storage, _method, _cast(_name))


class UntypedStorage(_Storage):
    """Memory as bytes.

    Args:
        size: how many bytes, of no particular value; or the bytes themselves.
    """

    def __init__(self, size: Any = 0, *, device: Any = None) -> None:
        if isinstance(size, int):
            self._elements = _C.empty(size, dtype=_C.uint8, device=device)
        else:
            self._elements = _C.tensor(list(size), dtype=_C.uint8, device=device)

    @classmethod
    def from_buffer(
        cls, buffer: Any, byte_order: str = "native", count: int = -1, offset: int = 0, *, dtype: Any
    ) -> UntypedStorage:
        """A copy of the elements of a buffer whose bytes stand in "native", "little" or "big" order."""
        if byte_order not in ("native", "little", "big"):
            raise ValueError(
                f"invalid byte_order {byte_order!r}: expected 'native', 'little' or 'big'"
            )
        raw, width = memoryview(buffer).cast("B"), _C.empty(0, dtype=dtype).element_size()
        if not 0 <= offset <= len(raw):
            raise ValueError(f"offset must be between 0 and {len(raw)}, the buffer's size, but is {offset}")
        if count < 0 and (len(raw) - offset) % width:
            raise ValueError(f"the buffer has {len(raw) - offset} bytes, no multiple of the size {width}")
        end = len(raw) if count < 0 else offset + count * width
        if end > len(raw):
            raise ValueError(f"the buffer ends at byte {len(raw)}, but {count} elements end at byte {end}")
        elements = _C.empty(0, dtype=_C.uint8)
        if end > offset:
            elements = frombuffer(bytearray(raw[offset:end]), dtype=_C.uint8)
        if byte_order not in ("native", sys.byteorder):
            part = width // 2 if dtype.is_complex else width
            elements = elements.view(-1, part).flip(1).reshape(-1)
        return cls._around(elements)

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0, *, size: int = 0) -> Any:
        """Memory on the first `nbytes` bytes of a file; with `shared`, writes go to the file."""
        from .written_functions import from_file

        return cls._around(from_file(str(filename), shared, nbytes or size, dtype=_C.uint8))

    def resize_(self, size: int) -> UntypedStorage:
        """Another number of bytes; tensors that shared the memory keep it."""
        _C._resize(self._elements, [size])
        return self

    def untyped(self) -> UntypedStorage:
        """The storage."""
        return self

    def as_elements(self, dtype: Any) -> Tensor:
        """The memory as a tensor of one dimension; bytes left over at the end do not show."""
        width = _C.empty(0, dtype=dtype or _C.uint8).element_size()
        return self._elements[: self.nbytes() // width * width].view(dtype or _C.uint8)

    def _bytes(self) -> Tensor:
        return self._elements


class TypedStorage(_Storage):
    """Memory as elements of one type.

    Args:
        args: how many elements, or the elements themselves.
        wrap_storage: bytes to share, instead.
    """

    def __init__(self, *args: Any, wrap_storage: Any = None, dtype: Any = None, device: Any = None) -> None:
        if dtype is not None and not isinstance(dtype, _C.dtype):
            raise TypeError(f"TypedStorage: Argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
        if wrap_storage is not None:
            self._wrap(args, wrap_storage, dtype, device)
            return
        if len(args) > 1:
            raise RuntimeError(
                f"TypedStorage: Too many positional arguments: expected a size or data, got {len(args)}"
            )
        if device is not None and str(device).partition(":")[0] not in ("cpu", "cuda", "meta"):
            raise RuntimeError(f"TypedStorage: Storage device not recognized: {device}")
        kind = dtype or _C.get_default_dtype()
        if not args or isinstance(args[0], SupportsIndex) and not isinstance(args[0], Tensor):
            self._elements = _C.empty(*(args or (0,)), dtype=kind, device=device)
        elif isinstance(args[0], (Sequence, _Storage)):
            self._elements = _C.tensor(list(args[0]), dtype=kind, device=device)
        else:
            raise TypeError(
                f"TypedStorage: Argument type not recognized: {type(args[0]).__name__}; expected a size or "
                "a sequence"
            )

    def _wrap(self, args: Any, memory: Any, dtype: Any, device: Any) -> None:
        if args:
            raise RuntimeError("TypedStorage: No positional arguments should be given with 'wrap_storage'")
        if dtype is None:
            raise RuntimeError("TypedStorage: Argument 'dtype' must be specified with 'wrap_storage'")
        if device is not None:
            raise RuntimeError("TypedStorage: Argument 'device' should not be specified with 'wrap_storage'")
        if not isinstance(memory, UntypedStorage):
            raise TypeError(
                f"TypedStorage: Argument 'wrap_storage' must be UntypedStorage, got {type(memory).__name__}"
            )
        self._elements = memory._elements.view(dtype)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(index, int):
            raise RuntimeError(f"can't index a {type(self).__name__} with {type(index).__name__}")
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, (int, slice)):
            raise RuntimeError(f"can't index a {type(self).__name__} with {type(index).__name__}")
        if isinstance(value, _Storage):
            raise RuntimeError(f"cannot set item with value type {type(value).__name__}; expected a number")
        super().__setitem__(index, value)

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._elements.dtype

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage._around(self._bytes())

    def as_elements(self, dtype: Any) -> Tensor:
        """The memory as a tensor of one dimension; RuntimeError for another type than the storage's."""
        if dtype not in (None, self.dtype):
            raise RuntimeError(
                f"Expected a Storage of type {dtype} or an UntypedStorage, but got type {self.dtype} "
                "for argument 'source'"
            )
        return self._elements

    def _bytes(self) -> Tensor:
        return self._elements.view(_C.uint8)

    _untyped_storage = property(untyped)

    def type(self, dtype: Any = None) -> Any:
        """The name of the type, or the elements in another one."""
        if dtype is None:
            return f"torch.{STORAGES.get(self.dtype.name, 'TypedStorage')}"
        return self._to(dtype)

    @classmethod
    def from_buffer(cls, *args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> TypedStorage:
        """A copy of the elements of a buffer; see UntypedStorage.from_buffer."""
        kind = dtype or _C.get_default_dtype()
        return TypedStorage(wrap_storage=UntypedStorage.from_buffer(*args, dtype=kind, **kwargs), dtype=kind)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, size: int = 0) -> TypedStorage:
        """RuntimeError: a class with a dtype, such as torch.FloatStorage, is needed."""
        raise RuntimeError("from_file can only be called on derived classes, which have a dtype")

    def pickle_storage_type(self) -> str:
        """The name of the storage type in files of torch; KeyError where it has none."""
        return STORAGES[self.dtype.name]

    def resize_(self, size: int) -> TypedStorage:
        """Another number of elements; tensors that shared the memory keep it."""
        _C._resize(self._elements, [size])
        return self


class _Legacy(type):
    """The type of torch.FloatStorage and the like, which recognize storages of their dtype."""

    dtype: Any

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TypedStorage) and value.dtype == cls.dtype

    def __call__(cls, *args: Any, wrap_storage: Any = None, **given: Any) -> Any:
        if cls is SomeStorage:
            raise RuntimeError("Only child classes of _LegacyStorage can be instantiated")
        for name in given:
            if name in ("dtype", "device"):
                raise RuntimeError(f"{cls.__name__}: Keyword argument '{name}' cannot be specified")
            raise TypeError(f"{cls.__name__}: got an unexpected keyword argument '{name}'")
        if args and isinstance(args[0], str):
            raise TypeError(f"{cls.__name__}: invalid data type 'str'; expected a size or numbers")
        return TypedStorage(*args, wrap_storage=wrap_storage, dtype=cls.dtype)


class SomeStorage(metaclass=_Legacy):
    """What FloatStorage and the like share: each makes, and recognizes, typed storages of its dtype."""

    dtype: Any = None
    is_cuda = is_sparse = False

    @classmethod
    def from_buffer(cls, *args: Any, **kwargs: Any) -> TypedStorage:
        """A copy of the elements of a buffer; see UntypedStorage.from_buffer."""
        for name in ("dtype", "device"):
            if name in kwargs:
                raise RuntimeError(
                    f"from_buffer: '{name}' can only be specified for TypedStorage and UntypedStorage"
                )
        return TypedStorage.from_buffer(*args, dtype=cls.dtype, **kwargs)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, size: int = 0) -> TypedStorage:
        """`size` elements of a file; `shared` writes changes back to it."""
        width = _C.empty(0, dtype=cls.dtype).element_size()
        return TypedStorage(
            wrap_storage=UntypedStorage.from_file(filename, shared, size * width), dtype=cls.dtype
        )


KINDS: dict[str, Any] = {
    kind: _Legacy(
        kind,
        (SomeStorage,),
        {"dtype": getattr(_C, name), "__doc__": f"Memory as elements of {name}.", "__module__": "torch"},
    )
    for name, kind in STORAGES.items()
}
def storage_of(tensor: Tensor) -> TypedStorage:
    """The whole memory of which a tensor shows a part, as elements of its type."""
    plain = tensor.detach()
    count = _C._storage_bytes(plain) // plain.element_size()
    return TypedStorage._around(_C.as_strided(plain, [count], [1], 0))


def untyped_storage_of(tensor: Tensor) -> UntypedStorage:
    """The whole memory of which a tensor shows a part, as bytes."""
    return storage_of(tensor).untyped()
