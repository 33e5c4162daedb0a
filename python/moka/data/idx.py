"""The idx format of the MNIST family: a header with type and sizes, then the numbers; plain or gzip."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["IdxError", "read_idx"]

# The third byte of the magic number (yann.lecun.com/exdb/mnist); numbers are big-endian.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_BYTES = 1 << 32


class IdxError(ValueError):
    """A file is not a whole idx file; the text names the file and says what is wrong with it."""


def read_idx(path: str | os.PathLike[str], max_bytes: int = _MAX_BYTES) -> np.ndarray:
    """The array in an idx file (gzip or not), in the byte order of this machine.

    Raises IdxError for files that are damaged, cut short, or larger than `max_bytes` when unpacked.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            return _read(stream, name, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise IdxError(f"{name}: the gzip data are damaged or cut short ({error})") from error


def _read(stream: Any, name: str, max_bytes: int) -> np.ndarray:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
        raise IdxError(
            f"{name}: not an idx file: it begins with {head.hex(' ') or 'nothing'}, not 00 00 type rank"
        )
    rank = head[3]
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise IdxError(f"{name}: cut short inside its header of {rank} sizes")
    shape = struct.unpack(f">{rank}I", sizes)
    dtype = np.dtype(_TYPES[head[2]])
    needed = dtype.itemsize
    for size in shape:
        needed *= size
    if needed > max_bytes:
        raise IdxError(
            f"{name}: its header announces {needed} bytes (shape {list(shape)}), more than {max_bytes}"
        )
    data = _read_at_most(stream, needed + 1)
    if len(data) != needed:
        there = f"{len(data)} are there" if len(data) < needed else "there are more"
        raise IdxError(f"{name}: shape {list(shape)} needs {needed} bytes of data, but {there}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_at_most(stream: Any, count: int) -> bytes:
    """Up to `count` bytes, in pieces, so that memory grows with the data and not with what a header
    announces.
    """
    pieces = []
    while count and (piece := stream.read(min(count, 1 << 20))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def find_file(folders: list[Path], names: list[str]) -> Path:
    """The first of `names` that exists in the first of `folders` that has one."""
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"{names[0]} is in none of: {looked}")
