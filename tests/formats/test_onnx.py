"""ONNX: models of onnx.helper against onnx.reference or NumPy, exports against the checker, errors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import onnx
import onnx.version_converter
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from small_models import make_model, one_node

import moka

RNG = np.random.default_rng(7)


def arrays_for(model: onnx.ModelProto, batch: int = 3) -> dict[str, np.ndarray]:
    skip = {tensor.name for tensor in model.graph.initializer}
    out = {}
    for value in model.graph.input:
        if value.name in skip:
            continue
        shape = [d.dim_value if d.HasField("dim_value") else batch for d in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        values = RNG.standard_normal(shape) * 2
        out[value.name] = (values > 0) if dtype.kind == "b" else values.astype(dtype)
    return out


def check(model: onnx.ModelProto, rtol: float = 1e-4, atol: float = 1e-5, **given: Any) -> Any:
    """Moka and onnx.reference give the same; so does what Moka writes."""
    inputs = {**arrays_for(model), **given}
    expected = ReferenceEvaluator(model).run(None, inputs)
    loaded = moka.onnx.load(model.SerializeToString())
    for found, wanted in zip(loaded.run(inputs), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)
    return loaded


def check_written(
    loaded: Any, inputs: dict[str, np.ndarray], opset: int, atol: float = 1e-5
) -> onnx.ModelProto:
    """The export passes the full check and means the same in onnx.reference."""
    data = moka.onnx.export(loaded, opset=opset)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)  # onnxruntime refuses files in which two nodes share one
    expected = loaded.run(inputs)
    if opset < 14:  # see above
        model = onnx.version_converter.convert_version(model, 18)
    for found, wanted in zip(ReferenceEvaluator(model).run(None, inputs), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=atol)
    return model


def network(opset: int, batch: int | str = "batch") -> onnx.ModelProto:
    rng = np.random.default_rng(5)

    def w(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"], name="bn1"),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], name="conv2", strides=[2, 2], group=2),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], name="fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    weights = {
        "w1": w(4, 3, 3, 3),
        "b1": w(4),
        "scale": w(4),
        "shift": w(4),
        "mean": w(4),
        "var": np.abs(w(4)) + 0.5,
        "w2": w(6, 2, 3, 3),
        "w3": w(10, 6),
        "b3": w(10),
    }
    return make_model(nodes, {"image": [batch, 3, 12, 12]}, ["scores"], weights, opset)


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21, 24, 28])
def test_a_network_of_every_opset_gives_what_the_reference_gives(opset: int) -> None:
    # Before opset 14 onnx.reference normalizes with the statistics of the batch: it is asked in opset 18.
    model = network(opset)
    inputs = arrays_for(model)
    (expected,) = ReferenceEvaluator(network(18)).run(None, inputs)
    loaded = moka.onnx.load(model.SerializeToString())
    np.testing.assert_allclose(loaded.run(inputs)[0], expected, rtol=1e-4, atol=1e-5)
    assert loaded.input_names == ["image"]
    assert "w1" in loaded.graph.parameters
    assert "float32[batch, 3, 12, 12]" in loaded.graph.input_types[0]


@pytest.mark.parametrize("opset", [13, 15, 18, 21, 24, 26, 28])
def test_what_is_written_passes_the_checker_and_means_the_same(opset: int) -> None:
    model = network(18)
    loaded = moka.onnx.load(model.SerializeToString())
    written = check_written(loaded, arrays_for(model), opset)
    assert {t.name for t in written.graph.initializer} >= {"w1", "b1", "w3"}
    assert [o.name for o in written.graph.output] == ["scores"]
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_any_batch_runs() -> None:
    loaded = moka.onnx.load(network(18).SerializeToString())
    for batch in (1, 5, 2):
        (scores,) = loaded.run([np.zeros((batch, 3, 12, 12), np.float32)])
        assert scores.shape == (batch, 10)


ONE_NODE = [
    ("Add", [[2, 3], [3]], {}),
    ("Sub", [[2, 3], [2, 1]], {}),
    ("Mul", [[2, 3], [2, 3]], {}),
    ("Div", [[4], [1]], {}),
    ("Relu", [[2, 3]], {}),
    ("LeakyRelu", [[5]], {"alpha": 0.2}),
    ("Elu", [[5]], {"alpha": 1.5}),
    ("Tanh", [[5]], {}),
    ("Sigmoid", [[5]], {}),
    ("Selu", [[5]], {}),
    ("Celu", [[5]], {"alpha": 0.5}),
    ("HardSigmoid", [[5]], {}),
    ("HardSwish", [[5]], {}),
    ("Softplus", [[5]], {}),
    ("Softsign", [[5]], {}),
    ("ThresholdedRelu", [[5]], {}),
    ("Mish", [[5]], {}),
    ("Shrink", [[5]], {"lambd": 1.0, "bias": 0.5}),
    ("PRelu", [[2, 3], [3]], {}),
    ("Exp", [[4]], {}),
    ("Abs", [[4]], {}),
    ("Neg", [[4]], {}),
    ("Floor", [[4]], {}),
    ("Ceil", [[4]], {}),
    ("Round", [[4]], {}),
    ("Sign", [[4]], {}),
    ("Sin", [[4]], {}),
    ("Cos", [[4]], {}),
    ("Tan", [[4]], {}),
    ("Sinh", [[4]], {}),
    ("Cosh", [[4]], {}),
    ("Asinh", [[4]], {}),
    ("Erf", [[4]], {}),
    ("Reciprocal", [[4]], {}),
    ("Max", [[2, 3], [3], [1]], {}),
    ("Min", [[2, 3], [3]], {}),
    ("Sum", [[2, 3], [3], [1]], {}),
    ("Mean", [[3], [3]], {}),
    ("Softmax", [[2, 3, 4]], {"axis": 1}),
    ("LogSoftmax", [[2, 3]], {}),
    ("MatMul", [[2, 3, 4], [4, 5]], {}),
    ("Gemm", [[3, 2], [4, 3], [4]], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Transpose", [[2, 3, 4]], {"perm": [2, 0, 1]}),
    ("Transpose", [[2, 3, 4]], {}),
    ("Flatten", [[2, 3, 4]], {"axis": 2}),
    ("Concat", [[2, 3], [2, 1]], {"axis": 1}),
    ("Identity", [[3]], {}),
    ("Dropout", [[3]], {}),
    ("ReduceSum", [[2, 3]], {"keepdims": 0}),
    ("ReduceMean", [[2, 3]], {}),
    ("ReduceMax", [[2, 3]], {}),
    ("ReduceL2", [[2, 3]], {}),
    ("ReduceLogSumExp", [[2, 3]], {}),
    ("ReduceProd", [[2, 3]], {}),
    ("ArgMax", [[2, 3]], {"axis": 1}),
    ("ArgMin", [[2, 3]], {"axis": 0, "keepdims": 0}),
    ("AveragePool", [[1, 2, 7, 7]], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [[1, 2, 7]], {"kernel_shape": [3]}),
    ("GlobalMaxPool", [[1, 2, 3, 4]], {}),
    ("MaxPool", [[1, 2, 8, 8]], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("InstanceNormalization", [[2, 3, 4, 4], [3], [3]], {}),
    ("LayerNormalization", [[2, 3, 4], [4], [4]], {}),
    ("DepthToSpace", [[1, 8, 2, 3]], {"blocksize": 2}),
    ("SpaceToDepth", [[1, 2, 4, 6]], {"blocksize": 2}),
    ("Conv", [[1, 2, 9], [3, 2, 3]], {"pads": [1, 0]}),
    ("Shape", [[2, 3]], {}),
    ("Size", [[2, 3]], {}),
    ("Where", [[3], [3]], {}),
    ("LpNormalization", [[2, 3]], {"axis": 1, "p": 2}),
]


@pytest.mark.parametrize(
    ("op", "shapes", "attributes"), ONE_NODE, ids=lambda v: v if isinstance(v, str) else ""
)
def test_one_node(op: str, shapes: list, attributes: dict) -> None:
    if op == "Where":
        nodes = [
            helper.make_node("Less", ["x0", "x1"], ["c"]),
            helper.make_node("Where", ["c", "x0", "x1"], ["y0"]),
        ]
        model = make_model(nodes, {"x0": [3], "x1": [3]}, ["y0"])
    else:
        model = one_node(op, shapes, **attributes)
    loaded = check(model, rtol=1e-3, atol=1e-5)
    if op not in ("ArgMax", "ArgMin"):  # ties aside, they are written as themselves: tested below
        check_written(loaded, arrays_for(model), 18)


@pytest.mark.parametrize(
    ("op", "shape", "constants"),
    [
        ("Reshape", [2, 3, 4], {"shape": np.array([0, -1])}),
        ("Unsqueeze", [2, 3], {"axes": np.array([0, 3])}),
        ("Squeeze", [1, 3, 1], {"axes": np.array([0, -1])}),
        (
            "Slice",
            [5, 6],
            {"s": np.array([1, -1]), "e": np.array([4, -7]), "a": np.array([0, 1]), "t": np.array([2, -2])},
        ),
        ("Expand", [3, 1], {"shape": np.array([2, 1, 4])}),
        ("Tile", [2, 3], {"repeats": np.array([2, 1])}),
        ("Pad", [2, 3], {"pads": np.array([0, 1, 2, 0]), "v": np.array(1.5, np.float32)}),
        ("Gather", [4, 3], {"indices": np.array([[0, -1], [2, 1]])}),
        ("Gather", [4, 3], {"index": np.array(-2)}),
        ("Clip", [5], {"low": np.array(-0.5, np.float32), "high": np.array(1.0, np.float32)}),
        ("Clip", [5], {"low": np.array(-0.5, np.float32)}),
        ("Trilu", [3, 4], {"k": np.array(1)}),
        ("Pow", [4], {"e": np.array(2, np.int64)}),
        ("ReduceSum", [2, 3, 4], {"axes": np.array([0, 2])}),
        ("TopK", [3, 5], {"k": np.array([2])}),
    ],
)
def test_one_node_with_constants(op: str, shape: list, constants: dict) -> None:
    model = one_node(op, [shape], initializers=constants, outputs=2 if op == "TopK" else 1)
    loaded = check(model)
    if op not in ("TopK", "Tile"):
        check_written(loaded, arrays_for(model), 18)


def test_shapes_that_are_computed_when_running() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "two"], ["head"]),
        helper.make_node("Concat", ["head", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "two": np.array([2]), "rest": np.array([2, 3])}
    model = make_model(nodes, {"x": ["n", "m", 6]}, ["y"], constants)
    loaded = moka.onnx.load(model.SerializeToString())
    for shape in ((2, 5, 6), (1, 1, 6)):
        (y,) = loaded.run([np.ones(shape, np.float32)])
        assert y.shape == (*shape[:2], 2, 3)


@pytest.mark.parametrize(
    ("a", "b"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (2**62 + 1, 3), (-(2**62) - 5, 7)]
)
def test_integers_are_divided_exactly(a: int, b: int) -> None:
    kinds = {"x0": TensorProto.INT64, "x1": TensorProto.INT64}
    nodes = [helper.make_node("Div", ["x0", "x1"], ["q"]), helper.make_node("Mod", ["x0", "x1"], ["r"])]
    model = make_model(nodes, {"x0": [1], "x1": [1]}, ["q", "r"], dtypes=kinds)
    quotient, rest = moka.onnx.load(model.SerializeToString()).run([np.array([a]), np.array([b])])
    wanted = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    assert (quotient[0], rest[0]) == (wanted, a % b)


@pytest.mark.parametrize("axis", [1, 2])
def test_old_softmax_flattens(axis: int) -> None:
    model = one_node("Softmax", [[2, 3, 4]], opset=11, axis=axis)
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
    e = np.exp(flat - flat.max(1, keepdims=True))
    (found,) = moka.onnx.load(model.SerializeToString()).run([x])
    np.testing.assert_allclose(found, (e / e.sum(1, keepdims=True)).reshape(x.shape), rtol=1e-5)


def test_old_broadcasting_is_by_axis() -> None:
    model = one_node("Add", [[2, 3, 4], [3]], opset=6, broadcast=1, axis=1)
    x, b = RNG.standard_normal((2, 3, 4)).astype(np.float32), np.arange(3, dtype=np.float32)
    (found,) = moka.onnx.load(model.SerializeToString()).run([x, b])
    np.testing.assert_allclose(found, x + b[:, None], rtol=1e-6)


def test_functions_of_the_model_are_inlined() -> None:
    body = [
        helper.make_node("Mul", ["a", "a"], ["square"]),
        helper.make_node("LeakyRelu", ["square"], ["b"]),
    ]
    body[1].attribute.append(
        onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope")
    )
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("mine", "Squared", ["a"], ["b"], body, opsets, ["slope"])
    graph = helper.make_graph(
        [helper.make_node("Squared", ["x"], ["y"], domain="mine", slope=0.5)],
        "g",
        [helper.make_tensor_value_info("x", 1, [4])],
        [helper.make_tensor_value_info("y", 1, [4])],
    )
    model = helper.make_model(
        graph, opset_imports=[*opsets, helper.make_opsetid("mine", 1)], functions=[function]
    )
    model.ir_version = 8
    x = np.array([-2, -1, 0, 3], np.float32)
    (found,) = moka.onnx.load(model.SerializeToString()).run([x])
    np.testing.assert_array_equal(found, x * x)


def test_if_and_loop_run() -> None:
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    add = helper.make_graph(
        [helper.make_node("Constant", [], ["one"], value=one), helper.make_node("Add", ["x", "one"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", 1, [2])],
    )
    keep = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, [2])]
    )
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["v", "v"], ["doubled"]),
            helper.make_node("Identity", ["doubled"], ["seen"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", 1, [2]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", 1, [2]),
            helper.make_tensor_value_info("seen", 1, [2]),
        ],
    )
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=add, else_branch=keep),
        helper.make_node("Loop", ["n", "", "y"], ["last", "all"], body=body),
    ]
    kinds = {"c": TensorProto.BOOL, "n": TensorProto.INT64}
    model = make_model(nodes, {"c": [], "n": [], "x": [2]}, ["last", "all"], dtypes=kinds)
    loaded = moka.onnx.load(model.SerializeToString())
    x = np.array([1, 2], np.float32)
    last, seen = loaded.run({"c": np.array(True), "n": np.array(3), "x": x})
    np.testing.assert_array_equal(last, (x + 1) * 8)
    np.testing.assert_array_equal(seen, np.stack([(x + 1) * 2, (x + 1) * 4, (x + 1) * 8]))
    last, _ = loaded.run({"c": np.array(False), "n": np.array(1), "x": x})
    np.testing.assert_array_equal(last, -2 * x)


def test_a_loop_without_end_can_be_stopped() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "x"], ["sum"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", 1, [2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", 1, [2]),
        ],
    )
    model = make_model(
        [helper.make_node("Loop", ["", "c", "x"], ["y"], body=body)],
        {"c": [], "x": [2]},
        ["y"],
        dtypes={"c": TensorProto.BOOL},
    )
    loaded = moka.onnx.load(model.SerializeToString())
    x = np.array([1, 2], np.float32)
    with pytest.raises(TimeoutError, match="the deadline has passed"):
        loaded.run([np.array(True), x], timeout=0.1)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        loaded.run([np.array(True), x], timeout=0)
    (found,) = loaded.run([np.array(False), x], timeout=5)
    np.testing.assert_array_equal(found, x)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            loaded.run([np.array(True), x])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_inputs_are_checked_by_name() -> None:
    loaded = moka.onnx.load(network(18).SerializeToString())
    with pytest.raises(ValueError, match="no input 'imgae'; inputs are image"):
        loaded.run({"imgae": np.zeros((1, 3, 12, 12), np.float32)})
    with pytest.raises(ValueError, match="2 inputs were given, the model has 1"):
        loaded.run([np.zeros(1), np.zeros(1)])


def test_an_unknown_operator_is_named() -> None:
    node = helper.make_node("Rleu", ["x"], ["y"], name="act")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("y", 1, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(NotImplementedError, match="operator Rleu is not known; near it: Elu, Relu"):
        moka.onnx.load(model.SerializeToString())


def test_a_traced_module_is_exported(tmp_path: Any) -> None:
    class Net(moka.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = moka.nn.Sequential(
                moka.nn.Conv2d(1, 4, 3, padding=1),
                moka.nn.BatchNorm2d(4),
                moka.nn.ReLU(),
                moka.nn.MaxPool2d(2),
            )
            self.head = moka.nn.Linear(4 * 4 * 4, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.features(x).flatten(1))

    model = Net().eval()
    x = moka.randn(2, 1, 8, 8)
    path = tmp_path / "net.onnx"
    moka.onnx.export(model, x, path, input_names=["image"], output_names=["logits"])
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    assert {t.name for t in written.graph.initializer} >= {"features.0.weight", "head.bias"}
    assert any(node.name.startswith("/features/0/") for node in written.graph.node)
    wanted = model(x).detach().numpy()
    for found in (
        ReferenceEvaluator(written).run(None, {"image": x.numpy()})[0],
        moka.onnx.load(path).run({"image": x.numpy()})[0],
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_nodes_of_a_module_that_is_called_twice_have_their_own_names() -> None:
    class Twice(moka.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = moka.nn.ReLU()

        def forward(self, x: moka.Tensor) -> moka.Tensor:
            return self.relu(self.relu(x) - 1)

    model = onnx.load_from_string(moka.onnx.export(Twice(), moka.ones(3)))
    names = [node.name for node in model.graph.node]
    assert len(names) >= 3 and len(set(names)) == len(names)


def test_opsets_outside_what_is_written_are_refused() -> None:
    loaded = moka.onnx.load(network(18).SerializeToString())
    with pytest.raises(ValueError, match="opset 8 is not written; choose one from 9 to 28"):
        moka.onnx.export(loaded, opset=8)


def test_the_backend_interface_runs_models_and_nodes() -> None:
    from moka.onnx import backend

    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:1")
    x = np.array([-1, 2], np.float32)
    (y,) = backend.run_node(helper.make_node("Relu", ["x"], ["y"]), [x])
    np.testing.assert_array_equal(y, [0, 2])
    model = network(18)
    assert backend.prepare(model).run([np.zeros((1, 3, 12, 12), np.float32)])[0].shape == (1, 10)


def test_every_attribute_name_of_the_standard_is_known() -> None:
    """A name that the reader does not know is an error, so its list must hold all of them."""
    source = Path(__file__).resolve().parents[2] / "moka" / "formats" / "onnx" / "attribute_names.cpp"
    known = set(re.findall(r'"(\w+)"', source.read_text().partition("names[]")[2]))
    schemas = [
        s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.since_version <= 28
    ]
    assert len(schemas) > 500
    took_back = {"border", "extra_shape", "input_as_shape", "values"}  # with their operators, in 2019
    assert {name for schema in schemas for name in schema.attributes} | took_back == known
