"""Files of torch.save that hold any objects: torch's names, read with an allow-list or in full trust."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import sys
import types
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from moka import _C
from moka._C import Tensor
from moka.nn import Parameter
from moka.storage import TypedStorage, UntypedStorage, storage_of
from moka.torch_files import STORAGES, add_entry

__all__ = ["globals_in", "read", "write"]

_MAGIC = 0x1950A86A20F9469CFC6C
# Where files name what Moka has elsewhere.
_HOMES = (
    *("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.utils.data", "torch.distributions"),
    *("torch.nn.functional", "torch"),
)


class _Name:
    """A name of torch that a file refers to."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        raise TypeError(f"{self.module}.{self.name} stands in a file only")


class _Writer(pickle._Pickler):  # type: ignore[name-defined,misc]  # the one in Python: its names can be changed
    """Pickles objects; storages of tensors go to entries of their own."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[TypedStorage] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, (TypedStorage, UntypedStorage)):
            return None
        if isinstance(obj, UntypedStorage):
            obj = TypedStorage(wrap_storage=obj, dtype=_C.uint8)
        number = self._numbers.setdefault(obj.data_ptr() or -1 - id(obj), len(self.storages))
        if number == len(self.storages):
            self.storages.append(obj)
        kind = _Name("torch", STORAGES[obj.dtype.name])
        return ("storage", kind, str(number), "cpu", len(obj))

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if isinstance(obj, _Name):
            return obj.name
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if kind is _C.dtype:
            return obj.name
        if kind is _C.device:
            return _Name("torch", "device"), (str(obj),)
        if kind is _C.Size:
            return _Name("torch", "Size"), (tuple(obj),)
        if not isinstance(obj, type) and callable(obj) and _home(obj) is not None:
            return obj.__name__
        return NotImplemented

    def _tensor(self, tensor: Tensor) -> Any:
        plain = tensor.detach()
        if plain.dtype.name not in STORAGES:
            raise TypeError(f"torch.save: {plain.dtype} has no name among torch's storages")
        if isinstance(tensor, Parameter):
            arguments = (plain, tensor.requires_grad, OrderedDict())
            return _Name("torch._utils", "_rebuild_parameter"), arguments
        if plain.device.type == "meta":
            shown = (plain.dtype, tuple(plain.shape), tuple(plain.stride()), tensor.requires_grad)
            return _Name("torch._utils", "_rebuild_meta_tensor_no_storage"), shown
        place = (storage_of(plain), plain.storage_offset(), tuple(plain.shape), tuple(plain.stride()))
        whole = (*place, tensor.requires_grad, OrderedDict())
        rebuild = _Name("torch._utils", "_rebuild_tensor_v2")
        state = getattr(tensor, "__dict__", None) or {}
        if type(tensor) is Tensor and not state:
            return rebuild, whole
        return _Name("torch._tensor", "_rebuild_from_type_v2"), (rebuild, type(tensor), whole, state)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if isinstance(obj, _Name):
            home: str | None = obj.module
        else:
            home = "torch" if type(obj) is _C.dtype else _home(obj)
        if home is None:
            super().save_global(obj, name)
            return
        self.write(b"c" + f"{home}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch = {**pickle._Pickler.dispatch, types.FunctionType: save_global}  # type: ignore[attr-defined]

    def save_type(self, obj: Any) -> None:
        if _home(obj) is not None:
            self.save_global(obj)
        else:
            super().save_type(obj)

    dispatch[type] = save_type


def _home(obj: Any) -> str | None:
    """The module of torch in which programs find a class or function of Moka's."""
    name = getattr(obj, "__name__", None)
    module = getattr(obj, "__module__", None) or ""
    if name is None or not (module.split(".")[0] == "moka" or type(obj).__module__.startswith("moka")):
        return None
    for home in _HOMES:
        found = sys.modules.get(home)
        if found is not None and getattr(found, name, None) is obj:
            return home
    return None


def write(obj: Any, file: BinaryIO, legacy: bool = False) -> None:
    """Write any object that pickle can write, in torch's zip format, or in the one before it."""
    stream = io.BytesIO()
    writer = _Writer(stream)
    writer.dump(obj)
    data = [bytes(memoryview(storage.untyped()._flat().numpy())) for storage in writer.storages]
    if legacy:
        sizes = {"short": 2, "int": 4, "long": 4}
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
        for part in (_MAGIC, 1001, system):
            pickle.dump(part, file, protocol=2)
        file.write(stream.getvalue())
        pickle.dump([str(number) for number in range(len(data))], file, protocol=2)
        for storage, raw in zip(writer.storages, data, strict=True):
            file.write(struct.pack("<q", len(storage)) + raw)
        return
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        add_entry(archive, whole, "archive/data.pkl", stream.getvalue())
        add_entry(archive, whole, "archive/byteorder", b"little")
        for number, raw in enumerate(data):
            add_entry(archive, whole, f"archive/data/{number}", raw)
        add_entry(archive, whole, "archive/version", b"3\n")
    file.write(whole.getbuffer())


