"""Files of torch.save: read by moka's own interpreter, written so that torch.load(weights_only=True) reads
them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

from moka import _C
from moka._C import Tensor

from . import safetensors
from .atomic import replace_file
from .checkpoint import CheckpointError

__all__ = ["STORAGES", "add_entry", "read", "write"]

_MAX_DEPTH = 64
STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "uint8": "ByteStorage",
    "int8": "CharStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


def read(file: BinaryIO, name: str) -> Any:
    """The value of a file of torch.save, zip or legacy."""
    try:
        path = getattr(file, "name", None)
        on_disk = isinstance(getattr(file, "raw", file), io.FileIO)  # entries of archives have names too
        if on_disk and isinstance(path, (str, os.PathLike)) and file.tell() == 0:
            return _C._pickle_load(os.fspath(path), _make)
        return _C._pickle_load_bytes(file.read(), name, _make)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(str(error)) from None


def _make(kind: str, value: Any) -> Any:
    """The Python objects that the reader cannot make itself."""
    if kind == "ordered":
        return OrderedDict()
    if kind == "size":
        return _C.Size(value)
    if kind == "device":
        return _C.device("cpu") if value.startswith(("cuda", "mps", "xpu")) else _C.device(value)
    if kind == "parameter":
        from .nn.parameter import Parameter

        return Parameter(*value)
    if kind == "tensor":
        tensor, requires_grad = value
        return tensor.requires_grad_(True) if requires_grad else tensor
    return value


def write(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Write plain data in torch's zip format; a file is replaced only when it is whole."""
    pickler = _Pickler()
    program = pickler.program(obj)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        add_entry(archive, stream, "archive/data.pkl", program)
        add_entry(archive, stream, "archive/byteorder", b"little")
        for number, data in enumerate(pickler.data):
            add_entry(archive, stream, f"archive/data/{number}", data)
        add_entry(archive, stream, "archive/version", b"3\n")
    if isinstance(f, (str, os.PathLike)):
        replace_file(f, [stream.getbuffer()], "save")
    else:
        f.write(stream.getbuffer())


def add_entry(archive: zipfile.ZipFile, stream: io.BytesIO, name: str, data: Any) -> None:
    """One entry whose data begin at a multiple of 64, behind padding in an extra field."""
    info = zipfile.ZipInfo(name)
    start = stream.tell() + 30 + len(name)
    padding = -(start + 4) % 64
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(info, bytes(data))


