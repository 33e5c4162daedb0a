"""ONNX models in other opsets, older and newer."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import make_model, one_node
from test_onnx import network

from moka import _C


def opset_of(model: onnx.ModelProto) -> int:
    (found,) = (o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return found


def converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model in that opset, checked."""
    out = onnx.load_from_string(moka.onnx.convert(model.SerializeToString(), opset=opset))
    onnx.checker.check_model(out, full_check=True)
    assert opset_of(out) == opset
    return out


def close(a: onnx.ModelProto, b: onnx.ModelProto, *arrays: np.ndarray) -> None:
    for x, y in zip(moka.onnx.load(a).run(list(arrays)), moka.onnx.load(b).run(list(arrays)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("before", [7, 9, 11, 13, 18, 23, 28])
def test_a_network_goes_up_and_down(before: int) -> None:
    model = network(before, 2)
    shape = [d.dim_value or 2 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for after in (9, 10, 11, 12, 13, 14, 16, 18, 21, 23, 25, 28):
        close(model, converted(model, after), x)


FORMS = [  # what stands in another place, or means something else, since some opset
    ("Squeeze", [[2, 1, 3]], {}, {"axes": [1]}, 11),
    ("Unsqueeze", [[2, 3]], {}, {"axes": [0, 3]}, 11),
    ("ReduceMean", [[2, 3, 4]], {}, {"axes": [-1], "keepdims": 0}, 13),
    ("ReduceSum", [[2, 3, 4]], {}, {"axes": [1]}, 11),
    ("Clip", [[3, 4]], {}, {"min": -0.5, "max": 0.25}, 9),
    ("Pad", [[2, 3]], {}, {"pads": [0, 1, 2, 0], "value": 1.5}, 9),
    ("Slice", [[5, 6]], {}, {"starts": [1, 0], "ends": [4, -1], "axes": [0, 1]}, 9),
    ("Softmax", [[2, 3, 4]], {}, {"axis": 1}, 11),
    ("LogSoftmax", [[2, 3, 4]], {}, {"axis": 2}, 11),
    ("Upsample", [[1, 2, 3, 3]], {"s": np.array([1, 1, 2, 2], np.float32)}, {"mode": "nearest"}, 9),
    ("ReduceMax", [[2, 3]], {"a": np.array([1])}, {}, 18),
    ("Squeeze", [[2, 1]], {"a": np.array([1])}, {}, 13),
    ("LayerNormalization", [[2, 4]], {"w": np.arange(4, dtype=np.float32)}, {}, 17),
    ("Gelu", [[2, 4]], {}, {"approximate": "tanh"}, 20),
    ("Mish", [[5]], {}, {}, 18),
    ("HardSwish", [[5]], {}, {}, 14),
    ("Resize", [[1, 1, 2, 3]], {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 2, 2], np.float32)},
     {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, 11),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "shapes", "constants", "attributes", "before"), FORMS, ids=[f"{row[0]}-{row[4]}" for row in FORMS]
)
def test_a_form_changes(op: str, shapes: Any, constants: Any, attributes: Any, before: int) -> None:
    model = one_node(op, shapes, before if before in (9, 11, 13, 18, 20) else 18, constants, **attributes)
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    for after in (11, 13, 17, 18, 21, 28):
        close(model, converted(model, after), *arrays)


def test_what_means_the_same_stays_as_it_is() -> None:
    model = network(13, 2)
    model.graph.node[0].doc_string = "first"
    model.metadata_props.add(key="author", value="somebody")
    out = converted(model, 18)
    assert [n.name for n in out.graph.node if n.op_type == "Conv"] == [
        n.name for n in model.graph.node if n.op_type == "Conv"
    ]
    assert out.graph.node[0] == model.graph.node[0]
    assert list(out.graph.initializer)[: len(model.graph.initializer)] == list(model.graph.initializer)
    assert list(out.metadata_props) == list(model.metadata_props)


def test_branches_and_functions_are_converted() -> None:
    def branch(name: str, axis: int) -> onnx.GraphProto:
        node = helper.make_node("Unsqueeze", ["x"], [name], axes=[axis])
        return helper.make_graph([node], name, [], [helper.make_empty_tensor_value_info(name)])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("a", 0), else_branch=branch("b", 0))
    call = helper.make_node("twice", ["y"], ["z"], domain="own")
    infos = [
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        *(helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xz"),
    ]
    body = [helper.make_node("Squeeze", ["v"], ["s"], axes=[0]), helper.make_node("Add", ["s", "s"], ["w"])]
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid("own", 1)]
    twice = helper.make_function("own", "twice", ["v"], ["w"], body, opsets[:1])
    graph = helper.make_graph([node, call], "g", infos[:2], infos[2:])
    model = helper.make_model(graph, functions=[twice], opset_imports=opsets, ir_version=8)
    out = converted(model, 18)
    x = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(moka.onnx.load(out).run({"c": np.array(True), "x": x})[0], 2 * x)
    assert not any(a.name == "axes" for n in out.functions[0].node for a in n.attribute)


