"""ONNX models with strings: tensors, operators, sequences, maps."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

STRING, INT64, FLOAT, BOOL = TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL


def texts(*rows: Any) -> np.ndarray:
    return np.array(rows, dtype=object)


def run(nodes: Any, inputs: dict[str, Any], outputs: dict[str, int], **graph: Any) -> list[Any]:
    """Runs a graph of these nodes; inputs are arrays by name, outputs element types by name."""
    kinds = {"O": STRING, "i": INT64, "f": FLOAT, "b": BOOL}
    values = [helper.make_tensor_value_info(k, kinds[v.dtype.kind], list(v.shape)) for k, v in inputs.items()]
    results = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    for result in results:
        result.type.tensor_type.ClearField("shape")
    nodes = nodes if isinstance(nodes, list) else [nodes]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]
    model = helper.make_model(helper.make_graph(nodes, "g", values, results, **graph), opset_imports=opsets)
    return moka.onnx.load(model.SerializeToString()).run(inputs)


WORDS = texts("ab", "", "ünï")


@pytest.mark.parametrize(
    ("op", "attributes", "others", "expected"),
    [
        ("Identity", {}, (), WORDS),
        ("Concat", {"axis": 0}, (texts("x"),), texts("ab", "", "ünï", "x")),
        ("Reshape", {}, (np.array([3, 1]),), texts(["ab"], [""], ["ünï"])),
        ("Gather", {"axis": 0}, (np.array([2, 0]),), texts("ünï", "ab")),
        ("Slice", {}, (np.array([1]), np.array([3])), texts("", "ünï")),
        ("Tile", {}, (np.array([2]),), texts("ab", "", "ünï", "ab", "", "ünï")),
        ("Expand", {}, (np.array([2, 3]),), texts(["ab", "", "ünï"], ["ab", "", "ünï"])),
        ("StringConcat", {}, (texts("!"),), texts("ab!", "!", "ünï!")),
        ("Equal", {}, (texts("ab"),), np.array([True, False, False])),
        ("Shape", {}, (), np.array([3])),
    ],
)
def test_operators_take_strings(op: str, attributes: Any, others: Any, expected: np.ndarray) -> None:
    names = [f"x{i}" for i in range(len(others) + 1)]
    kinds = {"O": STRING, "i": INT64, "b": BOOL}
    (got,) = run(
        helper.make_node(op, names, ["y"], **attributes),
        dict(zip(names, (WORDS, *others), strict=True)),
        {"y": kinds[expected.dtype.kind]},
    )
    np.testing.assert_array_equal(got, expected)


def test_where_takes_strings() -> None:
    inputs = {"c": np.array([True, False, True]), "a": WORDS, "b": texts("-")}
    (got,) = run(helper.make_node("Where", ["c", "a", "b"], ["y"]), inputs, {"y": STRING})
    assert got.tolist() == ["ab", "-", "ünï"]


def test_unique_strings() -> None:
    node = helper.make_node("Unique", ["x"], ["y", "first", "inverse", "counts"], sorted=1)
    got = run(
        node, {"x": texts("b", "a", "b")}, {"y": STRING, "first": INT64, "inverse": INT64, "counts": INT64}
    )
    assert [a.tolist() for a in got] == [["a", "b"], [1, 0], [1, 0, 1], [1, 2]]


def test_numbers_become_texts_and_back() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["t"], to=STRING),
        helper.make_node("Cast", ["t"], ["y"], to=FLOAT),
    ]
    values = np.array([1.5, -0.1, np.nan, np.inf], np.float32)
    text, back = run(nodes, {"x": values}, {"t": STRING, "y": FLOAT})
    assert text.tolist() == ["1.5", "-0.1", "NaN", "INF"]
    np.testing.assert_array_equal(back, values)


def test_a_text_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="'ab' is no number"):
        run(helper.make_node("Cast", ["x"], ["y"], to=FLOAT), {"x": WORDS}, {"y": FLOAT})


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"www\.[\w.-]+\.\bcom\b", "www.a-b.com", True),
        (r"(ab|c)*d{2,3}", "abcabdd", True),
        (r"(ab|c)*d{2,3}", "abd", False),
        (r"(?i)HeLLo[^0-9]+", "hello you", True),
        (r"(?i)HeLLo[^0-9]+", "hello 2", False),
        (r"[[:alpha:]]+\d?", "abc7", True),
        (r".", "ü", True),
        (r"(x+x+)+y", "x" * 5000, False),
    ],
)
def test_regular_expressions(pattern: str, text: str, matches: bool) -> None:
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=pattern)
    assert run(node, {"x": texts(text)}, {"y": BOOL})[0].tolist() == [matches]


def test_a_broken_expression_says_where() -> None:
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern="a(b")
    with pytest.raises(ValueError, match="without its '\\)' at position 3"):
        run(node, {"x": WORDS}, {"y": BOOL})


def test_texts_outlive_what_made_them() -> None:
    """Each turn of a loop adds a letter: texts of earlier turns are let go, those that are shown are kept."""
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["a"], value_string="a"),
            helper.make_node("StringConcat", ["s", "a"], ["t"]),
            helper.make_node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("s", STRING, [2]),
        ],
        [helper.make_tensor_value_info("d", BOOL, []), helper.make_tensor_value_info("t", STRING, [2])],
    )
    inputs = {"n": np.array(100), "c": np.array(True), "s": texts("x", "y")}
    (got,) = run(helper.make_node("Loop", ["n", "c", "s"], ["y"], body=body), inputs, {"y": STRING})
    assert got.tolist() == ["x" + "a" * 100, "y" + "a" * 100]


def test_initializers_of_strings() -> None:
    words = helper.make_tensor("w", STRING, [2], [b"p", b"q"])
    gather = helper.make_node("Gather", ["w", "i"], ["y"])
    (got,) = run(gather, {"i": np.array([1, 0, 1])}, {"y": STRING}, initializer=[words])
    assert got.tolist() == ["q", "p", "q"]


def test_arrays_of_objects_must_hold_text() -> None:
    with pytest.raises(TypeError, match="must hold str"):
        run(helper.make_node("Identity", ["x"], ["y"]), {"x": texts(1, "a")}, {"y": STRING})


def test_sparse_initializers_and_constants_are_made_dense() -> None:
    values = helper.make_tensor("w", FLOAT, [2], [3.0, 4.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", INT64, [2, 2], [0, 1, 1, 0]), [2, 2])
    got = run(
        helper.make_node("Add", ["x", "w"], ["y"]),
        {"x": np.zeros((2, 2), np.float32)},
        {"y": FLOAT},
        sparse_initializer=[sparse],
    )
    assert got[0].tolist() == [[0, 3], [4, 0]]
    outside = helper.make_sparse_tensor(values, helper.make_tensor("i", INT64, [2], [0, 4]), [2, 2])
    with pytest.raises(Exception, match="index 4 is out of range"):
        run(helper.make_node("Constant", [], ["y"], sparse_value=outside), {}, {"y": FLOAT})
    vast = helper.make_sparse_tensor(values, helper.make_tensor("i", INT64, [2], [0, 3]), [1 << 40])
    with pytest.raises(Exception, match="not made dense"):
        run(helper.make_node("Constant", [], ["y"], sparse_value=vast), {}, {"y": FLOAT})


def test_a_model_of_shapes_knows_its_ranks() -> None:
    """Through a slice of a shape and sizes that are joined to it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value_ints=[0]),
        helper.make_node("Constant", [], ["two"], value_ints=[2]),
        helper.make_node("Constant", [], ["tail"], value_ints=[2, -1]),
        helper.make_node("Slice", ["s", "zero", "two"], ["head"]),
        helper.make_node("Concat", ["head", "tail"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["r"]),
        helper.make_node("Transpose", ["r"], ["y"]),
    ]
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    (got,) = run(nodes, {"x": x}, {"y": FLOAT})
    np.testing.assert_array_equal(got, x.reshape(2, 3, 2, 2).T)


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        (helper.make_node("Einsum", ["a", "b"], ["r"], equation="ij, jk -> ik"), {"a": (2, 3), "b": (3, 4)}),
        (helper.make_node("MatMul", ["a", "b"], ["r"]), {"a": (5, 2, 3), "b": (3, 4)}),
        (helper.make_node("GatherND", ["a", "i"], ["r"]), {"a": (4, 3), "i": np.array([[1], [3]])}),
    ],
)
def test_operators_promise_the_rank_of_open_sizes(node: Any, inputs: Any) -> None:
    """Transpose without an order needs the rank when the model is read."""
    arrays = {k: v if isinstance(v, np.ndarray) else np.ones(v, np.float32) for k, v in inputs.items()}
    kinds = {"i": INT64, "f": FLOAT}
    values = [
        helper.make_tensor_value_info(k, kinds[v.dtype.kind], [None] * v.ndim if k != "i" else [None, 1])
        for k, v in arrays.items()
    ]
    nodes = [node, helper.make_node("Transpose", ["r"], ["y"]), helper.make_node("Shape", ["y"], ["s"])]
    result = [helper.make_tensor_value_info("s", INT64, [None])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values, result), opset_imports=[helper.make_opsetid("", 17)]
    )
    (got,) = moka.onnx.load(model.SerializeToString()).run(arrays)
    assert got.tolist() == {"Einsum": [4, 2], "MatMul": [4, 2, 5], "GatherND": [3, 2]}[node.op_type]


