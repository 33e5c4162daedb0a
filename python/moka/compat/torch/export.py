"""torch.export: Dim names sizes for torch.onnx.export; programs themselves are refused when they are used."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_class, refused_function

__all__: list[str] = ["Dim", "dims"]

_WHY = "use moka.jit.trace and moka.onnx, which record a run as a graph"

ExportedProgram = refused_class("torch.export.ExportedProgram", _WHY)


class Dim:
    """The name of a size that may change, for dynamic_shapes.

    `Dim.AUTO` and `Dim.DYNAMIC` have no name of their own, `Dim.STATIC` is a size that stays.
    """

    AUTO: Dim
    DYNAMIC: Dim
    STATIC: Dim

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:  # noqa: A002
        self.__name__ = name
        self.min, self.max = min, max

    def __mul__(self, factor: int) -> Dim:
        return Dim(f"{factor}*{self.__name__}")

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Dim('{self.__name__}')"


Dim.AUTO, Dim.DYNAMIC, Dim.STATIC = Dim("AUTO"), Dim("DYNAMIC"), Dim("STATIC")


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:  # noqa: A002
    """One Dim for every name."""
    return tuple(Dim(name, min=min, max=max) for name in names)


for _name in "default_decompositions draft_export export load register_dataclass save unflatten".split():
    globals()[_name] = refused_function(f"torch.export.{_name}", _WHY)
    __all__.append(_name)
