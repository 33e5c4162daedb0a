"""Models as users of onnx.backend, onnx.reference and onnxruntime call them; functions with overloads."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import moka.onnx
import moka.onnx.backend as backend
import numpy as np
import onnx
import pytest
from moka.onnx import difference
from onnx import TensorProto, helper
from small_models import make_model, one_node

X = np.array([[1, -2, 3]], np.float32)


def test_a_model_is_loaded_from_whatever_holds_it(tmp_path: Path) -> None:
    model = one_node("Relu", [[1, 3]])
    data = model.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with path.open("rb") as file:
        held = (model, data, bytearray(data), memoryview(data), path, str(path), file, io.BytesIO(data))
        for source in held:
            np.testing.assert_array_equal(moka.onnx.load(source).run([X])[0], np.maximum(X, 0))
    with pytest.raises(TypeError, match="mode 'rb'"):
        moka.onnx.load(io.StringIO("x"))
    with pytest.raises(TypeError, match="int came"):
        moka.onnx.load(3)


def test_names_of_outputs_may_come_first() -> None:
    model = moka.onnx.load(one_node("Relu", [[1, 3]]))
    for outputs in (None, ["y0"], "y0"):
        np.testing.assert_array_equal(model.run(outputs, {"x0": X})[0], np.maximum(X, 0))
    with pytest.raises(TypeError, match="twice"):
        model.run(["y0"], {"x0": X}, outputs=["y0"])
    with pytest.raises(ValueError, match="no output or value 'z'"):
        model.run(["z"], {"x0": X})


def test_the_backend_takes_models_in_every_form(tmp_path: Path) -> None:
    model = one_node("Relu", [[1, 3]])
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    for source in (model, model.SerializeToString(), path, str(path)):
        assert backend.MokaBackend.is_compatible(source)
        for given in ([X], (X,), X, {"x0": X}):
            np.testing.assert_array_equal(backend.prepare(source, "CPU:0").run(given)[0], np.maximum(X, 0))
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    with pytest.raises(RuntimeError, match="CUDA"):
        backend.prepare(model, "CUDA")
    assert not backend.MokaBackend.is_compatible(one_node("Relu", [[1]]), "CUDA")


NODES: list[tuple[Any, Any, Any, dict[str, int]]] = [
    (helper.make_node("Add", ["x", "x"], ["y"]), [X], 2 * X, {}),
    (helper.make_node("Clip", ["x", "", "hi"], ["y"]), [X, np.float32(1)], np.minimum(X, 1), {}),
    (helper.make_node("Clip", ["x", "", "hi"], ["y"]), [X, None, np.float32(1)], np.minimum(X, 1), {}),
    (helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), [X], X[0], {"opset_version": 11}),
    (helper.make_node("SequenceAt", ["s", "i"], ["y"]), [[X, 2 * X], np.int64(1)], 2 * X, {}),
    (
        helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="UPPER"),
        [np.array(["a", "b"])], np.array(["A", "B"], object), {},
    ),
    (
        helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.0),
        [X], (X > 0).astype(np.float32), {},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("node", "inputs", "expected", "further"), NODES)
def test_one_node_runs(node: Any, inputs: Any, expected: Any, further: dict[str, int]) -> None:
    names = {name: None for name in node.input if name}
    given = [v for v in inputs if v is not None]
    if len(names) == len(given):
        named = dict(zip(names, given, strict=True))
        np.testing.assert_array_equal(backend.run_node(node, named, **further)[0], expected)
    listed = [X, X] if node.op_type == "Add" else inputs
    np.testing.assert_array_equal(backend.run_node(node, listed, **further)[0], expected)


def test_a_node_with_too_few_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="reads 2 inputs, 1 came"):
        backend.run_node(helper.make_node("Add", ["x", "y"], ["z"]), [X])


def function(overload: str, op: str) -> onnx.FunctionProto:
    node = helper.make_node(op, ["a", "a"], ["b"])
    out = helper.make_function("own", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 18)])
    out.overload = overload
    return out


def test_functions_with_overloads() -> None:
    nodes = [
        helper.make_node("f", ["x"], [name], domain="own", overload=overload)
        for name, overload in (("y", "sum"), ("z", "product"))
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xyz"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos[:1], infos[1:]),
        functions=[function("sum", "Add"), function("product", "Mul")],
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
    )
    y, z = moka.onnx.load(model).run([X])
    np.testing.assert_array_equal(y, X + X)
    np.testing.assert_array_equal(z, X * X)
    model.graph.node[0].overload = "quotient"
    with pytest.raises(NotImplementedError, match="own.f"):
        moka.onnx.load(model)
    model.functions.append(function("sum", "Sub"))
    with pytest.raises(ValueError, match="defined twice"):
        moka.onnx.load(model)


def test_sequences_of_numbers() -> None:
    """Elements without dimensions."""
    nodes = [
        helper.make_node("SequenceConstruct", ["a", "b"], ["s"]),
        helper.make_node("SequenceInsert", ["s", "a", "first"], ["t"]),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=0, new_axis=1),
        helper.make_node("SequenceLength", ["t"], ["n"]),
        helper.make_node("SequenceErase", ["t", "first"], ["u"]),
    ]
    inputs: dict[str, list[int | str]] = {"a": [], "b": []}
    model = make_model(nodes, inputs, ["y", "n", "u"], {"first": np.int64(0)})
    loaded = moka.onnx.load(model)
    y, n, u = loaded.run([np.float32(1), np.float32(2)])
    assert y.tolist() == [1, 1, 2]
    assert n == 3
    assert [v.shape for v in u] == [(), ()]
    assert [v.item() for v in u] == [1, 2]


def test_sizes_of_joined_parts_are_known_from_one_of_them() -> None:
    """Indices made of a part with a known number of rows and one with an unknown one."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Slice", ["places", "one", "two", "zero"], ["row"]),
        helper.make_node("Transpose", ["row"], ["column"]),
        helper.make_node("Concat", ["known", "column"], ["indices"], axis=1),
        helper.make_node("ScatterND", ["zeros", "indices", "updates"], ["y"]),
    ]
    constants = {
        "one": np.array([1]), "two": np.array([2]), "zero": np.array([0]), "known": np.array([[0], [1], [2]]),
        "zeros": np.zeros((3, 4), np.float32), "updates": np.array([1, 2, 3], np.float32),
    }  # fmt: skip
    model = moka.onnx.load(make_model(nodes, {"x": [2, 4]}, ["y"], constants))
    x = np.array([[0, 1, 0, 0], [1, 0, 0, 1]], np.float32)
    expected = np.zeros((3, 4), np.float32)
    expected[[0, 1, 2], [1, 0, 3]] = 1, 2, 3
    np.testing.assert_array_equal(model.run([x])[0], expected)