def test_a_slice_of_an_unknown_size_is_not_taken_for_what_it_asks() -> None:
    nodes = [
        helper.make_node("Constant", [], ["zero"], value_ints=[0]),
        helper.make_node("Constant", [], ["five"], value_ints=[5]),
        helper.make_node("Slice", ["x", "zero", "five"], ["r"]),
        helper.make_node("Shape", ["r"], ["y"]),
    ]
    assert run(nodes, {"x": np.zeros(3, np.float32)}, {"y": INT64})[0].tolist() == [3]


def test_an_if_on_a_shape_takes_its_branch_when_read() -> None:
    branches = {
        name: helper.make_graph([node], name, [], [helper.make_tensor_value_info("b" + name, FLOAT, None)])
        for name, node in (
            ("then", helper.make_node("Squeeze", ["x", "one"], ["bthen"])),
            ("else", helper.make_node("Identity", ["x"], ["belse"])),
        )
    }
    nodes = [
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("Constant", [], ["width"], value_int=1),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "width"], ["size"]),
        helper.make_node("Equal", ["size", "width"], ["is_one"]),
        helper.make_node("If", ["is_one"], ["r"], then_branch=branches["then"], else_branch=branches["else"]),
        helper.make_node("Transpose", ["r"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 1, 3])],
        [helper.make_tensor_value_info("y", FLOAT, [3, "n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    x = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    (got,) = moka.onnx.load(model.SerializeToString()).run([x])
    np.testing.assert_array_equal(got, x[:, 0].T)
    assert onnx.checker.check_model(model) is None
