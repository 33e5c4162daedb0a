"""The names that programs of the catalogue may use without an import."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import moka

from .c_interface import Interface
from .files import Damage, copy_models

__all__ = ["names"]


def names(folder: Path) -> dict[str, Any]:
    """What a program sees that runs in `folder`."""
    return {
        "moka": moka,
        "nn": moka.nn,
        "F": moka.nn.functional,
        "optim": moka.optim,
        "data": moka.data,
        "np": np,
        "folder": folder,
        "models": lambda: copy_models(folder),
        "package": lambda **parts: _package(folder / "model.moka", **parts),
        "onnx_model": lambda **parts: _onnx_model(folder / "model.onnx", **parts),
        "c": Interface(),
        **Damage(folder).names(),
    }


def _package(path: Path, program: str, manifest: Any = None) -> None:
    """A package with this program and no weights."""
    manifest = {"format": 1, "producer": "tests", "main": "main"} if manifest is None else manifest
    weights = (2).to_bytes(8, "little") + b"{}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        archive.writestr(zipfile.ZipInfo("manifest.json"), text)
        archive.writestr(zipfile.ZipInfo("program.txt"), program)
        archive.writestr(zipfile.ZipInfo("weights.safetensors"), weights)


def _onnx_model(
    path: Path,
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]],
    opset: int = 18,
    weights: dict[str, tuple] | None = None,
    external: dict[str, tuple[str, int, int]] | None = None,
) -> None:
    """A model of x: float32[2, 3] -> y; weights are (dims, raw bytes, type), external (file, at, length)."""
    from onnx import TensorProto, helper

    tensors = []
    for name, (dims, raw, *kind) in (weights or {}).items():
        tensors.append(
            TensorProto(name=name, dims=dims, raw_data=raw, data_type=kind[0] if kind else TensorProto.FLOAT)
        )
    for name, (file, offset, length) in (external or {}).items():
        tensor = TensorProto(name=name, dims=[2, 3], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        tensors.append(tensor)
    graph = helper.make_graph(
        [
            helper.make_node(op, inputs, outputs, name=f"{op}_{i}", **more)
            for i, (op, inputs, outputs, more) in enumerate(nodes)
        ],
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_empty_tensor_value_info("y")],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
