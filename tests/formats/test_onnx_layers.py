"""ONNX nodes that are read as single operators, and their other forms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import moka.onnx
import numpy as np
import pytest
from onnx import TensorProto, helper
from test_onnx_forms import F, I, check, floats, model_of


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("scale", [(3, 4), (4,), (1,)])
def test_layer_normalization(axis: int, scale: tuple[int, ...]) -> None:
    if axis == -1 and len(scale) == 2:
        scale = (4,)
    layer = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], axis=axis, epsilon=1e-3)
    constants = {"s": floats(*scale), "b": floats(*scale)}
    for sizes in (["n", 3, 4], ["n", "h", "w"]):
        model = model_of([layer], [("x", F, sizes)], ["y"], constants, opset=17)
        check(model, {"x": floats(2, 3, 4)}, {"x": floats(5, 3, 4)})
    loaded = moka.onnx.load(model_of([layer], [("x", F, ["n", 3, 4])], ["y"], constants).SerializeToString())
    assert ("layer_norm" in str(loaded.graph)) == (scale == ((4,) if axis == -1 else (3, 4)))


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 3)])
def test_rows_of_a_table(shape: tuple[int, ...]) -> None:
    rows = helper.make_node("Gather", ["w", "i"], ["y"], axis=0)
    sizes = [f"d{k}" for k in range(len(shape))]
    model = model_of([rows], [("i", I, sizes)], ["y"], {"w": floats(7, 4)})
    places = np.random.default_rng(5).integers(-7, 7, shape)
    check(model, {"i": places})
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        moka.onnx.load(model.SerializeToString()).run([np.full(shape, 7)])


def wide_weights(before: int, after: int, inside: bool) -> np.ndarray:
    """What each place of a shrunk row takes of the row: a triangle as wide as a step, whose part beyond the
    border is the border's or, with `inside`, left out."""
    scale = after / before
    places = (np.arange(after)[:, None] + 0.5) / scale - 0.5
    beyond = np.arange(-before, 2 * before)
    weights = np.maximum(0, 1 - np.abs(beyond - places) * scale)
    if inside:
        weights[:, (beyond < 0) | (beyond >= before)] = 0
    weights /= weights.sum(1, keepdims=True)
    out = np.zeros((after, before))
    np.add.at(out.T, np.clip(beyond, 0, before - 1), weights.T)
    return out


@pytest.mark.parametrize("after", [8, 7, 5, 10, 13])
@pytest.mark.parametrize("inside", [False, True])
def test_shrinking_with_antialias(after: int, inside: bool) -> None:
    """As wide kernels of ours, which end at the border, and as those that repeat it."""
    settings = {"mode": "linear", "antialias": 1, "exclude_outside": int(inside)}
    nodes = [helper.make_node("Resize", ["x", "", "", "s"], ["y"], **settings)]
    sizes = helper.make_tensor("s", TensorProto.INT64, [4], [1, 1, 10, after])
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [sizes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    (y,) = moka.onnx.load(model).run([np.eye(10, dtype=np.float32)[None, None]])
    if after <= 10:
        assert np.allclose(y[0, 0].T, wide_weights(10, after, inside), atol=1e-6)
    assert np.allclose(y.sum(-2), 1, atol=1e-5)
