"""What is written as ONNX: programs and their sizes, control flow, functions, files beside the model, the
loaded model as a module, and the tools. Judges: the checker, the reference evaluator, what is read back."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from moka.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from small_models import make_model

import moka
from moka import jit, nn

F = nn.functional


def check(
    model: Any, args: Any, *others: Any, opset: int = 18, reference: bool = True, **settings: Any
) -> onnx.ModelProto:
    """The file passes the checker and gives what the model gives, on these and other inputs."""
    args = args if isinstance(args, tuple) else (args,)
    data = moka.onnx.export(model, args, opset_version=opset, **settings)
    written = onnx.load_from_string(data)
    onnx.checker.check_model(written, full_check=True)
    loaded = moka.onnx.load(data)
    for given in (args, *others):
        wanted = model(*given)
        wanted = [wanted] if isinstance(wanted, moka.Tensor) else list(wanted)
        arrays = [value.numpy() for value in given]
        found = [loaded.run(arrays)]
        if reference:
            feed = dict(zip(loaded.input_names, arrays, strict=True))
            found.append(ReferenceEvaluator(written).run(None, feed))
        for results in found:
            for x, y in zip(results, wanted, strict=True):
                np.testing.assert_allclose(x, y.detach().numpy(), rtol=1e-3, atol=1e-5)
    return written


def test_comparisons_of_bools_and_values_of_one_number():
    class Program(nn.Module):
        def forward(self, x: moka.Tensor, flags: moka.Tensor) -> tuple[moka.Tensor, ...]:
            counts = moka.unique(x.sum(), return_counts=True, dim=0)[1]
            tight = F.hardtanh(x.long() * 3)
            return moka.isposinf(flags), moka.isneginf(flags), flags.isfinite(), counts, tight

    check(Program(), (moka.ones(2, 3), moka.tensor([True, False])))


def test_squeeze_leaves_an_open_size():
    class Program(nn.Module):
        def forward(self, x: moka.Tensor) -> moka.Tensor:
            return x.t().squeeze(-1) * 2

    check(Program(), moka.randn(5, 3), (moka.randn(2, 3),), dynamic_axes={"x": {0: "n"}})


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(20, 8), nn.Embedding(16, 8)
        self.qkv, self.norm, self.head = nn.Linear(8, 24), nn.LayerNorm(8), nn.Linear(8, 20)
        self.register_buffer("mask", moka.tril(moka.ones(16, 16)).view(1, 1, 16, 16))

    def forward(self, ids: moka.Tensor) -> moka.Tensor:
        b, t = ids.size()
        x = self.embed(ids) + self.places(moka.arange(0, t, dtype=moka.int64))
        q, k, v = (part.view(b, t, 2, 4).transpose(1, 2) for part in self.qkv(self.norm(x)).split(8, dim=2))
        weights = (q @ k.transpose(-2, -1)) * 0.5
        weights = F.softmax(weights.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf")), dim=-1)
        return self.head(x + (weights @ v).transpose(1, 2).contiguous().view(b, t, 8))


def test_sizes_that_programs_compute_stay_open() -> None:
    model = Attention().eval()
    ids, longer = moka.randint(0, 20, (2, 7)), moka.randint(0, 20, (3, 9))
    written = check(model, ids, (longer,), dynamic_axes={"ids": {0: "batch", 1: "time"}})
    shape = written.graph.output[0].type.tensor_type.shape
    assert [d.dim_param or d.dim_value for d in shape.dim] == ["batch", "time", 20]
    assert {"embed.weight", "qkv.bias"} <= {tensor.name for tensor in written.graph.initializer}


def test_products_of_sizes_and_dims_with_names() -> None:
    def flat(x: moka.Tensor) -> moka.Tensor:
        return moka.zeros(x.shape[0] * x.shape[1], 2) + x.reshape(x.shape[0] * x.shape[1], 1)

    batch = SimpleNamespace(__name__="batch")  # as torch.export.Dim("batch")
    data = moka.onnx.export(flat, moka.ones(2, 3), dynamic_shapes={"x": {0: batch, 1: "n"}})
    loaded = moka.onnx.load(data)
    assert loaded.inputs == {"x": "float32[batch, n]"}
    assert loaded.run([np.ones((4, 5), np.float32)])[0].shape == (20, 2)


def test_a_program_whose_course_depends_on_a_size_is_refused() -> None:
    def half(x: moka.Tensor) -> moka.Tensor:
        return x * float(x.shape[0])

    with pytest.raises(RuntimeError, match="depends on a size that was declared dynamic"):
        moka.onnx.export(half, moka.ones(4), dynamic_axes={"x": {0: "n"}})


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind: Any) -> None:
    layer = kind(4, 5, 2, batch_first=True, bidirectional=True).eval()

    def last(x: moka.Tensor) -> Any:
        y, state = layer(x)
        return y, *(state if isinstance(state, tuple) else (state,))

    written = check(last, moka.randn(2, 3, 4), reference=False)
    assert sum(node.op_type == kind.__name__ for node in written.graph.node) == 4


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_a_network_in_old_and_new_opsets(opset: int) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(2), nn.Hardswish(),
        nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Softmax(1),
    ).eval()  # fmt: skip
    check(model, moka.randn(2, 3, 8, 8), opset=opset, reference=opset >= 14)


def test_writes_into_parts_of_a_tensor() -> None:
    def program(x: moka.Tensor) -> Any:
        y = x.clone()
        y[:, 0] = 1
        y[:, 1:3] *= 2
        y[x > 0.5] = 3.0
        y[0] = y[1]
        z = moka.zeros_like(x)
        z[:, ::2] = x[:, ::2]
        z[[0, 1], [1, 2]] = 7.0
        z.t()[3] += 1
        return y, z

    x = moka.randn(3, 4)
    traced = jit.trace(program, x, dynamic={})
    for found, wanted in zip(traced(x + 0.1), program(x + 0.1), strict=True):
        assert moka.equal(found, wanted)
    check(program, x)


def branches() -> onnx.ModelProto:
    """An If inside a Loop that also collects what it sees."""
    value = helper.make_tensor_value_info
    less = helper.make_graph([helper.make_node("Add", ["v", "x"], ["a"])], "then", [], [value("a", 1, [2])])
    more = helper.make_graph([helper.make_node("Mul", ["v", "x"], ["b"])], "else", [], [value("b", 1, [2])])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Less", ["i", "two"], ["early"]),
            helper.make_node("If", ["early"], ["next"], then_branch=less, else_branch=more),
            helper.make_node("Identity", ["next"], ["seen"]),
        ],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", 1, [2])],
        [value("on", TensorProto.BOOL, []), value("next", 1, [2]), value("seen", 1, [2])],
    )
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["last", "all"], body=body)]
    kinds = {"n": TensorProto.INT64}
    return make_model(nodes, {"n": [], "x": [2]}, ["last", "all"], {"two": np.array(2)}, dtypes=kinds)


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_control_flow_is_written(opset: int) -> None:
    loaded = moka.onnx.load(branches().SerializeToString())
    again = moka.onnx.export(loaded, opset_version=opset)
    onnx.checker.check_model(onnx.load_from_string(again), full_check=True)
    feed = {"n": np.array(4), "x": np.array([1, 3], np.float32)}
    results = [loaded.run(feed), moka.onnx.load(again).run(feed)]
    results.append(ReferenceEvaluator(onnx.load_from_string(again)).run(None, feed))
    for found in results:
        np.testing.assert_array_equal(found[0], [3, 81])
        np.testing.assert_array_equal(found[1], [[2, 6], [3, 9], [3, 27], [3, 81]])


def test_modules_as_functions() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.GELU(), nn.Linear(4, 2))).eval()
    written = check(model, moka.randn(2, 3), export_modules_as_functions=True)
    assert [(f.domain, f.name) for f in written.functions] == [("moka.modules", "0"), ("moka.modules", "1")]
    assert [node.op_type for node in written.graph.node] == ["0", "1"]
    with pytest.raises(ValueError, match="functions of modules need opset 15"):
        moka.onnx.export(model, moka.randn(2, 3), opset_version=13, export_modules_as_functions=True)


def test_tensors_beside_the_model(tmp_path: Any) -> None:
    model = nn.Linear(40, 30).eval()
    path = tmp_path / "model.onnx"
    x = moka.randn(2, 40)
    moka.onnx.export(model, x, path, external_data=True, metadata={"team": "vision"})
    assert (tmp_path / "model.onnx.data").stat().st_size >= 4800 and path.stat().st_size < 2000
    written = onnx.load(path)
    onnx.checker.check_model(str(path), full_check=True)
    assert {p.key: p.value for p in written.metadata_props} == {"team": "vision"}
    wanted = model(x).detach().numpy()
    np.testing.assert_allclose(
        ReferenceEvaluator(written).run(None, {"input": x.numpy()})[0], wanted, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(moka.onnx.load(path).run([x])[0], wanted, rtol=1e-5)


def test_what_has_no_form_is_refused_by_name_and_line() -> None:
    def program(x: moka.Tensor) -> moka.Tensor:
        return moka.lgamma(x)

    with pytest.raises(
        NotImplementedError, match=r"1 node cannot be written:\n  lgamma \(test_onnx_export.py:\d+\): no form"
    ):
        moka.onnx.export(program, moka.ones(3))


def test_arguments_of_torch() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(3)

        def forward(self, x: moka.Tensor, scale: float = 1.0, *, shift: Any = None, parts: Any = ()) -> Any:
            y = self.bn(x) * scale
            for part in parts:
                y = y + part
            return {"y": y if shift is None else y + shift, "twice": [y * 2]}

    model = Net()
    assert model.training
    x, p = moka.randn(2, 3), moka.randn(2, 3)
    f = io.BytesIO()
    moka.onnx.export(
        model, (x, 2.0), f, kwargs={"shift": p, "parts": (p, p)}, input_names=["x"], output_names=["a"],
        opset_version=17, do_constant_folding=True, export_params=True, verbose=False,
    )  # fmt: skip
    assert model.training
    loaded = moka.onnx.load(f.getvalue())
    assert loaded.input_names == ["x", "shift", "parts.0", "parts.1"] and loaded.output_names == [
        "a",
        "twice.0",
    ]
    model.eval()
    wanted = model(x, 2.0, shift=p, parts=(p, p))
    found = loaded.run([x, p, p, p])
    np.testing.assert_allclose(found[0], wanted["y"].detach().numpy(), rtol=1e-5)
    program = moka.onnx.export(model, (x, {"shift": p}), dynamo=True)
    assert program.model_proto.opset_import[0].version == 18
    assert moka.allclose(program(x, p)[0], model(x, shift=p)["y"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'opsets'"):
        moka.onnx.export(model, (x,), opsets=3)


def small() -> Any:
    rng = np.random.default_rng(3)
    weights = {"w.a": rng.standard_normal((4, 3)).astype(np.float32), "bias": np.zeros(4, np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w.a", "bias"], ["h"], name="fc", transB=1),
        helper.make_node("Relu", ["h"], ["y"], name="act"),
    ]
    return moka.onnx.load(make_model(nodes, {"x": ["n", 3]}, ["y"], weights).SerializeToString())


def test_values_between_can_be_asked_for() -> None:
    model = small()
    x = np.ones((2, 3), np.float32)
    y, h = model.run([x], outputs=["y", "h"])
    np.testing.assert_array_equal(y, np.maximum(h, 0))
    assert model.values["h"] == "float32[n, 4]" and model.outputs == {"y": "float32[n, 4]"}
    with pytest.raises(ValueError, match="no output or value 'hh'; near it are h"):
        model.run([x], outputs=["hh"])


def test_a_loaded_model_is_trained() -> None:
    moka.manual_seed(0)
    model = small()
    module = model.module()
    assert set(module.state_dict()) == {"w.a", "bias"}
    assert all(p.requires_grad for p in module.parameters())
    x, wanted = moka.randn(64, 3), moka.rand(64, 4)
    optimizer = moka.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.mse_loss(module(x), wanted)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    again = moka.onnx.load(moka.onnx.export(module, x, dynamic_axes={"x": {0: "n"}}, input_names=["x"]))
    np.testing.assert_allclose(again.run([x])[0], module(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.compile()(x).numpy(), model.run([x])[0], rtol=1e-6)


def test_loops_are_trained() -> None:
    module = moka.onnx.load(branches().SerializeToString()).module()
    x = moka.tensor([1.0, 3.0], requires_grad=True)
    last, _ = module(moka.tensor(4), x)
    last.sum().backward()
    assert moka.allclose(x.grad, 3 * 3 * x.detach() ** 2)


def run(*words: str, code: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "moka", *words], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_the_tools(tmp_path: Any) -> None:
    model = small()
    paths = {
        name: str(tmp_path / name)
        for name in ("a.onnx", "b.onnx", "old.onnx", "w.pt", "w.safetensors", "m.moka")
    }
    model.save(paths["a.onnx"])
    assert "agree" in run("diff", paths["a.onnx"], paths["a.onnx"], "--size", "3")
    changed = onnx.load(paths["a.onnx"])
    for node in changed.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Neg"
    onnx.save(changed, paths["b.onnx"])
    text = run("diff", paths["a.onnx"], paths["b.onnx"], code=1)
    assert "output y (made by relu /act/Relu)" in text and "first difference: y" in text
    run("convert", paths["a.onnx"], paths["old.onnx"], "--opset", "9")
    assert onnx.load(paths["old.onnx"]).opset_import[0].version == 9
    run("convert", paths["old.onnx"], paths["m.moka"])
    assert "agree" in run("diff", paths["a.onnx"], paths["m.moka"])
    run("convert", paths["a.onnx"], paths["w.safetensors"])
    run("convert", paths["w.safetensors"], paths["w.pt"])
    assert set(moka.load(paths["w.pt"])) == {"w.a", "bias"}
    run("convert", paths["w.pt"], paths["w.safetensors"])
    assert "become .safetensors or .pt" in run("convert", paths["w.pt"], "x.onnx", code=2)


def test_files_are_verified_on_the_examples(tmp_path: Any, monkeypatch: Any) -> None:
    model, x = nn.Linear(3, 4), moka.randn(2, 3)
    moka.onnx.export(model, x, tmp_path / "a.onnx", verify=True)
    traced = jit.trace(model, (x,))
    assert moka.onnx.export(traced, (x,), verify=True) == moka.onnx.export(traced)
    with pytest.raises(TypeError, match="example inputs"):
        moka.onnx.export(traced, verify=True)
    other = moka.onnx.load(moka.onnx.export(nn.Linear(3, 4), x))
    monkeypatch.setattr(moka.onnx, "load", lambda _: other)
    with pytest.raises(RuntimeError, match="8 of 8 elements of output 'output' of the file differ"):
        moka.onnx.export(model, x, verify=True)


class Tagger(nn.Module):
    """A recurrent layer over sequences of different lengths."""

    def __init__(self, kind: Any, bidirectional: bool, total: int | None) -> None:
        super().__init__()
        self.layer = kind(4, 5, 2, bidirectional=bidirectional, batch_first=True)
        self.total = total

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, state = self.layer(packed)
        y, n = pad_packed_sequence(y, batch_first=True, padding_value=-1.0, total_length=self.total)
        return y, n, *(state if isinstance(state, tuple) else (state,))


@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize("total", [None, 8])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed_sequences(kind: Any, bidirectional: bool, total: int | None, opset: int) -> None:
    def sequences(steps: int, *lengths: int) -> tuple[Any, Any]:
        return moka.randn(len(lengths), steps, 4), moka.tensor(lengths)

    others = [sequences(7, 1, 2, 1), sequences(5, 2), sequences(6, 3, 5, 5, 1)]
    written = check(
        Tagger(kind, bidirectional, total),
        sequences(6, 6, 3, 4),
        *others,
        opset=opset,
        reference=False,  # its LSTM takes no lengths
        dynamic_axes={"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}},
    )
    layers = [node for node in written.graph.node if node.op_type in ("LSTM", "GRU", "RNN")]
    assert len(layers) == 2 * (1 + bidirectional) and all(node.input[4] for node in layers)
