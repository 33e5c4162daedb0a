"""Moka's operators under the names that they have in torch.ops.aten."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka._C import Tensor

__all__ = ["Overload", "Packet", "find_packet", "packet_of"]


class Packet:
    """One name of an operator; its overloads are attributes and run the same function."""

    def __init__(self, namespace: str, name: str, run: Any) -> None:
        self._qualified_op_name, self._run = f"{namespace}::{name}", run
        self.__name__ = name
        self.__doc__ = run.__doc__
        self.__module__ = f"torch._ops.{namespace}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        overload = Overload(self, name)
        setattr(self, name, overload)
        return overload

    def overloads(self) -> list[str]:
        """The names of the overloads: one, which takes all argument lists."""
        return ["default"]

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._qualified_op_name.replace('::', '.')}')>"

    def __str__(self) -> str:
        return self._qualified_op_name.replace("::", ".")

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Overload(Packet):
    """One overload of an operator, such as torch.ops.aten.add.Tensor."""

    def __init__(self, packet: Packet, overload: str) -> None:
        self.namespace, name = packet._qualified_op_name.split("::")
        super().__init__(self.namespace, name, packet._run)
        self.overloadpacket, self._overloadname, self._opname = packet, overload, name
        self.__name__ = f"{name}.{overload}"
        self._schema_name = name

    def name(self) -> str:
        """aten::add.Tensor; the default overload is left out."""
        return self._qualified_op_name + ("" if self._overloadname == "default" else f".{self._overloadname}")

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.overloadpacket}', overload='{self._overloadname}')>"

    def __str__(self) -> str:
        return f"{self.overloadpacket}.{self._overloadname}"


# Names among torch's whose arguments are not those of Moka's operator.
_RUNS: dict[str, Any] = {
    "_softmax": lambda self, dim, half_to_float=False: moka.softmax(self, dim),
    "_log_softmax": lambda self, dim, half_to_float=False: moka.log_softmax(self, dim),
    "_local_scalar_dense": Tensor.item,
    "embedding": lambda weight, indices, *_, **__: moka._C.embedding(weight, indices),
}


def _own(name: str) -> Any:
    """Moka's operator of an aten name: a function, a method or one of the places where functions live."""
    bare = name.lstrip("_")
    for place in (moka, Tensor, moka.nn.functional, moka.special, moka.linalg):
        for spelling in (name, bare, name.removeprefix("special_"), name.removeprefix("linalg_")):
            found = getattr(place, spelling, None)
            if callable(found) and not isinstance(found, type):
                return found
    return None


_packets: dict[str, Packet] = {}


def find_packet(name: str) -> Packet | None:
    """torch.ops.aten.<name>, or None where Moka has no such operator."""
    if name not in _packets:
        run = _RUNS.get(name) or _own(name)
        if run is None:
            return None
        _packets[name] = Packet("aten", name, run)
    return _packets[name]


def packet_of(name: str, base: str) -> Packet:
    """The same; `base` is Moka's operator behind it, where that is nothing that torch has."""
    return find_packet(name) or _packets.setdefault(name, Packet("aten", name, moka._C._operators[base]))
