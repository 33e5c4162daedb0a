"""TensorBoard's event files: records with check sums, which hold protocol buffers."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["EventFile", "bytes_of", "doubles", "fixed32", "fixed64", "number", "png"]


def _table() -> list[int]:
    entries = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        entries.append(value)
    return entries


_CASTAGNOLI = _table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as in TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CASTAGNOLI[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


# Fields of protocol buffers, by field number.
def number(field: int, value: int) -> bytes:
    """An integer."""
    return _varint(field << 3) + _varint(int(value))


def fixed64(field: int, value: float) -> bytes:
    """A double."""
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def fixed32(field: int, value: float) -> bytes:
    """A float; what lies beyond its range becomes infinite."""
    return _varint(field << 3 | 5) + np.float32(value).tobytes()


def bytes_of(field: int, value: bytes | str) -> bytes:
    """A string, bytes or a message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def doubles(field: int, values: Any) -> bytes:
    """Doubles, packed."""
    return bytes_of(field, np.asarray(values, "<f8").tobytes())


def png(pixels: np.ndarray) -> bytes:
    """A picture of shape [height, width, channels] of bytes; 1 to 4 channels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class EventFile:
    """A file of events in a folder, in which TensorBoard looks for it; several threads may write."""

    _made = 0

    def __init__(self, logdir: str | os.PathLike[str], filename_suffix: str = "") -> None:
        folder = Path(logdir)
        folder.mkdir(parents=True, exist_ok=True)
        EventFile._made += 1
        place = f"{socket.gethostname()}.{os.getpid()}.{EventFile._made - 1}"
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.{place}{filename_suffix}"
        self._lock = threading.Lock()
        self._file = self.path.open("ab")
        self._write(fixed64(1, time.time()) + bytes_of(3, "brain.Event:2"))

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        with self._lock:
            if self._file.closed:  # written to again after close()
                self._file = self.path.open("ab")
            self._file.write(length + _checksum(length) + event + _checksum(event))

    def add_summary(
        self, summary: bytes, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """An event with a Summary message."""
        event = fixed64(1, time.time() if walltime is None else walltime)
        if global_step is not None:
            event += number(2, int(global_step))
        self._write(event + bytes_of(5, summary))

    def purge_after(self, step: int) -> None:
        """Say that what other files hold from this step on is void."""
        self._write(fixed64(1, time.time()) + number(2, step) + bytes_of(7, number(1, 1)))

    def get_logdir(self) -> str:
        """The folder."""
        return str(self.path.parent)

    def flush(self) -> None:
        """Make what was written visible to readers."""
        with self._lock:
            if not self._file.closed:
                self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        with self._lock:
            self._file.close()

    reopen = flush
