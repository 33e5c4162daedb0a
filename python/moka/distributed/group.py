"""Groups of processes: who belongs to them, their connections, and the order of their common operations."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import concurrent.futures
import socket
import struct
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from .store import PrefixStore, Store
from .wire import Link, Mailbox, receive, seconds, send

__all__ = ["Mesh", "ProcessGroup", "Work", "data_of", "tensor_from"]

_CARRIERS = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def data_of(tensor: Tensor) -> memoryview:
    """The elements of a tensor as bytes."""
    plain = tensor.detach().contiguous()
    carrier = _CARRIERS.get(plain.dtype.name)
    array = (plain.view(getattr(_C, carrier)) if carrier else plain).numpy()
    return memoryview(array.reshape(-1).view("uint8"))


def tensor_from(data: bytes | bytearray | memoryview, like: Tensor) -> Tensor:
    """Bytes as a tensor of one dimension of the same type as another."""
    import numpy as np

    flat = _C.from_numpy(np.frombuffer(bytearray(data), "uint8"))
    if like.dtype == _C.bool:
        return flat.to(_C.bool)
    return flat.view(like.dtype)


class Work:
    """An operation that may still be running."""

    def __init__(self, future: concurrent.futures.Future[Any], result: Any = None) -> None:
        self._future, self._result = future, result

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait for the end; raises the error it ended with."""
        self._future.result(seconds(timeout))
        return True

    def is_completed(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def is_success(self) -> bool:
        """Whether it has ended without an error."""
        return self._future.done() and self._future.exception() is None

    def exception(self) -> BaseException | None:
        """The error it ended with."""
        return self._future.exception()

    def result(self) -> Any:
        """The tensors it wrote into."""
        self.wait()
        return self._result

    def source_rank(self) -> int:
        """Who sent what was received."""
        return int(self._future.result())

    def get_future(self) -> Any:
        """A torch.futures.Future of the result."""
        from moka.compat.torch.futures import Future

        future = Future()

        def tell(done: concurrent.futures.Future[Any]) -> None:
            error = done.exception()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(self._result)

        self._future.add_done_callback(tell)
        return future


class Mesh:
    """A connection from every process of a program to every other; made once."""

    def __init__(self, store: Store, rank: int, size: int, timeout: timedelta) -> None:
        self.rank, self.size = rank, size
        self.mailbox = Mailbox()
        self.links: dict[int, Link] = {}
        if size == 1:
            return
        server = socket.socket()
        server.bind((self._address(store), 0))
        server.listen(size)
        server.settimeout(timeout.total_seconds())
        host, port = server.getsockname()
        store.set(f"address/{rank}", f"{host} {port}")
        for other in range(rank):
            host, _, port = store.get(f"address/{other}").decode().partition(" ")
            connection = socket.create_connection((host, int(port)), timeout=timeout.total_seconds())
            connection.settimeout(None)
            send(connection, struct.pack("<I", rank))
            self.links[other] = Link(connection, other, self.mailbox)
        for _ in range(rank + 1, size):
            connection, _from = server.accept()
            connection.settimeout(None)
            (other,) = struct.unpack("<I", receive(connection)[0])
            self.links[other] = Link(connection, other, self.mailbox)
        server.close()

    @staticmethod
    def _address(store: Any) -> str:
        """The own address on the way to where the store is."""
        while isinstance(store, PrefixStore):
            store = store.underlying_store
        connection = getattr(store, "_connection", None)
        return connection.getsockname()[0] if connection is not None else "127.0.0.1"

    def close(self) -> None:
        """End all connections."""
        for link in self.links.values():
            link.close()


class ProcessGroup:
    """Some processes of a program, numbered from 0 in the order of `ranks`.

    Args:
        mesh: the connections.
        ranks: which processes of the program belong to it.
        name: the same in all of them.
        timeout: how long an operation waits for the others.
    """

    def __init__(
        self, mesh: Mesh, ranks: list[int], name: str, timeout: timedelta, backend: str = "gloo"
    ) -> None:
        self.mesh, self.ranks, self.group_name, self.timeout = mesh, ranks, name, timeout
        self.backend = backend
        self._count = 0
        # One thread runs the operations in their order; sends and receives between two wait apart from them.
        self._worker = concurrent.futures.ThreadPoolExecutor(1, f"moka group {name}")
        self._pairs = concurrent.futures.ThreadPoolExecutor(64, f"moka pairs {name}")
        self._lock = threading.Lock()

    def rank(self) -> int:
        """The own number in the group, -1 outside of it."""
        return self.ranks.index(self.mesh.rank) if self.mesh.rank in self.ranks else -1

    def size(self) -> int:
        """How many processes there are."""
        return len(self.ranks)

    def name(self) -> str:
        """The backend's name."""
        return self.backend

    def run(self, operation: str, body: Callable[[Channel], Any], result: Any = None) -> Work:
        """Begin a common operation, which all processes must begin in the same order."""
        with self._lock:
            self._count += 1
            channel = Channel(self, f"{self.group_name}/{self._count}", operation)
        return Work(self._worker.submit(self._do, body, channel), result)

    def run_pair(self, tag: str, body: Callable[[Channel], Any], result: Any = None) -> Work:
        """Begin a send or a receive, which waits for one other process only."""
        return Work(
            self._pairs.submit(self._do, body, Channel(self, f"{self.group_name}/{tag}", "send")), result
        )

    @staticmethod
    def _do(body: Callable[[Channel], Any], channel: Channel) -> Any:
        with no_grad():
            return body(channel)

    def close(self) -> None:
        """End the threads."""
        self._worker.shutdown()
        self._pairs.shutdown()


class Channel:
    """The messages of one operation, by numbers in the group; each says what it belongs to."""

    def __init__(self, group: ProcessGroup, key: str, operation: str) -> None:
        self.group, self.operation, self._key = group, operation, key.encode()
        self.rank, self.size = group.rank(), group.size()

    def send(self, to: int, data: Any, about: str = "") -> None:
        """Bytes to process `to`; `about` (type and size) must agree with what that one expects."""
        head = f"{self.operation} {about}".encode()
        payload = struct.pack("<I", len(head)) + head + bytes(data)
        other = self.group.ranks[to]
        if other == self.group.mesh.rank:
            self.group.mesh.mailbox.put(other, self._key, bytearray(payload))
        else:
            self.group.mesh.links[other].send(self._key, payload)

    def receive(self, sender: int | None, about: str = "") -> bytearray:
        """The bytes that process `sender` sent."""
        return self.receive_from(sender, about)[1]

    def receive_from(self, sender: int | None, about: str = "") -> tuple[int, bytearray]:
        """The bytes that a process, or any with None, sent, and its number."""
        group = self.group
        who, payload = group.mesh.mailbox.take(
            None if sender is None else group.ranks[sender], self._key, group.timeout.total_seconds()
        )
        (size,) = struct.unpack_from("<I", payload)
        told, expected = payload[4 : 4 + size].decode(), f"{self.operation} {about}"
        if told != expected:
            raise RuntimeError(
                f"distributed: process {self.rank} runs {expected.strip()!r} but process "
                f"{group.ranks.index(who)} runs {told.strip()!r} as the same operation of the group"
            )
        return group.ranks.index(who), payload[4 + size :]