class _Pickler:
    """Plain data as a pickle of protocol 2, tensors as torch writes them."""

    def __init__(self) -> None:
        self.data: list[Any] = []
        self._out = bytearray(b"\x80\x02")
        self._storages: dict[Any, int] = {}
        self._kept: list[Tensor] = []
        self._open: set[int] = set()

    def program(self, obj: Any) -> bytes:
        self._value(obj, "", 0)
        return bytes(self._out) + b"."

    def _global(self, module: str, name: str) -> None:
        self._out += f"c{module}\n{name}\n".encode()

    def _integer(self, value: int) -> None:
        if 0 <= value < 256:
            self._out += b"K" + bytes([value])
        elif -(2**31) <= value < 2**31:
            self._out += b"J" + struct.pack("<i", value)
        else:
            raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
            if len(raw) > 255:
                raise ValueError("save: an integer of more than 2,000 bits")
            self._out += b"\x8a" + bytes([len(raw)]) + raw

    def _text(self, value: str) -> None:
        raw = value.encode("utf-8", "surrogatepass")
        self._out += b"X" + struct.pack("<I", len(raw)) + raw

    def _tuple(self, items: Any, path: str, depth: int) -> None:
        self._out += b"("
        for i, item in enumerate(items):
            self._value(item, f"{path}.{i}" if path else str(i), depth + 1)
        self._out += b"t"

    def _value(self, value: Any, path: str, depth: int) -> None:
        kind = type(value)
        if isinstance(value, np.generic):
            value = value.item()
            kind = type(value)
        if value is None:
            self._out += b"N"
        elif kind is bool:
            self._out += b"\x88" if value else b"\x89"
        elif kind is int:
            self._integer(value)
        elif kind is float:
            self._out += b"G" + struct.pack(">d", value)
        elif kind is str:
            self._text(value)
        elif kind is complex:
            self._global("__builtin__", "complex")
            self._tuple((value.real, value.imag), path, depth)
            self._out += b"R"
        elif kind is bytes:
            self._global("_codecs", "encode")
            self._tuple((value.decode("latin1"), "latin1"), path, depth)
            self._out += b"R"
        elif isinstance(value, Tensor):
            self._tensor(value, path)
        elif kind is _C.dtype:
            self._global("torch", value.name)
        elif kind is _C.device:
            self._global("torch", "device")
            self._tuple((value.type,), path, depth)
            self._out += b"R"
        elif isinstance(value, (dict, list, tuple, set)):
            self._container(value, path, depth)
        else:
            raise TypeError(
                f"save: {path or 'the object'} is {kind.__qualname__}, not plain data; save its "
                "state_dict(), or "
                "turn it into dicts, lists, numbers, strings and tensors"
            )

    def _container(self, value: Any, path: str, depth: int) -> None:
        if id(value) in self._open or depth >= _MAX_DEPTH:
            raise ValueError(f"save: {path or 'the object'} contains itself or is nested too deep")
        self._open.add(id(value))
        try:
            if isinstance(value, _C.Size):
                self._global("torch", "Size")
                self._out += b"("
                self._tuple(value, path, depth)
                self._out += b"tR"
            elif isinstance(value, tuple):
                self._tuple(value, path, depth)
            elif isinstance(value, set):
                self._global("__builtin__", "set")
                self._tuple((sorted(value, key=repr),), path, depth)
                self._out += b"R"
            elif isinstance(value, list):
                self._out += b"]("
                for i, item in enumerate(value):
                    self._value(item, f"{path}.{i}" if path else str(i), depth + 1)
                self._out += b"e"
            else:
                if isinstance(value, OrderedDict):
                    self._global("collections", "OrderedDict")
                    self._out += b")R"
                else:
                    self._out += b"}"
                self._out += b"("
                for key, item in value.items():
                    self._value(key, path, depth + 1)
                    self._value(item, f"{path}.{key}" if path else str(key), depth + 1)
                self._out += b"u"
        finally:
            self._open.discard(id(value))

    def _tensor(self, tensor: Tensor, path: str) -> None:
        from .nn.parameter import Parameter

        if isinstance(tensor, Parameter):
            self._global("torch._utils", "_rebuild_parameter")
            self._out += b"("
            self._storage_view(tensor.detach(), False, path)
            self._out += b"\x88" if tensor.requires_grad else b"\x89"
            self._hooks()
            self._out += b"tR"
        else:
            self._storage_view(tensor.detach(), tensor.requires_grad and tensor.is_leaf, path)

    def _hooks(self) -> None:
        self._global("collections", "OrderedDict")
        self._out += b")R"

    def _storage_view(self, tensor: Tensor, requires_grad: bool, path: str) -> None:
        """_rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks)."""
        name = tensor.dtype.name
        if name not in STORAGES:
            raise TypeError(f"save: {path or 'the object'} is of {name}, which torch's storages cannot name")
        number, count, offset, strides = self._storage(tensor, path)
        self._global("torch._utils", "_rebuild_tensor_v2")
        self._out += b"("
        self._out += b"("
        self._text("storage")
        self._global("torch", STORAGES[name])
        self._text(str(number))
        self._text("cpu")
        self._integer(count)
        self._out += b"tQ"
        self._integer(offset)
        self._tuple(tuple(tensor.shape), path, 0)
        self._tuple(strides, path, 0)
        self._out += b"\x88" if requires_grad else b"\x89"
        self._hooks()
        self._out += b"tR"

    def _storage(self, tensor: Tensor, path: str) -> tuple[int, int, int, tuple[int, ...]]:
        """Number and size of the storage, and the tensor's offset and strides in it.

        A tensor that stands in several places (tied weights) is stored once; other views are stored apart.
        """
        key = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype.name)
        if key not in self._storages:
            _, array = safetensors.to_array(tensor.contiguous(), f"save: {path or 'the object'}")
            self.data.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes())
            self._kept.append(tensor)  # so that no other tensor gets its address
            self._storages[key] = len(self.data) - 1
        strides, step = [], 1
        for size in reversed(tuple(tensor.shape)):
            strides.append(step)
            step *= max(size, 1)
        return self._storages[key], tensor.numel(), 0, tuple(reversed(strides))
