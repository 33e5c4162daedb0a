"""The safetensors format: named tensors in one file, read and written without running any code."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from moka import _C
from moka._C import Tensor

from .atomic import replace_file

__all__ = ["Entry", "SafetensorsError", "load", "load_file", "pack", "read_header", "save", "save_file"]

# Name in the file, name of our dtype, NumPy dtype that carries the bits.
_DTYPES = (
    ("BOOL", "bool", "?"),
    ("U8", "uint8", "<u1"),
    ("I8", "int8", "<i1"),
    ("U16", "uint16", "<u2"),
    ("I16", "int16", "<i2"),
    ("U32", "uint32", "<u4"),
    ("I32", "int32", "<i4"),
    ("U64", "uint64", "<u8"),
    ("I64", "int64", "<i8"),
    ("F16", "float16", "<f2"),
    ("BF16", "bfloat16", "<u2"),
    ("F32", "float32", "<f4"),
    ("F64", "float64", "<f8"),
    ("C64", "complex64", "<c8"),
)
_BY_FILE_NAME = {row[0]: row for row in _DTYPES}
_BY_DTYPE_NAME = {row[1]: row for row in _DTYPES}
_MAX_HEADER = 1 << 25
_MAX_RANK = 64


class SafetensorsError(ValueError):
    """A file is not a whole safetensors file; the text names the file and says what is wrong with it."""


class Entry(NamedTuple):
    """Where a tensor lies: dtype as the file names it, shape, first and last byte after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def read_header(
    file: BinaryIO, name: str, max_header: int = _MAX_HEADER
) -> tuple[dict[str, Entry], dict[str, str], int]:
    """Entries, metadata and start of the data of a safetensors file that can seek, from its position to its
    end; everything is checked.

    The rules: offsets follow each other without holes from 0 to the end of the file, every length is what
    dtype and shape say, names are unique.
    """
    begin = file.tell()
    size = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    if size < 8:
        raise SafetensorsError(f"{name}: not a safetensors file: it has {size} bytes, and its header needs 8")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8 or length < 2:
        raise SafetensorsError(
            f"{name}: cut short or not a safetensors file: its header should have {length} bytes, "
            f"but {size - 8} follow"
        )
    if length > max_header:
        raise SafetensorsError(f"{name}: its header has {length} bytes, more than the limit of {max_header}")
    text = file.read(length)
    try:
        if text[:1] != b"{":
            raise ValueError("it does not begin with {")
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"{name}: its header is not what the format asks for: {error}") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise SafetensorsError(f"{name}: __metadata__ must be a map from string to string")
    entries = {key: _entry(name, key, value) for key, value in header.items()}
    place = 0
    for key, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != place:
            what = "overlaps what stands before it" if entry.begin < place else "leaves a hole before it"
            raise SafetensorsError(
                f"{name}: tensor {key!r} begins at byte {entry.begin} of the data and {what}"
            )
        place = entry.end
    if place != size - 8 - length:
        raise SafetensorsError(
            f"{name}: its tensors need {place} bytes of data, but {size - 8 - length} are there"
            + ("; the file is cut short" if place > size - 8 - length else "")
        )
    return entries, metadata, begin + 8 + length


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _entry(name: str, key: str, value: Any) -> Entry:
    where = f"{name}: tensor {key!r}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"{where}: dtype, shape and data_offsets are needed, nothing else")
    shape, offsets = value["shape"], value["data_offsets"]
    if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(map(_is_count, shape)):
        raise SafetensorsError(f"{where}: shape must be a list of at most {_MAX_RANK} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise SafetensorsError(f"{where}: data_offsets must be two numbers of bytes")
    row = _BY_FILE_NAME.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if row is None:
        raise SafetensorsError(f"{where}: dtype {str(value['dtype'])[:40]!r} is not known here")
    needed = math.prod(shape) * np.dtype(row[2]).itemsize
    begin, end = offsets
    if end - begin != needed:
        raise SafetensorsError(
            f"{where}: {row[0]} of shape {shape} needs {needed} bytes, its offsets give {end - begin}"
        )
    return Entry(row[0], tuple(shape), begin, end)


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).rpartition(".")[2]


