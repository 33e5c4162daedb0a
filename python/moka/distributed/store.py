"""Stores: small values by name that the processes of a program share, to find each other."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import fcntl
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from .wire import receive, seconds, send

__all__ = ["FileStore", "HashStore", "PrefixStore", "Store", "TCPStore"]

_DEFAULT = timedelta(minutes=5)


def _bytes(value: str | bytes | bytearray) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


class Store:
    """Values (bytes) by name (str). A subclass defines `_do(command, key, *values)`."""

    def __init__(self) -> None:
        self.timeout: timedelta = _DEFAULT

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        raise NotImplementedError(f"{type(self).__name__} defines no _do()")

    def set_timeout(self, timeout: timedelta) -> None:
        """How long get() and wait() wait."""
        self.timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Give a name its value."""
        self._do("set", key, _bytes(value))

    def get(self, key: str) -> bytes:
        """The value, waiting until there is one."""
        self.wait([key])
        found = self._do("get", key)
        assert found is not None
        return found

    def add(self, key: str, amount: int) -> int:
        """Add to a number, which begins as 0; the sum."""
        found = self._do("add", key, str(amount).encode())
        assert found is not None
        return int(found)

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Change a value if it is the expected one (or missing and "" is expected); the value it has then."""
        found = self._do("compare_set", key, _bytes(expected_value), _bytes(desired_value))
        assert found is not None
        return found

    def append(self, key: str, value: str | bytes) -> None:
        """Add to the end of a value."""
        self._do("append", key, _bytes(value))

    def check(self, keys: list[str]) -> bool:
        """Whether all names have values."""
        return all(self._do("get", key) is not None for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Wait until all names have values.

        Raises:
            RuntimeError: it took too long.
        """
        limit = seconds(timeout or self.timeout)
        assert limit is not None
        end, pause = time.monotonic() + limit, 0.001
        while not self.check(keys):
            if time.monotonic() > end:
                raise RuntimeError(f"{type(self).__name__}: timed out after {limit:g} s waiting for {keys}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)

    def delete_key(self, key: str) -> bool:
        """Forget a name; whether it was there."""
        return self._do("delete", key) == b"1"

    def num_keys(self) -> int:
        """How many names there are."""
        found = self._do("count", "")
        assert found is not None
        return int(found)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """The values of several names."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: list[str], values: list[str]) -> None:
        """Give several names values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def has_extended_api(self) -> bool:
        """True: append, multi_get and multi_set are there."""
        return True


def _apply(data: dict[str, bytes], command: str, key: str, *values: bytes) -> bytes | None:
    """One command on the values themselves."""
    if command == "set":
        data[key] = values[0]
    elif command == "get":
        return data.get(key)
    elif command == "add":
        data[key] = str(int(data.get(key, b"0")) + int(values[0])).encode()
        return data[key]
    elif command == "append":
        data[key] = data.get(key, b"") + values[0]
    elif command == "compare_set":
        if data.get(key, b"") == values[0]:
            data[key] = values[1]
        return data.get(key, values[0])
    elif command == "delete":
        return b"0" if data.pop(key, None) is None else b"1"
    elif command == "count":
        return str(len(data)).encode()
    return None


class HashStore(Store):
    """Values of one process, for its threads."""

    def __init__(self) -> None:
        super().__init__()
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        with self._lock:
            return _apply(self._data, command, key, *values)


class FileStore(Store):
    """Values in a file that all processes see."""

    def __init__(self, file_name: str, world_size: int = -1) -> None:
        super().__init__()
        self.path = Path(file_name)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        with self._open() as file:
            file.seek(0)
            data: dict[str, bytes] = {}
            for line in file.read().splitlines():
                name, _, value = line.partition(b" ")
                data[bytes.fromhex(name.decode()).decode()] = bytes.fromhex(value.decode())
            before = dict(data)
            result = _apply(data, command, key, *values)
            if data != before:
                lines = b"".join(
                    name.encode().hex().encode() + b" " + value.hex().encode() + b"\n"
                    for name, value in data.items()
                )
                file.truncate(0)
                file.write(lines)
            return result


class TCPStore(Store):
    """Values that one process keeps for all.

    Args:
        host_name, port: where the keeper listens; port 0 lets the system choose (see `port`).
        is_master: whether this process keeps them.
        wait_for_workers: the keeper waits until `world_size` processes have come.
    """

    def __init__(
        self,
        host_name: str,
        port: int = 0,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta = _DEFAULT,
        wait_for_workers: bool = True,
        **_: Any,
    ) -> None:
        super().__init__()
        self.timeout = timeout
        self.host, self.port = host_name, port
        self._server: socket.socket | None = None
        if is_master:
            self._serve()
        self._lock = threading.Lock()
        self._connection = self._connect()
        if world_size and wait_for_workers:
            self.add("moka/here", 1)
            if is_master:
                end = time.monotonic() + timeout.total_seconds()
                while self.add("moka/here", 0) < world_size:
                    if time.monotonic() > end:
                        raise RuntimeError(
                            f"TCPStore: timed out; {self.add('moka/here', 0)} of {world_size} processes came"
                        )
                    time.sleep(0.005)

    def _serve(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((self.host, self.port))
        server.listen(256)
        self.port = server.getsockname()[1]
        self._server = server
        data: dict[str, bytes] = {}
        lock = threading.Lock()

        def answer(connection: socket.socket) -> None:
            try:
                while True:
                    command, key, *values = receive(connection)
                    with lock:
                        result = _apply(data, command.decode(), key.decode(), *map(bytes, values))
                    send(connection, *([] if result is None else [result]))
            except (OSError, ValueError):
                connection.close()

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def _connect(self) -> socket.socket:
        end = time.monotonic() + self.timeout.total_seconds()
        while True:
            try:
                connection = socket.create_connection((self.host, self.port), timeout=10)
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError as error:
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"TCPStore: no connection to {self.host}:{self.port} within {self.timeout}: {error}"
                    ) from error
                time.sleep(0.05)

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        with self._lock:
            send(self._connection, command.encode(), key.encode(), *values)
            answer = receive(self._connection)
        return bytes(answer[0]) if answer else None


class PrefixStore(Store):
    """Another store under names that begin with a prefix."""

    def __init__(self, prefix: str, store: Store) -> None:
        super().__init__()
        self.prefix, self.underlying_store = prefix, store
        self.timeout = store.timeout

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        return self.underlying_store._do(command, f"{self.prefix}/{key}", *values)
