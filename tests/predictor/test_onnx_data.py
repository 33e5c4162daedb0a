"""`moka test`: the native program alone on models with data beside them, such as Debian's copy of ONNX's."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

# Debian's libonnx-testdata, of onnx 1.12.
DATA = Path("/usr/share/libonnx-testdata/data")
DRAWS = "compares random draws with one generator's"
ONE = "the model declares `like` as [3, 4], the data have one element"
FAILURES = {
    "test_adam_multiple": "the data were made with an epsilon of 0.01, which the node does not say",
    "test_bernoulli": DRAWS,
    "test_bernoulli_double": DRAWS,
    "test_bernoulli_double_expanded": DRAWS,
    "test_bernoulli_expanded": DRAWS,
    "test_bernoulli_seed": DRAWS,
    "test_bernoulli_seed_expanded": DRAWS,
    "test_castlike_BFLOAT16_to_FLOAT": ONE,
    "test_castlike_BFLOAT16_to_FLOAT_expanded": ONE,
    "test_castlike_FLOAT_to_BFLOAT16": ONE,
    "test_castlike_FLOAT_to_BFLOAT16_expanded": ONE,
}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs Debian's libonnx-testdata")
@pytest.mark.parametrize(
    ("kind", "cases"), [("node", 932), ("simple", 23), ("pytorch-converted", 82), ("pytorch-operator", 35)]
)
def test_debians_data(moka, kind, cases):
    result = json.loads(moka("test", DATA / kind, "--json", "--deadline", "60", code=None).stdout)
    failed = {Path(name).name: text for name, text in result["failed"].items()}
    assert {name: text for name, text in failed.items() if name not in FAILURES} == {}
    assert kind != "node" or failed.keys() == FAILURES.keys()
    assert result["total"] == cases and result["passed"] == cases - len(failed)


@pytest.fixture
def case(tmp_path) -> Path:
    """A model that doubles numbers and hands a list of strings and an optional through, with a data set."""
    text = helper.make_tensor_value_info("s", TensorProto.STRING, [2])
    like = helper.make_tensor_value_info("t", TensorProto.STRING, [2])
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["y"]),
            helper.make_node("Identity", ["s"], ["t"]),
            helper.make_node("SequenceConstruct", ["x", "y"], ["z"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]), text],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [3]),
            like,
            helper.make_tensor_sequence_value_info("z", TensorProto.FLOAT, [3]),
        ],
    )
    folder = tmp_path / "cases" / "first"
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), folder / "model.onnx")
    x = np.array([1, np.nan, np.inf], np.float32)
    strings = np.array(["a", "b"], object)
    values = {"input_0": x, "input_1": strings, "output_0": x + x, "output_1": strings}
    for name, value in values.items():
        (data / f"{name}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    (data / "output_2.pb").write_bytes(numpy_helper.from_list([x, x + x]).SerializeToString())
    return folder


def change(case: Path, name: str, value: np.ndarray) -> None:
    path = case / "test_data_set_0" / f"{name}.pb"
    path.write_bytes(numpy_helper.from_array(value).SerializeToString())


def test_a_folder_and_a_folder_of_folders(moka, case):
    shutil.copytree(case, case.parent / "second")
    assert moka("test", case).stdout == "1 of 1 passed\n"
    assert moka("test", case.parent).stdout == "2 of 2 passed\n"
    change(case.parent / "second", "output_1", np.array(["a", "c"], object))
    result = moka("test", case.parent, code=1).stdout.splitlines()
    assert result[0].endswith("second: output t: 1 of 2 elements are wrong, the first 'b' for 'c'")
    assert result[1] == "1 of 2 passed"


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("output_0", np.array([2.1, np.nan, np.inf], np.float32), "1 of 3 elements are wrong, the first 2.0"),
        ("output_0", np.array([2, 0, np.inf], np.float32), "1 of 3 elements are wrong"),
        ("output_0", np.array([2, np.nan, -np.inf], np.float32), "1 of 3 elements are wrong"),
        ("output_0", np.array([2, np.nan, np.inf]), "float32[3] came, float64[3] was expected"),
        ("output_0", np.zeros(2, np.float32), "float32[3] came, float32[2] was expected"),
        ("input_0", np.zeros(2, np.float32), "input 'x'"),
        ("input_0", np.array([2, np.nan, np.inf], np.float32), "1 of 3 elements are wrong"),
    ],
)
def test_what_is_wrong_is_said(moka, case, name, value, part):
    change(case, name, value)
    assert part in moka("test", case, code=1).stdout


def test_tolerances(moka, case):
    change(case, "output_0", np.array([2.1, np.nan, np.inf], np.float32))
    assert "1 of 1 passed" in moka("test", case, "--rtol", "0.1").stdout
    assert "1 of 1 passed" in moka("test", case, "--atol", "0.2", "--no-optimize", "--threads", "1").stdout
    (case / "test_data_set_0" / "output_1.pb").unlink()
    assert "string[2] came, none was expected" in moka("test", case, "--rtol", "0.1", code=1).stdout


def test_wrong_folders(moka, case, tmp_path):
    (case.parent / "loop").symlink_to(case.parent)
    assert moka("test", case.parent).stdout == "1 of 1 passed\n"
    assert "is no folder" in moka("test", case / "model.onnx", code=2).stderr
    (tmp_path / "empty").mkdir()
    assert "there is no folder with model.onnx" in moka("test", tmp_path / "empty", code=2).stderr
    shutil.rmtree(case / "test_data_set_0")
    assert "no folder test_data_set_0" in moka("test", case, code=1).stdout
