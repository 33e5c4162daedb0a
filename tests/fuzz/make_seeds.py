"""Writes the seeds of the ONNX and NetDef fuzz targets; needs onnx and moka."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from pathlib import Path

import moka.onnx
import numpy as np

import moka.caffe2

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "formats"))

from small_models import one_node  # noqa: E402
from test_onnx import network  # noqa: E402

__all__ = ["main"]


def main() -> None:
    """A network, old and new opsets, and a few single nodes; the same as pairs where Caffe2 can say them."""
    models = {"network": network(18, 1), "old": network(9, 1)}
    for op, shapes, constants in (
        ("Reshape", [[2, 6]], {"shape": np.array([3, -1])}),
        ("Slice", [[5, 6]], {"s": np.array([1]), "e": np.array([4])}),
        ("Softmax", [[2, 3]], {}),
        ("Concat", [[2, 3], [2, 1]], {}),
    ):
        attributes = {"axis": 1} if op == "Concat" else {}
        models[op.lower()] = one_node(op, shapes, initializers=constants, **attributes)
    for name, model in models.items():
        data = model.SerializeToString()
        _write("onnx", name, data)
        init, predict = moka.caffe2.export(moka.onnx.load(data))
        _write("netdef", name, len(init).to_bytes(2, "little") + init + predict)


def _write(target: str, name: str, data: bytes) -> None:
    folder = FOLDER / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
