"""ONNX: ranks known only when running, forms of old opsets, and small files that would become large."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import resource
from typing import Any

import moka.onnx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_onnx_forms import F, check, floats, model_of

node = helper.make_node


def branch(name: str, op: str, *inputs: str, **attributes: Any) -> Any:
    outputs = [helper.make_empty_tensor_value_info(name)]
    return helper.make_graph([node(op, list(inputs), [name], **attributes)], name, [], outputs)


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_branches_of_different_ranks(outer: bool, inner: bool) -> None:
    within = node(
        "If",
        ["c2"],
        ["within"],
        then_branch=branch("more", "Unsqueeze", "x", "first"),
        else_branch=branch("same", "Identity", "x"),
    )
    results = [helper.make_empty_tensor_value_info("within")]
    nodes = [
        node(
            "If",
            ["c1"],
            ["y"],
            then_branch=helper.make_graph([within], "then", [], results),
            else_branch=branch("flat", "Reshape", "x", "flat_shape"),
        ),
        node("ReduceSum", ["y"], ["sum"], keepdims=0),
        node("ReduceMax", ["y"], ["kept"]),
        node("ReduceMean", ["y"], ["mean"], axes=[-1]),
        node("Transpose", ["y"], ["turned"]),
        node("Unsqueeze", ["y", "both"], ["wide"]),
        node("Unsqueeze", ["y", "ends"], ["long"]),
        node("Gather", ["y", "places"], ["taken"], axis=-1),
        node("GatherND", ["y", "place"], ["one"]),
        node("Concat", ["y", "y"], ["twice"], axis=-1),
    ]
    inputs = [("x", F, ["n", 4]), ("c1", TensorProto.BOOL, []), ("c2", TensorProto.BOOL, [])]
    constants = {
        "first": np.array([0]),
        "flat_shape": np.array([-1]),
        "both": np.array([0, 1]),
        "ends": np.array([-1, -3]),
        "places": np.array([[0, -1]]),
        "place": np.array([[0]]),
    }
    outputs = ["sum", "kept", "mean", "turned", "wide", "long", "taken", "one", "twice"]
    feed = {"x": floats(3, 4), "c1": np.array(outer), "c2": np.array(inner)}
    check(model_of(nodes, inputs, outputs, constants, opset=13), feed)


@pytest.mark.parametrize("opset", [7, 9])
def test_the_first_form_of_top_k(opset: int) -> None:
    x = floats(3, 5)
    model = model_of([node("TopK", ["x"], ["v", "i"], k=2)], [("x", F, ["n", 5])], ["v", "i"], opset=opset)
    values, places = moka.onnx.load(model.SerializeToString()).run([x])
    np.testing.assert_array_equal(places, np.argsort(-x, 1)[:, :2])
    np.testing.assert_array_equal(values, np.take_along_axis(x, places, 1))


def test_statistics_of_the_batch_before_opset_14() -> None:
    x, mean, variance = floats(4, 3, 2, 2), floats(3), abs(floats(3))
    names = ["y", "m", "v", "saved_m", "saved_v"]
    normalize = node("BatchNormalization", ["x", "scale", "bias", "mean", "variance"], names, momentum=0.75)
    constants = {"scale": floats(3), "bias": floats(3), "mean": mean, "variance": variance}
    model = model_of([normalize], [("x", F, ["n", 3, 2, 2])], names, constants, opset=9)
    y, m, v, saved_m, saved_v = moka.onnx.load(model.SerializeToString()).run([x])
    now, spread = x.mean((0, 2, 3)), x.var((0, 2, 3))
    along = (slice(None), None, None)
    wanted = (x - now[along]) / np.sqrt(spread[along] + 1e-5)
    wanted = wanted * constants["scale"][along] + constants["bias"][along]
    np.testing.assert_allclose(y, wanted, 1e-4, 1e-5)
    np.testing.assert_allclose(m, 0.75 * mean + 0.25 * now, 1e-5, 1e-6)
    np.testing.assert_allclose(v, 0.75 * variance + 0.25 * spread, 1e-5, 1e-6)
    np.testing.assert_allclose(saved_m, now, 1e-5, 1e-6)
    np.testing.assert_allclose(saved_v, spread, 1e-5, 1e-6)


def test_the_element_of_an_optional_value_is_no_optional() -> None:
    tensor = helper.make_tensor_type_proto(F, [4])
    graph = helper.make_graph(
        [node("OptionalGetElement", ["x"], ["y"])],
        "g",
        [helper.make_value_info("x", helper.make_optional_type_proto(tensor))],
        [helper.make_value_info("y", tensor)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    loaded = moka.onnx.load(model.SerializeToString())
    x = floats(4)
    np.testing.assert_array_equal(loaded.run([x])[0], x)
    with pytest.raises(ValueError, match="none"):
        loaded.run([None])


def doubling_functions(depth: int) -> Any:
    """Function k calls function k - 1 twice: 2 to the power of `depth` nodes in two kilobytes."""
    own, opsets = helper.make_opsetid("own", 1), [helper.make_opsetid("", 18)]
    functions = [helper.make_function("own", "F0", ["x"], ["y"], [node("Neg", ["x"], ["y"])], opsets)]
    for k in range(1, depth):
        calls = [node(f"F{k - 1}", [a], [b], domain="own") for a, b in (("x", "m"), ("m", "y"))]
        functions.append(helper.make_function("own", f"F{k}", ["x"], ["y"], calls, [*opsets, own]))
    x, y = (helper.make_tensor_value_info(name, F, [2]) for name in "xy")
    graph = helper.make_graph([node(f"F{depth - 1}", ["x"], ["y"], domain="own")], "g", [x], [y])
    return helper.make_model(graph, functions=functions, opset_imports=[*opsets, own])


def filled(then: list[Any], *sizes: int, **constants: Any) -> Any:
    shape = {"shape": np.array(sizes), **{k: np.asarray(v) for k, v in constants.items()}}
    return model_of([node("ConstantOfShape", ["shape"], ["x"]), *then], [], ["y"], shape, opset=18)


LARGE = {
    "functions": (lambda: doubling_functions(35), "call each other so often"),
    "parts": (lambda: filled([node("SplitToSequence", ["x"], ["y"])], 1 << 28), "parts, at most"),
    "parts of two": (
        lambda: filled([node("SplitToSequence", ["x", "two"], ["y"])], 1 << 28, two=np.int64(2)),
        "parts, at most",
    ),
    "sizes": (
        lambda: model_of(
            [
                node("ConstantOfShape", ["n"], ["s"], value=numpy_helper.from_array(np.array([1]))),
                node("Reshape", ["z", "s"], ["y"]),
            ],
            [],
            ["y"],
            {"n": np.array([1 << 30]), "z": np.array([1.0], np.float32)},
            opset=18,
        ),
        "at most 64",
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_small_files_do_not_become_large(name: str) -> None:
    make, message = LARGE[name]
    data = make().SerializeToString()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=message):
        moka.onnx.load(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_functions_that_call_each_other_often_are_read() -> None:
    model, x = doubling_functions(11), floats(2)
    np.testing.assert_array_equal(moka.onnx.load(model.SerializeToString()).run([x])[0], x)
