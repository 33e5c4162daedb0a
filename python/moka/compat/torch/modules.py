"""Which Moka modules stand behind each torch module, and the import hook that makes them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from moka import _C, tensor_text
from moka.missing import MissingName

from . import printing
from .names import ALIKE, HERE, TARGETS, targets_of

__all__ = ["MissingName", "TorchModule", "install", "uninstall"]


_FILLED = (
    "torch.distributions",
    "torch.nn",
    "torch.nn.functional",
    "torch.optim",
    "torch.optim.lr_scheduler",
)
# Where functions leave the work to arguments with __torch_function__.
_OVERRIDABLE = (
    "torch",
    "torch.fft",
    "torch.functional",
    "torch.linalg",
    "torch.nn.functional",
    "torch.special",
)


@cache
def _overridable(function: FunctionType, module: str) -> Any:
    home = function.__module__
    if not home.startswith("moka.") or home.startswith((HERE, "moka.checkpoint", "moka.random", "moka.func")):
        return function
    from moka.overrides import standing_in

    return standing_in(function, module)


def _find(name: str) -> ModuleType | None:
    """A Moka module, or None where Moka has none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(error.name + ".")):
            return None
        raise


class TorchModule(ModuleType):
    """A module under a torch name; names come from the Moka modules behind it, when they are first used."""

    def __init__(self, name: str, targets: tuple[str, ...]) -> None:
        super().__init__(name, f"{name}, as Moka has it.")
        self.__dict__["_targets"] = targets

    def _sources(self) -> list[Any]:
        if self.__name__.startswith("torch.backends."):
            from . import backends

            return [getattr(backends, self.__name__.rpartition(".")[2])]
        return [module for target in self._targets if (module := _find(target)) is not None]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            if name in ("__version__", "__all__", "__file__"):
                return self._special(name)
            if f"{self.__name__}.{name}" not in TARGETS:
                raise AttributeError(name)
        full = f"{self.__name__}.{name}"
        if full in TARGETS and self._targets == (f"{HERE}.internals",):
            return importlib.import_module(full)
        value = self._value(name)
        if value is not None and self._has_switches():
            return value[0]  # it may change
        if value is not None and not isinstance(value[0], ModuleType):
            found = value[0]
            if self.__name__ in _OVERRIDABLE and isinstance(found, FunctionType) and not name.startswith("_"):
                home = "torch" if self.__name__ == "torch.functional" else self.__name__
                found = _overridable(found, home)
            if not isinstance(found, int):  # numbers may change
                self.__dict__[name] = found
            return found
        if targets_of(full) is not None:
            return importlib.import_module(full)
        if value is not None:
            return value[0]
        if full == "torch.torch":
            return self
        hint = f"; the nearest there is: {self.__name__}.{{}}"
        raise MissingName(f"Moka does not have {full}", name, hint, lambda: dir(self))

    def _value(self, name: str) -> tuple[Any] | None:
        """What the first source has under that name, as a tuple of one."""
        for source in self._sources():
            try:
                return (getattr(source, name),)
            except AttributeError:
                continue
        return None

    def _has_switches(self) -> bool:
        """Whether what programs assign here means something to Moka."""
        return self.__name__.startswith("torch.backends.") or self.__name__ in (
            "torch.nn.modules.module",
            "torch.utils.deterministic",
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if self._has_switches():
            for source in self._sources():
                if name in vars(source) or isinstance(vars(type(source)).get(name), property):
                    setattr(source, name, value)
                    return
        # Importing a module that shares its name with a function (torch.nn.utils.weight_norm) must not
        # hide the function.
        if isinstance(value, TorchModule):
            there = self._value(name)
            if there is not None and not isinstance(there[0], ModuleType):
                return
        super().__setattr__(name, value)

    def _special(self, name: str) -> Any:
        if name == "__file__":
            return f"{__file__.rpartition('modules')[0]}__init__.py"
        if name == "__version__":
            return importlib.import_module(f"{HERE}.version").__version__
        return [entry for entry in dir(self) if not entry.startswith("_")]

    def __dir__(self) -> list[str]:
        names = {entry for source in self._sources() for entry in getattr(source, "__all__", dir(source))}
        prefix = self.__name__ + "."
        below = {key[len(prefix) :] for key in TARGETS if key.startswith(prefix)}
        below.update(ALIKE.get(self.__name__, ((), ()))[1])
        return sorted(names | {key for key in below if "." not in key})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in ("torch", "functorch"):
            return None
        if targets_of(name) is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}: Moka stands in for torch and has no such module", name=name
            )
        return importlib.machinery.ModuleSpec(name, self, is_package=True, origin="moka.compat.torch")

    def create_module(self, spec: Any) -> ModuleType:
        targets = targets_of(spec.name)
        assert targets is not None
        return TorchModule(spec.name, targets)

    def exec_module(self, module: ModuleType) -> None:
        parent, _, last = module.__name__.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], last, module)
        if (
            module.__name__ in _FILLED or parent == "torch.nn.modules"
        ):
            for name in dir(module):
                with suppress(AttributeError):
                    getattr(module, name)

    def find_distributions(self, context: Any = None) -> Iterator[importlib.metadata.Distribution]:
        """What importlib.metadata.version("torch") and checks of requirements ask."""
        if context is None or context.name is None or context.name == "torch":
            yield _Distribution()


class _Distribution(importlib.metadata.Distribution):
    """The metadata of an installed torch."""

    def read_text(self, filename: str) -> str | None:
        if filename not in ("METADATA", "PKG-INFO"):
            return None
        version = importlib.import_module(f"{HERE}.version").__version__
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nSummary: Moka under torch's names\n"

    def locate_file(self, path: Any) -> Any:
        from pathlib import Path

        return Path(__file__).parent / path


_finder = _Finder()


def install() -> None:
    """Make `import torch` give Moka; an error if the real torch was imported before."""
    present = sys.modules.get("torch")
    if present is not None and not isinstance(present, TorchModule):
        raise RuntimeError(
            "moka.compat.torch: the real torch is imported in this process already; import "
            "moka.compat.torch first"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _C._show_module("torch")
    _C._draw_as_torch(True)
    tensor_text.writer = printing.text


def uninstall() -> None:
    """Take the hook and the modules it made away again."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _C._show_module("moka")
    _C._draw_as_torch(False)
    tensor_text.writer = tensor_text.text
    for name, module in list(sys.modules.items()):
        if isinstance(module, TorchModule):
            del sys.modules[name]
