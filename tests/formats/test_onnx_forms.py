"""ONNX: sizes known only when running, sequences, loops over steps, regions, narrow types and errors, against
onnx.reference."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import ml_dtypes
import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(11)
F, I = TensorProto.FLOAT, TensorProto.INT64


def model_of(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[str],
    constants: dict[str, Any] | None = None,
    opset: int = 20,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def check(model: Any, *feeds: dict[str, Any], rtol: float = 1e-4, atol: float = 1e-5) -> None:
    loaded = moka.onnx.load(model.SerializeToString())
    for feed in feeds:
        for found, wanted in zip(loaded.run(feed), ReferenceEvaluator(model).run(None, feed), strict=True):
            assert found.dtype == wanted.dtype and found.shape == wanted.shape
            np.testing.assert_allclose(
                found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol
            )


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("lengths", [False, True])
def test_recurrent_networks_with_open_sizes(kind: str, lengths: bool) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    constants = {"w": floats(1, gates * 4, 3), "r": floats(1, gates * 4, 4), "b": floats(1, gates * 8)}
    names = ["x", "w", "r", "b", "n"] if lengths else ["x", "w", "r", "b"]
    node = helper.make_node(kind, names, ["y", "h"], hidden_size=4)
    inputs = [("x", F, ["t", "b", 3])] + ([("n", TensorProto.INT32, ["b"])] if lengths else [])
    model = model_of([node], inputs, ["y", "h"], constants)
    if not lengths:
        check(model, {"x": floats(5, 2, 3)}, {"x": floats(3, 4, 3)})
        return
    x, loaded = floats(5, 2, 3), moka.onnx.load(model.SerializeToString())
    y, h = loaded.run({"x": x, "n": np.array([5, 2], np.int32)})
    short = loaded.run({"x": x[:2, 1:], "n": np.array([2], np.int32)})
    np.testing.assert_allclose(h[:, 1:], short[1], rtol=1e-5, atol=1e-6)
    assert not y[2:, :, 1].any()


def test_shapes_that_are_computed() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Gather", ["s", "one"], ["m"]),
        helper.make_node("Mul", ["m", "two"], ["m2"]),
        helper.make_node("Concat", ["n", "m2", "minus"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
        helper.make_node("Range", ["start", "limit", "step"], ["r"]),
        helper.make_node("Squeeze", ["n"], ["limit"]),
        helper.make_node("Trilu", ["x"], ["t"], upper=0),
        helper.make_node("Slice", ["x", "minus", "far", "one", "minus"], ["back"]),
    ]
    nodes = [nodes[i] for i in (0, 1, 2, 3, 4, 5, 7, 6, 8, 9)]
    constants: dict[str, Any] = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "minus": np.array([-1]),
        "start": np.array(0),
        "step": np.array(1),
        "far": np.array([-1000]),
    }
    model = model_of(nodes, [("x", F, ["a", "b", 4])], ["y", "r", "t", "back"], constants)
    check(model, {"x": floats(2, 3, 4)}, {"x": floats(3, 1, 4)})


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("place", ["half_pixel", "asymmetric", "align_corners"])
def test_resize_to_sizes_that_are_computed(mode: str, place: str) -> None:
    node = helper.make_node(
        "Resize", ["x", "", "", "size"], ["y"], mode=mode, coordinate_transformation_mode=place
    )
    model = model_of([node], [("x", F, ["n", 2, "h", "w"]), ("size", I, [4])], ["y"], opset=19)
    check(
        model,
        {"x": floats(1, 2, 3, 4), "size": np.array([1, 2, 5, 6])},
        {"x": floats(2, 2, 6, 5), "size": np.array([2, 2, 3, 4])},
    )


def test_sequences_and_scans() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [helper.make_tensor_value_info(name, F, [3]) for name in "ab"],
        [helper.make_tensor_value_info(name, F, [3]) for name in "cd"],
    )
    nodes = [
        helper.make_node("Scan", ["start", "x"], ["last", "all"], body=body, num_scan_inputs=1),
        helper.make_node("SplitToSequence", ["all"], ["parts"], axis=0),
        helper.make_node("SequenceInsert", ["parts", "tail", "at"], ["more"]),
        helper.make_node("SequenceErase", ["more", "last_at"], ["less"]),
        helper.make_node("ConcatFromSequence", ["less"], ["joined"], axis=0),
        helper.make_node("SequenceLength", ["more"], ["count"]),
    ]
    constants = {
        "start": np.zeros(3, np.float32),
        "tail": floats(1, 3),
        "at": np.array(1),
        "last_at": np.array(-1),
    }
    model = model_of(nodes, [("x", F, ["n", 3])], ["last", "joined", "count"], constants)
    check(model, {"x": floats(4, 3)}, {"x": floats(2, 3)})


def test_boxes_and_regions() -> None:
    corner = RNG.random((1, 30, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + 0.2], 2)
    nodes = [
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "limit", "least"], ["kept"]),
        helper.make_node(
            "RoiAlign", ["image", "rois", "which"], ["y"], output_height=2, output_width=3, spatial_scale=8.0
        ),
    ]
    constants = {
        "most": np.array([5]),
        "limit": np.array([0.3], np.float32),
        "least": np.array([0.2], np.float32),
    }
    inputs = [
        ("boxes", F, [1, "n", 4]),
        ("scores", F, [1, 2, "n"]),
        ("image", F, [2, 3, 8, 8]),
        ("rois", F, ["k", 4]),
        ("which", I, ["k"]),
    ]
    model = model_of(nodes, inputs, ["kept", "y"], constants)
    feed = {
        "boxes": boxes,
        "scores": RNG.random((1, 2, 30)).astype(np.float32),
        "image": floats(2, 3, 8, 8),
        "rois": boxes[0, :4],
        "which": np.array([0, 1, 1, 0]),
    }
    check(model, feed)


@pytest.mark.parametrize(
    "name",
    ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float4_e2m1fn", "int4", "uint2"],
)
def test_casts_to_narrow_types_and_back(name: str) -> None:
    wide = np.array([0, 0.3, -0.7, 1, 1.5, -2, 3, 0.01, 448, -448], np.float32)
    if "int" in name:
        wide = np.array([0, 1, 2, 3], np.float32)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(getattr(ml_dtypes, name)))
    nodes = [helper.make_node("Cast", ["x"], ["n"], to=code), helper.make_node("Cast", ["n"], ["y"], to=F)]
    (found,) = moka.onnx.load(model_of(nodes, [("x", F, ["n"])], ["y"], opset=25).SerializeToString()).run(
        {"x": wide}
    )
    narrow = getattr(ml_dtypes, name)
    finite = (
        np.clip(wide, float(ml_dtypes.finfo(narrow).min), float(ml_dtypes.finfo(narrow).max))
        if "float" in name
        else wide
    )
    np.testing.assert_array_equal(found, finite.astype(narrow).astype(np.float32))


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            [helper.make_node("Add", ["x", "ghost"], ["y"], "sum")],
            "'ghost' is used, but no input, initializer or node",
        ),
        (
            [helper.make_node("Neg", ["y"], ["z"], "a"), helper.make_node("Neg", ["z"], ["y"], "b")],
            "'y' is used before Neg 'b'",
        ),
        ([helper.make_node("Foo", ["x"], ["y"], "what")], "operator Foo is not known"),
    ],
)
def test_errors_of_broken_models(nodes: list[Any], text: str) -> None:
    with pytest.raises((NotImplementedError, OSError, RuntimeError, ValueError)) as error:
        moka.onnx.load(model_of(nodes, [("x", F, [2])], ["y"]).SerializeToString())
    assert text in str(error.value) and f"'{nodes[0].name}'" in str(error.value)


def test_a_small_file_that_doubles_tensors_stays_small() -> None:
    nodes = [helper.make_node("Concat", [f"y{i}", f"y{i}"], [f"y{i + 1}"], axis=0) for i in range(40)]
    model = model_of(nodes, [], ["y40"], {"y0": np.ones(64, np.float32)})
    graph = moka.onnx.load(model.SerializeToString())._executable.graph
    held = [int(np.prod(shape or [1])) for shape in _shapes_of_constants(graph)]
    assert sum(held) < 2**22


def _shapes_of_constants(graph: Any) -> list[list[int]]:
    import re

    texts = re.findall(r"= constant float32\[([\d, ]*)\]", str(graph))
    return [[int(size) for size in text.split(",") if size.strip()] for text in texts]


def test_neighbours_as_tensorflow_counts_them() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
    )
    model = model_of([node], [("x", F, [1, 1, 3, 4])], ["y"], {"sizes": np.array([1, 1, 2, 3])}, 11)
    (found,) = moka.onnx.load(model.SerializeToString()).run([x])
    rows, columns = np.int64((np.arange(2) + 0.5) * 3 / 2), np.int64((np.arange(3) + 0.5) * 4 / 3)
    np.testing.assert_array_equal(found[0, 0], x[0, 0][rows][:, columns])


def test_an_open_size_that_is_copied_stays_open() -> None:
    """Reshape to [0, 1] of a vector whose length is not known before the run."""
    nodes = [
        helper.make_node("Reshape", ["x", "column"], ["y"]),
        helper.make_node("Mul", ["y", "row"], ["z"]),
        helper.make_node("Reshape", ["z", "all"], ["flat"]),
        helper.make_node("Slice", ["flat", "begin", "end"], ["out"]),
    ]
    constants = {"column": [0, 1], "all": [-1], "begin": [2], "end": [8]}
    tensors = [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([[1, 2, 3]], np.float32), "row"))
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    result = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    file = helper.make_model(helper.make_graph(nodes, "g", given, result, tensors))
    x = np.arange(5, dtype=np.float32)
    found = moka.onnx.load(file.SerializeToString()).run([x])[0]
    np.testing.assert_array_equal(found, (x[:, None] * [1, 2, 3]).ravel()[2:8])
