"""The predictor on what ONNX's test data hold: files of tensors, sequences, optionals and strings."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_suite import Case, all_cases, read

PROGRAM = Path(os.environ.get("MOKA_BUILD", "")) / "bin" / "moka"
pytestmark = pytest.mark.skipif(not PROGRAM.is_file(), reason="needs the native program")


def write(path: Path, value: Any, kind: onnx.TypeProto) -> None:
    if isinstance(value, (onnx.TensorProto, onnx.SequenceProto, onnx.OptionalProto)):
        message = value
    elif kind.HasField("sequence_type"):
        message = numpy_helper.from_list(value)
    elif kind.HasField("optional_type"):
        message = numpy_helper.from_optional(value)
    else:
        message = numpy_helper.from_array(np.asarray(value))
    path.write_bytes(message.SerializeToString())


def equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            equal(a, b)
        return
    if isinstance(wanted, onnx.TensorProto):
        wanted = numpy_helper.to_array(wanted)
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype
    if wanted.dtype.name == "bfloat16":  # NumPy does not take its nan for equal
        found, wanted = found.astype(np.float32), wanted.astype(np.float32)
    np.testing.assert_array_equal(found, wanted)


CASES = """
test_sequence_insert_at_front test_sequence_map_extract_shapes test_identity_sequence test_identity_opt
test_if_opt test_optional_has_element_empty_optional_input test_split_to_sequence_1
test_strnormalizer_export_monday_casesensintive_lower test_string_concat test_cast_FLOAT_to_STRING
test_cast_FLOAT_to_BFLOAT16 test_cast_BFLOAT16_to_FLOAT test_castlike_STRING_to_FLOAT
test_cast_FLOAT_to_UINT4 test_optional_get_element_sequence
"""


@functools.cache
def cases() -> dict[str, Case]:
    wanted = "|".join(CASES.split())
    return {case.name: case for case in all_cases(f"^({wanted})$")}


@pytest.mark.parametrize("name", CASES.split())
def test_the_program_alone_runs_a_case_of_the_suite(name: str, tmp_path: Path) -> None:
    if name not in cases():
        pytest.skip("this version of the suite has no such case")
    case = cases()[name]
    model = case.model()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    inputs, outputs = case.data_sets(model)[0]
    words = [str(PROGRAM), "run", str(tmp_path / "m.onnx")]
    for i, (value, info) in enumerate(zip(inputs, model.graph.input, strict=True)):
        write(tmp_path / f"i{i}.pb", value, info.type)
        words += ["-i", str(tmp_path / f"i{i}.pb")]
    for i in range(len(outputs)):
        words += ["-o", str(tmp_path / f"o{i}.pb")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for i, (wanted, info) in enumerate(zip(outputs, model.graph.output, strict=True)):
        equal(read(tmp_path / f"o{i}.pb", info.type), wanted)


def test_a_list_does_not_fit_in_an_array_file(tmp_path: Path) -> None:
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["s"])
    kind = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, [2])], [kind])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.zeros(2, np.float32))
    words = [str(PROGRAM), "run", str(tmp_path / "m.onnx"), "-i", str(tmp_path / "x.npy")]
    done = subprocess.run([*words, "-o", str(tmp_path / "s.npy")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "list of 2 tensors" in done.stderr
    assert "s=FILE.pb" in done.stderr
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "s: list of 2 tensors" in done.stdout
