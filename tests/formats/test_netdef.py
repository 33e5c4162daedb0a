"""Caffe2 pairs: there and back, and in Caffe2 itself where an interpreter with it is named."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import pytest
from onnx import helper
from small_models import make_model, one_node

import moka
import moka.caffe2

RNG = np.random.default_rng(11)
# Runs a pair in Caffe2: init_net, predict_net, inputs as .npy in order; writes the first output.
IN_CAFFE2 = """
import sys
import numpy as np
from caffe2.python import workspace
init, predict, out, *inputs = sys.argv[1:]
net = workspace.Predictor(open(init, "rb").read(), open(predict, "rb").read())
np.save(out, np.asarray(net.run([np.load(path) for path in inputs])[0]))
"""
CAFFE2 = os.environ.get("MOKA_CAFFE2_PYTHON")


def w(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.3).astype(np.float32)


def network() -> Any:
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], strides=[2, 2], group=2),
        helper.make_node("LeakyRelu", ["c2"], ["l2"], alpha=0.1),
        helper.make_node("AveragePool", ["l2"], ["a2"], kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["a2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["h"], transB=1),
        helper.make_node("Softmax", ["h"], ["scores"], axis=1),
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
    return make_model(nodes, {"image": [2, 3, 12, 12]}, ["scores"], weights)


MODELS = {
    "network": network,
    **{
        op.lower(): lambda op=op, shapes=shapes, attributes=attributes: one_node(op, shapes, **attributes)
        for op, shapes, attributes in [
            ("Add", [[2, 3], [2, 3]], {}),
            ("Sub", [[2, 3], [3]], {}),
            ("Mul", [[2, 3], [3]], {}),
            ("Div", [[2, 3], [2, 3]], {}),
            ("Sigmoid", [[2, 3]], {}),
            ("Tanh", [[2, 3]], {}),
            ("Elu", [[2, 3]], {"alpha": 0.7}),
            ("Sum", [[2, 3], [2, 3]], {}),
            ("Concat", [[2, 3], [2, 4]], {"axis": 1}),
            ("Transpose", [[2, 3, 4]], {"perm": [2, 0, 1]}),
            ("Exp", [[3]], {}),
            ("MatMul", [[2, 3], [3, 4]], {}),
            ("GlobalAveragePool", [[2, 3, 4, 4]], {}),
            ("Selu", [[2, 3]], {}),
            ("ReduceMean", [[2, 3]], {}),
            ("HardSigmoid", [[2, 3]], {}),
            ("Sqrt", [[3]], {}),
        ]
    },
}


def inputs_of(model: Any) -> dict[str, np.ndarray]:
    skip = {tensor.name for tensor in model.graph.initializer}
    return {
        v.name: np.abs(w(*(d.dim_value for d in v.type.tensor_type.shape.dim))) + 0.5
        for v in model.graph.input
        if v.name not in skip
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_pair_comes_back_as_the_same_function(name: str) -> None:
    model = MODELS[name]()
    loaded = moka.onnx.load(model.SerializeToString())
    inputs = inputs_of(model)
    init, predict = moka.caffe2.export(loaded)
    types = {key: (moka.float32, list(value.shape)) for key, value in inputs.items()}
    back = moka.caffe2.load(init, predict, types)
    assert back.input_names == loaded.input_names
    for found, wanted in zip(back.run(inputs), loaded.run(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not CAFFE2, reason="MOKA_CAFFE2_PYTHON names no interpreter that has Caffe2")
@pytest.mark.parametrize("name", MODELS)
def test_a_pair_runs_in_caffe2(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    loaded = moka.onnx.load(model.SerializeToString())
    inputs = inputs_of(model)
    init, predict, out = (tmp_path / n for n in ("init_net.pb", "predict_net.pb", "out.npy"))
    moka.caffe2.export(loaded, None, init, predict)
    paths = []
    for key in loaded.input_names:
        paths.append(tmp_path / f"{len(paths)}.npy")
        np.save(paths[-1], inputs[key])
    done = subprocess.run(
        [CAFFE2, "-c", IN_CAFFE2, init, predict, out, *paths], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(out), loaded.run(inputs)[0], rtol=1e-4, atol=1e-5)


def test_paths_come_in_pairs(tmp_path: Path) -> None:
    loaded = moka.onnx.load(network().SerializeToString())
    with pytest.raises(ValueError, match="both paths or none"):
        moka.caffe2.export(loaded, None, tmp_path / "init_net.pb")


def test_operators_that_caffe2_lacks_are_named() -> None:
    loaded = moka.onnx.load(one_node("Trilu", [[3, 3]]).SerializeToString())
    with pytest.raises(NotImplementedError, match="Caffe2 export"):
        moka.caffe2.export(moka.onnx.load(one_node("ReduceProd", [[3, 3]]).SerializeToString()))
    assert loaded.run([np.ones((3, 3), np.float32)])[0][1, 0] == 0
