"""torch.serialization: what torch.load may make of files."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from moka import _C

from . import pickling

__all__ = [
    "FILE_LIKE",
    "MAP_LOCATION",
    "SourceChangeWarning",
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "location_tag",
    "register_package",
    "safe_globals",
    "set_crc32_options",
    "set_default_load_endianness",
    "skip_data",
]

FILE_LIKE: TypeAlias = Any
MAP_LOCATION: TypeAlias = Any

DEFAULT_PROTOCOL = 2
_safe: list[Any] = []


class SourceChangeWarning(Warning):
    """A saved module's source has changed; modules are not saved here."""


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Remember types that a program trusts."""
    _safe.extend(value for value in safe_globals if value not in _safe)


def get_safe_globals() -> list[Any]:
    """Those remembered."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Forget them."""
    _safe.clear()


class safe_globals(AbstractContextManager[None]):
    """The block trusts these types too."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self._new = safe_globals

    def __enter__(self) -> None:
        self._before = list(_safe)
        add_safe_globals(self._new)

    def __exit__(self, *_: Any) -> None:
        _safe[:] = self._before


def location_tag(storage: Any) -> str:
    """Where a storage lives, as files say it: "cpu"."""
    return str(storage.device)


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage, for torch.load's map_location; RuntimeError for a device that is not here."""
    device = _C.device(location)
    if device.type != "cpu":
        raise RuntimeError(
            f"Attempting to deserialize object on a device '{location}', which Moka does not have; use "
            "map_location='cpu'"
        )
    return storage


def get_crc32_options() -> bool:
    """True: files have check sums."""
    return True


def set_crc32_options(compute_crc32: bool) -> None:
    """Nothing: files have check sums."""


def get_default_load_endianness() -> None:
    """None: the file says it."""
    return None


def set_default_load_endianness(endianness: Any) -> None:
    """Nothing: the file says it."""


def get_default_mmap_options() -> int:
    """MAP_PRIVATE of the system."""
    import mmap

    return mmap.MAP_PRIVATE


def names_of_safe_globals() -> dict[str, Any]:
    """What programs trust, by the names that files use; (value, name) pairs give the name themselves."""
    names = {}
    for value in _safe:
        if isinstance(value, tuple):
            value, name = value
        else:
            name = f"{value.__module__}.{value.__qualname__}"
            home = pickling._home(value)
            if home is not None:
                names[f"{home}.{value.__name__}"] = value
                names[f"torch.nn.modules.{value.__module__.rpartition('.')[2]}.{value.__name__}"] = value
        names[name.replace("__builtin__", "builtins")] = value
    return names


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file that torch.load refuses unless they are made safe."""
    if hasattr(f, "read"):
        return pickling.globals_in(f, names_of_safe_globals())
    with open(f, "rb") as file:
        return pickling.globals_in(file, names_of_safe_globals())


def register_package(priority: int, tagger: Any, deserializer: Any) -> None:
    """Nothing: tensors go to the CPU or where map_location says."""


def skip_data(materialize_fake_tensors: bool = False) -> Any:
    """Refused: tensors without data do not exist here."""
    raise RuntimeError("torch.serialization.skip_data: tensors without data do not exist in Moka")
