"""torch.export: refused when it is used."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_class, refused_function

__all__: list[str] = []

_WHY = "use moka.jit.trace and moka.onnx, which record a run as a graph"

ExportedProgram = refused_class("torch.export.ExportedProgram", _WHY)
Dim = refused_class("torch.export.Dim", _WHY)
for _name in "default_decompositions draft_export export load register_dataclass save unflatten".split():
    globals()[_name] = refused_function(f"torch.export.{_name}", _WHY)
    __all__.append(_name)