_KINDS = {kind: getattr(_C, name) for name, kind in STORAGES.items()} | {"UntypedStorage": _C.uint8}
_REBUILD = (
    *("_rebuild_parameter", "_rebuild_parameter_with_state", "_rebuild_tensor", "_rebuild_tensor_v2"),
    *("_rebuild_tensor_v3", "_rebuild_from_type_v2", "_rebuild_meta_tensor_no_storage"),
)
_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "builtins.complex": complex,
    "builtins.bytearray": bytearray,
    "_codecs.encode": __import__("_codecs").encode,
    "torch.Size": _C.Size,
    "torch.Tensor": Tensor,
    "torch.device": _C.device,
    "torch.nn.parameter.Parameter": Parameter,
}


class _Kind:
    """The type of a storage."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def _known(module: str, name: str) -> Any:
    """What files may always refer to; None where it is not among that."""
    if module in ("torch", "torch.storage") and name in _KINDS:
        return _Kind(_KINDS[name])
    if module == "torch" and isinstance(getattr(_C, name, None), _C.dtype):
        return getattr(_C, name)
    if module in ("torch._utils", "torch._tensor") and name in _REBUILD:
        from . import rebuilding

        return getattr(rebuilding, name)
    return _ALLOWED.get(f"{module.replace('__builtin__', 'builtins')}.{name}")


class _Reader(pickle.Unpickler):
    """Makes the objects of a file; `safe` has what it may refer to, None means anything."""

    def __init__(
        self, file: Any, safe: dict[str, Any] | None, storage: Callable[[Any], Any], **options: Any
    ) -> None:
        super().__init__(file, **options)
        self._safe, self._storage = safe, storage

    def find_class(self, module: str, name: str) -> Any:
        found = _known(module, name)
        if found is not None:
            return found
        if self._safe is None:
            return super().find_class(module, name)
        if f"{module}.{name}" in self._safe:
            return self._safe[f"{module}.{name}"]
        raise pickle.UnpicklingError(
            f"Weights only load failed: the file refers to {module}.{name}, which is not on the list of what "
            "may be "
            f"made. Where you trust the file, call torch.serialization.add_safe_globals([{name}]) before, or "
            "load it with weights_only=False, which runs the code it names."
        )

    def persistent_load(self, saved_id: Any) -> Any:
        if not isinstance(saved_id, tuple) or len(saved_id) < 5 or saved_id[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"Weights only load failed: unknown persistent id {saved_id!r:.80}")
        return self._storage(saved_id)


def _elements(raw: Any, kind: Any, count: int) -> TypedStorage:
    dtype = kind.dtype
    data = bytearray(raw)
    if len(data) < count * dtype.itemsize:
        raise RuntimeError(f"torch.load: a storage has {len(data)} bytes, but {count} of {dtype} are named")
    if not data:
        return TypedStorage(0, dtype=dtype)
    return TypedStorage._around(_C.from_numpy(__import__("numpy").frombuffer(data, "uint8")).view(dtype))


def _placed(storage: TypedStorage, location: Any, map_location: Any) -> TypedStorage:
    if callable(map_location):
        moved = map_location(storage.untyped(), location)
        if isinstance(moved, (TypedStorage, UntypedStorage)):
            return storage if moved.data_ptr() == storage.data_ptr() else moved
    elif isinstance(map_location, (str, _C.device)) and _C.device(map_location).type == "meta":
        return TypedStorage._around(_C.empty(len(storage), dtype=storage.dtype, device="meta"))
    return storage


def read(file: BinaryIO, safe: dict[str, Any] | None, map_location: Any = None, **k: Any) -> Any:
    """The object of a file; `safe`: names and values that it may refer to beyond the usual, None: any."""
    made: dict[str, TypedStorage] = {}
    start = file.tell()
    if file.read(2) == b"PK":
        file.seek(start)
        with zipfile.ZipFile(file) as archive:
            program = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            folder = program[: -len("data.pkl")]

            def storage(saved_id: Any) -> TypedStorage:
                _, kind, key, location, count = saved_id[:5]
                if key not in made:
                    raw = archive.read(f"{folder}data/{key}")
                    made[key] = _placed(_elements(raw, kind, count), location, map_location)
                return made[key]

            return _Reader(io.BytesIO(archive.read(program)), safe, storage, **k).load()
    file.seek(start)
    if pickle.Unpickler(file).load() != _MAGIC:
        raise pickle.UnpicklingError("torch.load: the file is of no format of torch.save")
    _Reader(file, {}, lambda _: None).load()
    _Reader(file, {}, lambda _: None).load()

    def later(saved_id: Any) -> TypedStorage:
        _, kind, key, _, count = saved_id[:5]
        return made.setdefault(key, TypedStorage(count, dtype=kind.dtype))

    result = _Reader(file, safe, later, **k).load()
    for key in _Reader(file, {}, lambda _: None, **k).load():
        (count,) = struct.unpack("<q", file.read(8))
        target = made[key]
        target._flat().copy_(_elements(file.read(count * target.element_size()), target, count)._flat())
    return result


def _globals(program: bytes) -> Iterator[str]:
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name == "GLOBAL":
            yield argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


def globals_in(file: BinaryIO, safe: Iterable[str]) -> list[str]:
    """The names that a file in zip format refers to, beyond those that are always allowed and `safe`."""
    with zipfile.ZipFile(file) as archive:
        program = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    found = dict.fromkeys(_globals(program))
    return [name for name in found if name not in safe and _known(*name.rpartition(".")[::2]) is None]