def test_what_an_opset_cannot_say_is_named() -> None:
    model = one_node("GridSample", [[1, 1, 2, 2], [1, 2, 2, 2]], 18)
    with pytest.raises(NotImplementedError, match="GridSample"):
        moka.onnx.convert(model, opset=13)
    low = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    small = make_model([low], {"x": [2]}, ["y"], opset=20)
    with pytest.raises(NotImplementedError, match="before opset 19"):
        moka.onnx.convert(small, opset=18)
    for opset in (8, 29):
        with pytest.raises(ValueError, match="choose one from 9 to 28"):
            moka.onnx.convert(model, opset=opset)
    with pytest.raises(TypeError, match="path or the bytes"):
        moka.onnx.convert(3, opset=13)  # type: ignore[arg-type]


def test_tensors_beside_the_model_go_beside_the_result(tmp_path: Path) -> None:
    model = network(11, 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    source, target = tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"
    whole = model.SerializeToString()
    onnx.save(model, source, save_as_external_data=True, location="w.bin", size_threshold=0)
    moka.onnx.convert(source, target, opset=18)
    (tmp_path / "a" / "w.bin").unlink()
    assert (tmp_path / "b" / "m.onnx.data").exists()
    shape = [d.dim_value or 2 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(
        moka.onnx.load(target).run([x])[0], moka.onnx.load(whole).run([x])[0], rtol=1e-5, atol=1e-6
    )


def quantized(per_channel: bool) -> onnx.ModelProto:
    """x quantized, a convolution of int8 weights, quantized again."""
    rng = np.random.default_rng(0)
    scale = rng.random(4).astype(np.float32) * 0.1 if per_channel else np.float32(0.05)
    point = np.zeros(4, np.int8) if per_channel else np.int8(0)
    constants = {
        "xs": np.float32(0.02), "xp": np.uint8(120), "w": rng.integers(-90, 90, (4, 3, 3, 3)).astype(np.int8),
        "ws": scale, "wp": point, "ys": np.float32(0.5), "yp": np.uint8(100),
    }  # fmt: skip
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xp"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xp"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wp"], ["wf"], **axis),
        helper.make_node("Conv", ["xf", "wf"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "ys", "yp"], ["y"]),
    ]
    return make_model(nodes, {"x": ["n", 3, 6, 6]}, ["y"], constants, opset=13)


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantized_graphs_are_written_as_pairs(per_channel: bool) -> None:
    model = quantized(per_channel)
    graph = moka.onnx.load(model)
    x = np.random.default_rng(1).standard_normal((2, 3, 6, 6)).astype(np.float32)
    for opset in (13, 18, 21):
        out = onnx.load_from_string(moka.onnx.export(graph, opset_version=opset))
        onnx.checker.check_model(out, full_check=True)
        ops = [n.op_type for n in out.graph.node]
        assert ops.count("QuantizeLinear") == 2
        assert ops.count("DequantizeLinear") >= 1
        np.testing.assert_array_equal(moka.onnx.load(out).run([x])[0], graph.run([x])[0])


def test_arithmetic_that_quantizes_is_written_as_a_pair() -> None:
    def program(x: Any) -> Any:
        q = (x / 0.1).round().add(3).clamp(-128, 127).to(_C.int8)
        return (q.to(_C.float32) - 3) * 0.1

    x = np.linspace(-20, 20, 41, dtype=np.float32)
    out = onnx.load_from_string(moka.onnx.export(program, (_C.from_numpy(x),), opset_version=18))
    assert [n.op_type for n in out.graph.node] == ["QuantizeLinear", "DequantizeLinear"]
    np.testing.assert_array_equal(moka.onnx.load(out).run([x])[0], program(_C.from_numpy(x)).numpy())
    assert numpy_helper.to_array(out.graph.initializer[0]).shape == ()


def sequences(opset: int) -> onnx.ModelProto:
    """A loop that grows a list of tensors of several sizes, which is read afterwards."""
    body = helper.make_graph(
        [
            helper.make_node("Slice", ["x", "zero", "end"], ["part"]),
            helper.make_node("SequenceInsert", ["list", "part"], ["longer"]),
            helper.make_node("Add", ["end", "one"], ["next"]),
            helper.make_node("Identity", ["go"], ["again"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("end", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("longer", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("next", TensorProto.INT64, [1]),
        ],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["empty"], dtype=TensorProto.FLOAT),
        helper.make_node("Loop", ["turns", "", "empty", "one"], ["parts", "last"], body=body),
        helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0),
        helper.make_node("SequenceLength", ["parts"], ["n"]),
        helper.make_node("SequenceAt", ["parts", "place"], ["second"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "turns": np.int64(3), "place": np.int64(1)}
    return make_model(nodes, {"x": [4]}, ["y", "n", "second"], constants, opset=opset)


def test_lists_of_tensors_are_written_as_sequences() -> None:
    graph = moka.onnx.load(sequences(13))
    x = np.arange(4, dtype=np.float32)
    for opset in (13, 18, 23):
        out = onnx.load_from_string(moka.onnx.export(graph, opset_version=opset))
        assert "Loop" in [n.op_type for n in out.graph.node]
        y, n, second = moka.onnx.load(out).run([x])
        assert y.tolist() == [0, 0, 1, 0, 1, 2]
        assert n == 3
        assert second.tolist() == [0, 1]
    with pytest.raises(NotImplementedError, match="loop"):
        moka.onnx.export(graph, opset_version=11)
