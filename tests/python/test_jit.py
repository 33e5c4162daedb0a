"""Tracing: what is recorded, what stays open, what is refused; freezing; packages."""
# SPDX-License-Identifier: Apache-2.0

import json

import pytest
from moka.jit.structure import Results
from moka.jit.trees import Tree

import moka
from moka import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(2 * 9, 4)

    def forward(self, image):
        return self.head(moka.flatten(self.stage(image), 1))


def trained():
    moka.manual_seed(0)
    net = Net()
    for _ in range(3):
        net(moka.randn(8, 1, 6, 6) * 2 + 1)
    return net.eval()


def operators(traced):
    return [node["op"] for node in traced.graph.nodes() if node["kind"] == "op"]


def difference(a, b):
    return (a - b).abs().max().item()


def test_a_module_becomes_a_graph_with_its_states():
    net = trained()
    traced = moka.jit.trace(net, moka.randn(2, 1, 6, 6))
    assert operators(traced) == ["conv2d", "batch_norm", "relu", "max_pool2d", "flatten", "linear"]
    assert "stage.0.weight" in traced.state_dict() and "stage.1.running_mean" in traced.state_dict()
    assert "num_batches_tracked" not in str(traced.graph)
    assert repr(traced) == "TracedModule(Net: image: float32[batch, 1, 6, 6] -> output)"


def test_the_graph_computes_what_the_module_does_for_any_batch():
    net = trained()
    traced = moka.jit.trace(net, moka.randn(2, 1, 6, 6))
    for batch in (1, 2, 7):
        x = moka.randn(batch, 1, 6, 6)
        assert difference(traced(x), net(x)) < 1e-6


def test_nodes_know_their_module_and_their_line():
    nodes = moka.jit.trace(trained(), moka.randn(2, 1, 6, 6)).graph.nodes()
    conv = next(node for node in nodes if node["op"] == "conv2d")
    assert conv["scope"] == "stage.0" and conv["file"] == "test_jit.py"


def test_sizes_can_be_fixed_or_named():
    net = trained()
    fixed = moka.jit.trace(net, moka.randn(2, 1, 6, 6), dynamic={})
    with pytest.raises(Exception, match="image"):
        fixed(moka.randn(3, 1, 6, 6))
    named = moka.jit.trace(net, moka.randn(2, 1, 6, 6), dynamic={"image": {0: "pictures"}})
    assert "float32[pictures, 1, 6, 6]" in repr(named)
    with pytest.raises(ValueError, match="names input 'picture', but the inputs are image"):
        moka.jit.trace(net, moka.randn(2, 1, 6, 6), dynamic={"picture": {0: "n"}})


def test_a_program_that_needs_a_size_keeps_it():
    def halves(x):
        return x.reshape(2, 3) * 2

    traced = moka.jit.trace(halves, moka.arange(6.0))
    assert "float32[6]" in repr(traced)
    with pytest.raises(RuntimeError, match="depends on a size"):
        moka.jit.trace(lambda x: x / float(x.shape[0]), moka.zeros(3, 2), dynamic={0: {0: "n"}})


def test_functions_with_several_inputs_and_results():
    def both(a, b):
        return a + b, a * b

    traced = moka.jit.trace(both, (moka.tensor([1.0]), moka.tensor([2.0])), output_names=["sum", "product"])
    assert [t.item() for t in traced(moka.tensor([3.0]), moka.tensor([4.0]))] == [7.0, 12.0]
    assert traced.graph.inputs == ["a", "b"] and traced.graph.outputs == ["sum", "product"]


def test_values_asked_for_while_tracing_are_an_error():
    with pytest.raises(RuntimeError, match="trace records"):
        moka.jit.trace(lambda x: x * 2 if x.sum() > 0 else x, moka.ones(2))
    assert not moka.jit.is_tracing() and (moka.ones(2).sum() > 0).item()
    assert moka.is_grad_enabled()


def test_a_failed_trace_leaves_no_mode_behind():
    def failing(x):
        raise KeyError("inside")

    with pytest.raises(KeyError) as caught:
        moka.jit.trace(failing, moka.ones(2))
    assert moka.is_grad_enabled() and not moka.jit.is_tracing() and caught.value.args == ("inside",)


def test_tracing_changes_neither_buffers_nor_the_random_stream():
    net = Net()
    before = net.stage[1].running_mean.tolist()
    moka.manual_seed(5)
    expected = moka.rand(3).tolist()
    moka.manual_seed(5)
    traced = moka.jit.trace(net, moka.ones(2, 1, 6, 6))
    assert net.stage[1].running_mean.tolist() == before and moka.rand(3).tolist() == expected
    assert traced.graph.metadata is not None and not net.stage[0]._forward_hooks


def test_what_a_recording_cannot_see_is_found():
    calls = []

    def changing(x):
        calls.append(1)
        return x * float(len(calls))

    with pytest.raises(RuntimeError, match="differs from the function's"):
        traced = moka.jit.trace(changing, moka.ones(2), dynamic={}, check_trace=False)
        calls.append(1)
        moka.jit._check(traced.graph, [moka.ones(2)], Results(changing(moka.ones(2))), 1e-5)


def test_freezing_folds_batch_norm():
    net = trained()
    frozen = moka.jit.freeze(moka.jit.trace(net, moka.randn(2, 1, 6, 6)))
    assert operators(frozen) == ["conv2d", "relu", "max_pool2d", "flatten", "linear"]
    x = moka.randn(3, 1, 6, 6)
    assert difference(frozen(x), net(x)) < 1e-5 and not frozen.state_dict()


def test_packages_come_back(tmp_path):
    net = trained()
    traced = moka.jit.trace(net, moka.randn(2, 1, 6, 6))
    traced.save(tmp_path / "net.moka")
    loaded = moka.jit.load(tmp_path / "net.moka")
    x = moka.randn(3, 1, 6, 6)
    assert loaded(x).tolist() == traced(x).tolist() and str(loaded.graph) == str(traced.graph)


def test_packages_hold_an_onnx_view_that_others_open(tmp_path):
    import zipfile

    import onnx

    moka.jit.trace(trained(), moka.randn(2, 1, 6, 6)).save(tmp_path / "net.moka")
    with zipfile.ZipFile(tmp_path / "net.moka") as archive:
        onnx.checker.check_model(archive.read("model.onnx"), full_check=True)


def test_a_run_leaves_a_time_line():
    traced = moka.jit.trace(trained(), moka.randn(2, 1, 6, 6))
    events = json.loads(traced.profile(moka.randn(2, 1, 6, 6)))
    events = events["traceEvents"] if isinstance(events, dict) else events
    assert any("conv2d" in event.get("name", "") for event in events)


def test_damaged_packages_are_refused(tmp_path):
    moka.jit.trace(trained(), moka.randn(2, 1, 6, 6)).save(tmp_path / "net.moka")
    data = (tmp_path / "net.moka").read_bytes()
    (tmp_path / "cut.moka").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cut.moka"):
        moka.jit.load(tmp_path / "cut.moka")


def test_examples_must_be_tensors():
    with pytest.raises(TypeError, match="example 0 must be a Tensor, but list came"):
        moka.jit.trace(lambda x: x, [[1.0]])


def test_damaged_results_are_refused(tmp_path):
    traced = moka.jit.trace(lambda x: (x, x + 1), moka.ones(2))
    traced._results = traced._results._replace(children=(Tree("tensor", 7),))
    traced.save(tmp_path / "net.moka")
    with pytest.raises(ValueError, match="describes its 2 results"):
        moka.jit.load(tmp_path / "net.moka")
