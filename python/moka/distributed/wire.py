"""Messages between processes: frames on sockets, each with a key by which the receiver waits for it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import socket
import struct
import threading
from collections import defaultdict, deque
from datetime import timedelta

__all__ = ["Link", "Mailbox", "receive", "seconds", "send"]

_LARGEST = 1 << 40


def seconds(timeout: timedelta | float | None) -> float | None:
    """A timeout as a number."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


def send(connection: socket.socket, *parts: bytes | memoryview) -> None:
    """One frame of several parts."""
    sizes = [len(memoryview(part).cast("B")) for part in parts]
    connection.sendall(struct.pack(f"<I{len(parts)}Q", len(parts), *sizes))
    for part in parts:
        connection.sendall(part)


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise ConnectionError("the other process has closed the connection")
        view = view[count:]
    return data


def receive(connection: socket.socket) -> list[bytearray]:
    """The parts of the next frame."""
    (count,) = struct.unpack("<I", _exactly(connection, 4))
    if count > 64:
        raise ConnectionError(f"a frame of {count} parts cannot be right")
    sizes = struct.unpack(f"<{count}Q", _exactly(connection, 8 * count))
    if sum(sizes) > _LARGEST:
        raise ConnectionError(f"a frame of {sum(sizes)} bytes cannot be right")
    return [_exactly(connection, size) for size in sizes]


class Mailbox:
    """Frames that have come, by sender and key."""

    def __init__(self) -> None:
        self._frames: dict[tuple[int, bytes], deque[bytearray]] = defaultdict(deque)
        self._lost: dict[int, str] = {}
        self._changed = threading.Condition()

    def put(self, sender: int, key: bytes, data: bytearray) -> None:
        """A frame has come."""
        with self._changed:
            self._frames[sender, key].append(data)
            self._changed.notify_all()

    def lose(self, sender: int, why: str) -> None:
        """No more frames will come from there."""
        with self._changed:
            self._lost[sender] = why
            self._changed.notify_all()

    def take(self, sender: int | None, key: bytes, timeout: float | None) -> tuple[int, bytearray]:
        """The next frame of a key, from one sender or from any, and who sent it."""

        def ready() -> int | None:
            for (who, what), frames in self._frames.items():
                if what == key and frames and sender in (None, who):
                    return who
            return None

        with self._changed:
            if not self._changed.wait_for(
                lambda: ready() is not None or (sender in self._lost if sender is not None else False),
                timeout,
            ):
                raise RuntimeError(f"distributed: timed out after {timeout:g} s waiting for process {sender}")
            who = ready()
            if who is None:
                raise RuntimeError(f"distributed: process {sender} is gone: {self._lost[sender]}")  # type: ignore[index]
            return who, self._frames[who, key].popleft()


class Link:
    """The connection to one other process; a thread files what comes in the mailbox."""

    def __init__(self, connection: socket.socket, other: int, mailbox: Mailbox) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._other, self._mailbox = connection, other, mailbox
        self._sending = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, key: bytes, data: bytes | memoryview) -> None:
        """One frame."""
        with self._sending:
            send(self._connection, key, data)

    def _read(self) -> None:
        try:
            while True:
                key, data = receive(self._connection)
                self._mailbox.put(self._other, bytes(key), data)
        except (OSError, ValueError) as error:
            self._mailbox.lose(self._other, str(error))

    def close(self) -> None:
        """End it."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._connection.close()
