"""What loading and running a model takes: its weights once, in the form that the kernels want."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

SIZE, LAYERS = 1024, 16  # 64 MiB of weights


def initializer(name: str, array: np.ndarray) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)


def products(count: int, size: int, seed: int = 0) -> onnx.ModelProto:
    """x times one matrix after another; in the file, most of them begin at odd places."""
    rng = np.random.default_rng(seed)
    weights = [
        initializer("w" * (i + 1), rng.standard_normal((size, size), dtype=np.float32) / size**0.5)
        for i in range(count)
    ]
    nodes = [
        helper.make_node("MatMul", [f"x{i}", weight.name], [f"x{i + 1}"]) for i, weight in enumerate(weights)
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in ("x0", f"x{count}")
    )
    graph = helper.make_graph(nodes, "products", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


PROGRAM = """
import sys
import moka.onnx
import numpy as np

def megabytes(what):
    return int(open("/proc/self/status").read().split(what)[1].split()[0]) / 1024

small, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
moka.onnx.load(small).run(np.ones((1, 128), np.float32))  # libraries are loaded
before = megabytes("VmRSS:")
model = moka.onnx.load(path)
for _ in range(3):
    model.run(np.ones((1, size), np.float32))
print(megabytes("VmRSS:") - before, megabytes("VmHWM:") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("beside", [False, True])
def test_weights_are_held_once(tmp_path: Path, beside: bool) -> None:
    small, path = tmp_path / "small.onnx", tmp_path / "model.onnx"
    onnx.save(products(1, 128), small)
    onnx.save(products(LAYERS, SIZE), path, save_as_external_data=beside)
    command = [sys.executable, "-c", PROGRAM, str(small), str(path), str(SIZE)]
    now, most = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    weights = LAYERS * SIZE * SIZE * 4 / 2**20
    assert now < 1.25 * weights
    assert most < 1.5 * weights


@pytest.mark.parametrize("beside", [False, True])
def test_the_graph_is_that_of_the_model_that_was_loaded(tmp_path: Path, beside: bool) -> None:
    path, other = tmp_path / "model.onnx", tmp_path / "other.onnx"
    first, second = products(2, 256), products(2, 256, seed=1)
    wanted = {w.name: onnx.numpy_helper.to_array(w).copy() for w in first.graph.initializer}
    kept = {"save_as_external_data": True, "size_threshold": 0} if beside else {}
    onnx.save(first, path, **kept, **({"location": "weights"} if beside else {}))
    model = moka.onnx.load(path)
    onnx.save(second, other, **kept, **({"location": "others"} if beside else {}))
    other.replace(path)
    if beside:
        (tmp_path / "weights").unlink()
    states = model.graph.states
    assert sorted(states) == sorted(wanted)
    for name, array in wanted.items():
        assert np.array_equal(states[name].numpy(), array)
    x = np.ones((1, 256), np.float32)
    assert np.allclose(model.module()(moka.onnx._to_tensor(x)).detach().numpy(), model.run(x)[0], atol=1e-5)
