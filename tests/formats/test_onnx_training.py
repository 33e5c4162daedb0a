"""Gradient of graphs, and training algorithms that models bring, against the tape."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import moka

TRAINING = "ai.onnx.preview.training"
RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(TRAINING, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def gradient(xs: list[str], y: str, outputs: list[str], inputs: list[str] | None = None) -> onnx.NodeProto:
    return helper.make_node("Gradient", inputs or xs, outputs, domain=TRAINING, xs=xs, y=y)


def gradients_of(nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], xs: list[str]) -> list[Any]:
    outputs = [value(f"d{x}", *[f"{x}{i}" for i in range(inputs[x].ndim)]) for x in xs]
    nodes = [*nodes, gradient(xs, "y", [f"d{x}" for x in xs])]
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    declared = [value(k, *v.shape, kind=kinds[str(v.dtype)]) for k, v in inputs.items()]
    return moka.onnx.load(model_of(helper.make_graph(nodes, "g", declared, outputs)).SerializeToString()).run(
        inputs
    )


def differences(nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], x: str) -> np.ndarray:
    """What the sum of y changes by, for each element of x."""
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    declared = [value(k, *v.shape, kind=kinds[str(v.dtype)]) for k, v in inputs.items()]
    graph = helper.make_graph(nodes, "g", declared, [onnx.ValueInfoProto(name="y")])
    loaded = moka.onnx.load(model_of(graph).SerializeToString())
    out = np.zeros(inputs[x].shape)
    for place in np.ndindex(*inputs[x].shape):
        ends = []
        for step in (1e-2, -1e-2):
            moved = inputs[x].copy()
            moved[place] += step
            ends.append(float(np.sum(loaded.run({**inputs, x: moved})[0], dtype=np.float64)))
        out[place] = (ends[0] - ends[1]) / 2e-2
    return out


def test_a_gradient_sums_over_broadcast_dimensions() -> None:
    x, w = floats(4, 3), floats(3)
    dx, dw = gradients_of([helper.make_node("Mul", ["x", "w"], ["y"])], {"x": x, "w": w}, ["x", "w"])
    np.testing.assert_allclose(dx, np.broadcast_to(w, (4, 3)))
    np.testing.assert_allclose(dw, x.sum(0), rtol=1e-6)


def test_a_gradient_of_a_gradient() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["s"]),
        helper.make_node("Mul", ["s", "x"], ["t"]),
        gradient(["x"], "t", ["y"]),
    ]
    x = floats(5)
    np.testing.assert_allclose(gradients_of(nodes, {"x": x}, ["x"])[0], 6 * x, rtol=1e-5)


def test_a_gradient_at_another_point() -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"]), gradient(["x"], "y", ["d"], ["z"])]
    graph = helper.make_graph(nodes, "g", [value("x", 3), value("z", 3)], [value("y", 3), value("d", 3)])
    x, z = floats(3), floats(3)
    y, d = moka.onnx.load(model_of(graph).SerializeToString()).run({"x": x, "z": z})
    np.testing.assert_allclose(y, x * x, rtol=1e-6)
    np.testing.assert_allclose(d, 2 * z, rtol=1e-6)


def test_a_gradient_goes_through_the_branch_that_is_taken() -> None:
    def branch(name: str, op: str) -> onnx.GraphProto:
        return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [value(name, 3)])

    branches = {"then_branch": branch("a", "Exp"), "else_branch": branch("b", "Sin")}
    node = helper.make_node("If", ["c"], ["y"], **branches)
    x = floats(3)
    for condition, expected in ((True, np.exp(x)), (False, np.cos(x))):
        found = gradients_of([node], {"x": x, "c": np.array(condition)}, ["x"])[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_gradient_goes_through_the_turns_of_a_loop() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["h", "w"], ["p"]),
            helper.make_node("Tanh", ["p"], ["next"]),
            helper.make_node("Mul", ["next", "next"], ["square"]),
            helper.make_node("Identity", ["go"], ["again"]),
        ],
        "body",
        [value("i", kind=TensorProto.INT64), value("go", kind=TensorProto.BOOL), value("h", 3)],
        [value("again", kind=TensorProto.BOOL), value("next", 3), value("square", 3)],
    )
    nodes = [
        helper.make_node("Loop", ["n", "", "x"], ["last", "all"], body=body),
        helper.make_node("Add", ["last", "all"], ["y"]),
    ]
    inputs = {"x": floats(3), "w": floats(3), "n": np.array(4)}
    for x, found in zip(("x", "w"), gradients_of(nodes, inputs, ["x", "w"]), strict=True):
        np.testing.assert_allclose(found, differences(nodes, inputs, x), rtol=1e-2, atol=1e-3)


def trained_model(optimizer: str, initialization: bool = False) -> onnx.ModelProto:
    """Linear regression that brings its training: one step of an optimizer, with its own states."""
    forward = [helper.make_node("Gemm", ["x", "w", "b"], ["p"])]
    main = helper.make_graph(
        forward,
        "linear",
        [value("x", 8, 3)],
        [value("p", 8, 2)],
        [numpy_helper.from_array(floats(3, 2), "w"), numpy_helper.from_array(np.zeros(2, np.float32), "b")],
    )
    count = 2 if optimizer == "Adam" else 1
    states = [f"{x}_{k}" for k in range(count) for x in ("w", "b")]
    updated = ["w_next", "b_next", *[f"{s}_next" for s in states]]
    settings: dict[str, Any] = {
        "Momentum": {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0},
        "Adam": {"alpha": 0.9, "beta": 0.999, "epsilon": 1e-8},
        "Adagrad": {"epsilon": 1e-6},
    }[optimizer]
    step = [
        helper.make_node("Sub", ["p", "target"], ["e"]),
        helper.make_node("Mul", ["e", "e"], ["s"]),
        helper.make_node("ReduceMean", ["s"], ["loss"], keepdims=0),
        gradient(["w", "b"], "loss", ["dw", "db"]),
        helper.make_node("Add", ["t", "one"], ["t_next"]),
        helper.make_node(
            optimizer,
            ["rate", "t_next" if optimizer == "Adam" else "t", "w", "b", "dw", "db", *states],
            updated,
            domain=TRAINING,
            **settings,
        ),
    ]
    zeros = {s: np.zeros((3, 2) if s[0] == "w" else 2, np.float32) for s in states}
    own = {"t": np.array(0), "one": np.array(1), "rate": np.array(0.1, np.float32), **zeros}
    algorithm = helper.make_graph(
        step,
        "step",
        [value("target", 8, 2)],
        [value("loss")],
        [numpy_helper.from_array(v, k) for k, v in own.items()],
    )
    model = model_of(main)
    info = model.training_info.add()
    info.algorithm.CopyFrom(algorithm)
    for name in ("w", "b", "t", *states):
        entry = info.update_binding.add()
        entry.key, entry.value = name, f"{name}_next"
    if initialization:
        tensor = numpy_helper.from_array(np.ones((3, 2), np.float32))
        ones = helper.make_node("Constant", [], ["ones"], value=tensor)
        info.initialization.CopyFrom(helper.make_graph([ones], "first", [], [value("ones", 3, 2)]))
        entry = info.initialization_binding.add()
        entry.key, entry.value = "w", "ones"
    return model


@pytest.mark.parametrize("optimizer", ["Momentum", "Adam", "Adagrad"])
def test_a_model_is_trained_by_the_algorithm_it_brings(optimizer: str) -> None:
    model = trained_model(optimizer)
    w = moka.tensor(numpy_helper.to_array(model.graph.initializer[0]).copy(), requires_grad=True)
    b = moka.zeros(2, requires_grad=True)
    other = {
        "Momentum": lambda: moka.optim.SGD([w, b], lr=0.1, momentum=0.9),
        "Adam": lambda: moka.optim.Adam([w, b], lr=0.1, eps=1e-12),
        "Adagrad": lambda: moka.optim.Adagrad([w, b], lr=0.1, eps=1e-6),
    }[optimizer]()
    trainer = moka.onnx.Trainer(model.SerializeToString())
    assert list(trainer.inputs) == ["x", "target"]
    for _ in range(5):
        x, target = floats(8, 3), floats(8, 2)
        _, loss = trainer.step({"x": x, "target": target})
        expected = ((moka.tensor(x) @ w + b - moka.tensor(target)) ** 2).mean()
        np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-4)
        other.zero_grad()
        expected.backward()
        other.step()
    assert trainer.states["t"] == 5
    np.testing.assert_allclose(trainer.states["w"], w.detach().numpy(), rtol=1e-4, atol=1e-5)
    x = floats(8, 3)
    (p,) = trainer.model().run([x])
    np.testing.assert_allclose(p, x @ w.detach().numpy() + b.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_training_starts_with_what_the_initialization_gives() -> None:
    trainer = moka.onnx.Trainer(trained_model("Momentum", initialization=True).SerializeToString())
    np.testing.assert_array_equal(trainer.states["w"], np.ones((3, 2)))


def test_errors_say_what_a_training_algorithm_lacks() -> None:
    model = trained_model("Momentum")
    with pytest.raises(IndexError, match="has 1 training algorithms, number 2 was asked for"):
        moka.onnx.Trainer(model.SerializeToString(), 2)
    model.training_info[0].update_binding[0].key = "v"
    with pytest.raises(ValueError, match="training binds 'v', which is no initializer"):
        moka.onnx.Trainer(model.SerializeToString())
    del model.training_info[:]
    with pytest.raises(ValueError, match="brings no training algorithm"):
        moka.onnx.Trainer(model.SerializeToString())
