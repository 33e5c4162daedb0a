"""Models whose tensors take more than 2 GiB: read where they lie, written beside the model."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import moka
from moka import nn

ROWS, WIDTH = 1 << 20, 1024  # 4 GiB of float32
BEFORE = 5 << 30  # bytes of the file in front of them


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Rows of a table of 4 GiB behind 5 GiB of nothing; the file is sparse, only its last row is written."""
    with open(tmp_path / "table", "wb") as file:
        file.truncate(BEFORE + ROWS * WIDTH * 4)
        file.seek(-WIDTH * 4, 2)
        file.write(np.arange(WIDTH, dtype=np.float32).tobytes())
    weight = TensorProto(
        name="table", data_type=1, dims=[ROWS, WIDTH], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": "table", "offset": BEFORE, "length": ROWS * WIDTH * 4}.items():
        weight.external_data.add(key=key, value=str(value))
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "rows"], ["y"])],
        "lookup",
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])],
        [weight],
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    )
    return path


def test_tensors_behind_four_gibibytes_are_read(table: Path) -> None:
    found = moka.onnx.load(table).run([np.array([ROWS - 1, 0, -1])])[0]
    assert (found == np.outer([1, 0, 1], np.arange(WIDTH))).all()


def test_a_table_past_the_end_of_its_file_is_refused(table: Path) -> None:
    with open(table.parent / "table", "r+b") as file:
        file.truncate(BEFORE + ROWS * WIDTH * 4 - 1)
    with pytest.raises(ValueError, match="table.*lie outside of .table., which has"):
        moka.onnx.load(table)


@pytest.mark.slow
def test_parameters_above_two_gibibytes_are_written_beside_the_model(tmp_path: Path) -> None:
    layer = nn.Embedding(70_000, 8192)  # 2.1 GiB
    rows = moka.tensor([69_999, 0])
    wanted = layer(rows).detach().numpy()
    with pytest.raises(ValueError, match="less than 2 GiB; write it to a path"):
        moka.onnx.export(layer, rows)
    path = tmp_path / "model.onnx"
    moka.onnx.export(layer, rows, path)
    assert path.stat().st_size < 10_000
    onnx.checker.check_model(str(path))
    assert (moka.onnx.load(path).run([rows.numpy()])[0] == wanted).all()
