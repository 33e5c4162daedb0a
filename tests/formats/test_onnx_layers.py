"""ONNX nodes that are read as single operators, and their other forms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import moka.onnx
import numpy as np
import pytest
from onnx import helper
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