def test_a_region_of_unknown_rank_is_cropped() -> None:
    model = one_node(
        "Resize", [[1, 1, 4, 4], [8]], 18, {"s": np.zeros(0, np.float32), "n": np.array([1, 1, 3, 3])},
        mode="linear", coordinate_transformation_mode="tf_crop_and_resize",
    )  # fmt: skip
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    region = np.array([0, 0, 0.4, 0.6, 1, 1, 0.6, 0.8], np.float32)
    wanted = moka.onnx.load(model).run([image, region])[0]
    model.graph.input[1].type.tensor_type.ClearField("shape")
    np.testing.assert_array_equal(moka.onnx.load(model).run([image, region])[0], wanted)


@pytest.mark.parametrize("key", [[3, 6, 8], [2, 0, 6, 8], [2, 2, 6, 8]])
def test_keys_that_do_not_fit_the_queries_are_refused(key: list[int]) -> None:
    mask: list[int] = [4, 6]
    with pytest.raises((ValueError, RuntimeError), match="heads|dimensions"):
        moka.onnx.load(one_node("Attention", [[2, 3, 4, 8], key, [2, 3, 6, 8], mask], 24))


def test_differences_of_models_with_odd_inputs(tmp_path: Path, capsys: Any) -> None:
    a, b, text = (str(tmp_path / f"{name}.onnx") for name in "abt")
    onnx.save(one_node("Relu", [["n", 3]]), a)
    onnx.save(one_node("Abs", [["n", 3]]), b)
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER")
    onnx.save(make_model([node], {"x": [2]}, ["y"], dtypes={"x": TensorProto.STRING}), text)
    np.save(tmp_path / "x.npy", np.array([[1, np.inf, -np.inf]], np.float32))
    given = ["-i", f"x0={tmp_path / 'x.npy'}"]
    assert difference.main([a, a, *given]) == 0
    assert difference.main([a, b, "--json", *given]) == 1
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["outputs"][0]["absolute"] is None
    for words, said in (
        ([a, b, "-i", f"z={tmp_path / 'x.npy'}"], "no input 'z'"),
        ([a, b, *given, *given], "2 inputs were given"),
        ([text, text], "of strings"),
        ([a, str(tmp_path / "none.onnx")], "none.onnx"),
        ([a, b, "-i", str(tmp_path / "none.npy")], "none.npy"),
    ):
        assert difference.main(words) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", "FLOAT16 BFLOAT16 INT4 UINT4 FLOAT8E4M3FN COMPLEX64 BOOL".split())
def test_random_inputs_have_the_declared_type(kind: str) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    code = getattr(TensorProto, kind)
    model = moka.onnx.load(make_model([node], {"x": ["n", 3]}, ["y"], opset=21, dtypes={"x": code}))
    (array,) = difference.random_inputs(model, size=4).values()
    assert array.shape == (4, 3)
    assert helper.np_dtype_to_tensor_dtype(array.dtype) == code
    np.testing.assert_array_equal(model.run([array])[0], array)
