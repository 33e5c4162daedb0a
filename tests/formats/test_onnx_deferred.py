"""ONNX models that say too little of their inputs: the graph is made for the inputs of a run."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from test_onnx_forms import F, I, floats, model_of

PROGRAM = Path(os.environ.get("MOKA_BUILD", "")) / "bin" / "moka"
node = helper.make_node


def without_ranks(op: str = "Transpose") -> Any:
    nodes = [node(op, ["x"], ["t"]), node("Relu", ["t"], ["y"])]
    return model_of(nodes, [("x", F, None)], ["y"])


def test_a_model_without_ranks_runs_with_inputs_of_any() -> None:
    model = moka.onnx.load(without_ranks().SerializeToString())
    assert model.input_names == ["x"] and model.inputs == {"x": "float32[...]"}
    for shape in ((2, 3), (2, 3, 4), (5, 3)):
        x = floats(*shape)
        np.testing.assert_array_equal(model.run([x])[0], np.maximum(x.T, 0))
        np.testing.assert_array_equal(model.run([x], outputs=["t"])[0], x.T)
    with pytest.raises(RuntimeError, match="must be float32"):
        model.run([np.arange(3)])


def test_what_waits_says_so() -> None:
    model = moka.onnx.load(model_of([node("Slice", ["x", "s", "e"], ["y"])],
                                    [("x", F, ["n", 4]), ("s", I, ["k"]), ("e", I, ["k"])], ["y"])
                           .SerializeToString())  # fmt: skip
    with pytest.raises(NotImplementedError, match="once the model has run"):
        str(model.graph)
    assert "waiting" in repr(model)
    x = floats(3, 4)
    for starts, ends in (([1], [3]), ([0, 2], [2, 4])):
        wanted = x[tuple(slice(a, b) for a, b in zip(starts, ends, strict=True))]
        np.testing.assert_array_equal(model.run([x, np.array(starts), np.array(ends)])[0], wanted)
    with pytest.raises(NotImplementedError, match="Trnspose"):
        moka.onnx.load(without_ranks("Trnspose").SerializeToString())


@pytest.mark.parametrize("op", ["Gather", "Expand", "MatMul", "Concat", "Conv"])
def test_ranks_are_those_of_the_run(op: str) -> None:
    attributes = {"axis": 0} if op in ("Gather", "Concat") else {}
    second = {"Gather": np.array([[1, 0]]), "Expand": np.array([2, 3, 1])}.get(op, floats(1, 3, 2, 2))
    x = {"Expand": floats(3, 1), "Gather": floats(3, 2)}.get(op, floats(1, 3, 2, 2))
    model = model_of(
        [node(op, ["x", "w"], ["y"], **attributes)],
        [("x", F, None), ("w", F if second.dtype == np.float32 else I, None)],
        ["y"],
    )
    feed = {"x": x, "w": second}
    found = moka.onnx.load(model.SerializeToString()).run(feed)[0]
    np.testing.assert_allclose(found, ReferenceEvaluator(model).run(None, feed)[0], 1e-4, 1e-5)


def two_of_one_name() -> Any:
    nodes = [node("ReduceSum", ["a"], ["s"]), node("Mul", ["b", "s"], ["y"])]
    return model_of(nodes, [("a", F, ["n"]), ("b", F, ["n"])], ["y"])


def test_one_name_may_stand_for_two_sizes(tmp_path: Path) -> None:
    path, a, b = tmp_path / "m.onnx", floats(3), floats(5)
    path.write_bytes(two_of_one_name().SerializeToString())
    for source in (path, path.read_bytes()):
        model = moka.onnx.load(source)
        for left, right in ((a, b), (a, a), (b, a)):
            np.testing.assert_allclose(model.run([left, right])[0], right * left.sum(), 1e-5)
            np.testing.assert_allclose(model(moka.tensor(left), moka.tensor(right)), right * left.sum(), 1e-5)
        with pytest.raises(RuntimeError, match=r"must be float32\[n\], got float32\[1, 3\]"):
            model.run([a, a[None]])


@pytest.mark.skipif(not PROGRAM.is_file(), reason="needs the native program")
@pytest.mark.parametrize("name", ["ranks", "names"])
def test_the_program_reads_for_its_inputs(name: str, tmp_path: Path) -> None:
    model = without_ranks() if name == "ranks" else two_of_one_name()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    feeds = [floats(2, 3)] if name == "ranks" else [floats(3), floats(5)]
    command = [str(PROGRAM), "run", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "y.npy")]
    for i, value in enumerate(feeds):
        np.save(tmp_path / f"{i}.npy", value)
        command += ["-i", str(tmp_path / f"{i}.npy")]
    subprocess.run(command, check=True, capture_output=True)
    wanted = ReferenceEvaluator(model).run(None, dict(zip("xab" if name == "ranks" else "ab", feeds)))[0]  # noqa: B905
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, 1e-5)


def test_quantized_products_of_open_sizes_have_types() -> None:
    def quantized(name: str, *inputs: str, output: str) -> Any:
        return node(name, list(inputs), [output])

    nodes = [
        quantized("QuantizeLinear", "x", "s", "z", output="q"),
        node("Reshape", ["q", "shape"], ["r"]),
        quantized("QLinearMatMul", "r", "s", "z", "w", "s", "z", "s", "z", output="p"),
        quantized("QLinearMatMul", "p", "s", "z", "w", "s", "z", "s", "z", output="o"),
        quantized("DequantizeLinear", "o", "s", "z", output="y"),
    ]
    constants = {
        "s": np.float32(0.05),
        "z": np.uint8(100),
        "w": np.random.default_rng(3).integers(60, 140, (4, 4), dtype=np.uint8),
    }
    model = model_of(nodes, [("x", F, ["n", "k"]), ("shape", I, [3])], ["y"], constants, opset=19)
    feed = {"x": floats(3, 4), "shape": np.array([1, 3, 4])}
    found = moka.onnx.load(model.SerializeToString()).run(feed)[0]
    np.testing.assert_allclose(found, ReferenceEvaluator(model).run(None, feed)[0], atol=0.051)


def test_bits_of_bfloat16_come_as_uint16(tmp_path: Path) -> None:
    model = model_of([node("Cast", ["x"], ["y"], to=F)], [("x", TensorProto.BFLOAT16, [2])], ["y"])
    bits = np.array([0x3F80, 0xC040], np.uint16)
    loaded = moka.onnx.load(model.SerializeToString())
    assert loaded.run([bits])[0].tolist() == [1, -3]
    if PROGRAM.is_file():
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        (tmp_path / "x.pb").write_bytes(numpy_helper.from_array(bits).SerializeToString())
        command = [PROGRAM, "run", tmp_path / "m.onnx", "-i", tmp_path / "x.pb", "-o", tmp_path / "y.npy"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        assert np.load(tmp_path / "y.npy").tolist() == [1, -3]
