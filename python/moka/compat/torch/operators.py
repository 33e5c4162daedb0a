"""torch.ops: operators of programs (torch.library) and, under aten, Moka's own."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka.aten import Packet, find_packet

from .refusing import refused_function

__all__ = ["load_library", "loaded_libraries"]

loaded_libraries: set[str] = set()


def load_library(path: Any) -> None:
    """The operators of torchvision and torchaudio become Moka's; other extensions are refused."""
    from .known_extensions import operators_of
    from .library import provide

    known = operators_of(str(path))
    if known is not None:
        provide(known)
        loaded_libraries.add(str(path))
        return
    raise OSError(f"torch.ops.load_library: {path}: extensions made for torch cannot be loaded by Moka")


class Namespace:
    """The operators of one library."""

    def __init__(self, name: str) -> None:
        self.__name__ = f"torch.ops.{name}"
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        from .library import registered

        run = registered(f"{self.name}::{name}")
        if run is None and self.name in ("aten", "prims"):
            packet = find_packet(name)
            if packet is not None and self.name == "aten":
                setattr(self, name, packet)
                return packet
            why = "Moka has no such operator"
            refused = refused_function(f"torch.ops.{self.name}.{name}", why, NotImplementedError)
            run = refused if packet is None else packet._run
        if run is None:
            raise AttributeError(f"torch.ops.{self.name} has no operator {name!r}")
        packet = Packet(self.name, name, run)
        if self.name == "aten":
            setattr(self, name, packet)
        return packet


_namespaces: dict[str, Namespace] = {}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _namespaces.setdefault(name, Namespace(name))