def to_array(tensor: Tensor, where: str) -> tuple[str, np.ndarray]:
    """The dtype as the file names it, and the values as a contiguous little-endian array."""
    row = _BY_DTYPE_NAME.get(_dtype_name(tensor))
    if row is None:
        raise TypeError(f"{where}: tensors of {tensor.dtype} cannot be stored in safetensors")
    plain = tensor.detach()
    if row[0] == "BF16":  # NumPy has no such type; its numbers are the upper halves of float32 numbers
        array = (plain.float().numpy().view(np.uint32) >> 16).astype(np.uint16)
    else:
        array = plain.numpy()
    # (reshape: ascontiguousarray makes an array of rank 0 one of rank 1)
    return row[0], np.ascontiguousarray(array, np.dtype(row[2])).reshape(tuple(tensor.shape))


def from_bytes(entry: Entry, data: np.ndarray) -> Tensor:
    """A tensor over `data`, the uint8 array of its bytes."""
    row = _BY_FILE_NAME[entry.dtype]
    flat = data.view(np.dtype(row[2]))
    if entry.dtype == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    tensor = _C.from_numpy(flat.reshape(entry.shape))
    return tensor.to(_C.bfloat16) if entry.dtype == "BF16" else tensor


def read_tensor(file: BinaryIO, name: str, key: str, entry: Entry, start: int) -> tuple[Tensor, np.ndarray]:
    """One tensor with memory of its own, and its bytes."""
    data = np.empty(entry.end - entry.begin, np.uint8)
    file.seek(start + entry.begin)
    if file.readinto(memoryview(data)) != data.nbytes:  # type: ignore[attr-defined]
        raise SafetensorsError(f"{name}: the data of tensor {key!r} end too early")
    if entry.dtype == "BOOL" and data.max(initial=0) > 1:
        raise SafetensorsError(f"{name}: tensor {key!r} is BOOL, but one of its bytes is {data.max()}")
    return from_bytes(entry, data), data


def pack(arrays: Mapping[str, tuple[str, np.ndarray]], metadata: Mapping[str, str]) -> list[Any]:
    """The pieces of a safetensors file: header, then data, widest elements first so that all are aligned."""
    order = sorted(arrays, key=lambda key: (-arrays[key][1].itemsize, key))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for key in order:
        dtype, array = arrays[key]
        end = place + array.nbytes
        header[key] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *(_as_bytes(arrays[key][1]) for key in order)]


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None, what: str) -> list[Any]:
    arrays = {}
    for key, tensor in tensors.items():
        if not isinstance(key, str) or key == "__metadata__":
            raise ValueError(f"{what}: {key!r} cannot be the name of a tensor")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what}: {key!r} must be a Tensor, but is {type(tensor).__name__}")
        arrays[key] = to_array(tensor, f"{what}: {key}")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(
                f"{what}: metadata must be a map from str to str, but {key!r:.40} is {type(value).__name__} "
                f"{value!r:.40}"
            )
    return pack(arrays, metadata or {})


def save_file(
    tensors: Mapping[str, Tensor], filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to a file, in one step that a crash cannot tear.
    Metadata are strings under names.
    """
    replace_file(filename, _pieces(tensors, metadata, "safetensors.save_file"), "safetensors.save_file")


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The same file as bytes."""
    return b"".join(bytes(piece) for piece in _pieces(tensors, metadata, "safetensors.save"))


def load_file(filename: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name. Raises SafetensorsError if it is damaged."""
    name = os.fspath(filename)
    with open(name, "rb") as file:
        return _load(file, name)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file that is in memory."""
    import io

    return _load(io.BytesIO(data), "<bytes>")


def _load(file: Any, name: str) -> dict[str, Tensor]:
    entries, _, start = read_header(file, name)
    return {key: read_tensor(file, name, key, entry, start)[0] for key, entry in entries.items()}
