"""What recordings see beside operators: values asked for, arguments and found tensors that are written,
parts that stay Python, nested and named containers.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from moka.jit.trees import tree_of

import moka
from moka import nn

ROWS = moka.arange(6.0).reshape(2, 3) + 1


def while_small(x):
    while x.sum() < 100:
        x = x * 2
    return x


def counted(x):
    for _ in range(x.sum().long()):
        x = x + 1
    return x


ASKING = {
    "if": lambda x: x if x.sum() > 0 else -x,
    "while": while_small,
    "range": counted,
    "bool": lambda x: x * bool(x.sum()),
    "int": lambda x: x * int(x.sum()),
    "float": lambda x: x * float(x.sum()),
    "complex": lambda x: x * complex(x.sum()),
    "item": lambda x: x * x.sum().item(),
    "tolist": lambda x: x * x.tolist()[0][0],
    "numpy": lambda x: x * moka.from_numpy(x.numpy()),
    "array": lambda x: x * moka.tensor(np.asarray(x)),
    "ufunc": lambda x: x * moka.tensor(np.sqrt(x)),
    "dlpack": lambda x: x * moka.from_dlpack(x),
    "math": lambda x: x * math.sqrt(x.sum()),
    "list index": lambda x: x * [1, 2, 3][x.argmax() % 3],
    "slice": lambda x: x[:, : x[0, 0].long()],
    "in": lambda x: x if 3.0 in x else -x,
    "equal": lambda x: x if moka.equal(x, x + 0) else -x,
    "max of Python": lambda x: max(x[0]),
    "format": lambda x: x * len(f"{x.sum():.2f}"),
    "a size": lambda x: moka.zeros(x[0, 0].long()),
    "a shape": lambda x: x.reshape(x[0, 1].long(), -1),
    "a number": lambda x: moka.add(x, x, alpha=x[0, 0]),
    "a dimension": lambda x: x.sum(x[0, 0].long() - 1),
    "a list of tensors": lambda x: x * moka.tensor([x[0, 0], x[1, 1], x[0, 1]]),
    "a mask of no dimension": lambda x: x[(x > 2).any()],
}


@pytest.mark.parametrize("name", ASKING)
def test_values_are_no_constants(name):
    with pytest.raises(RuntimeError, match=r"(?s)trace records \(test_jit_capture.py:\d+\).*moka.jit.ignore"):
        moka.jit.trace(ASKING[name], ROWS, dynamic={})


def test_the_module_that_asks_is_named():
    class Asking(nn.Module):
        def forward(self, x):
            return x * x.max().item()

    with pytest.raises(RuntimeError, match=r"test_jit_capture.py:\d+, in 0.1"):
        moka.jit.trace(nn.Sequential(nn.Sequential(nn.Identity(), Asking())), ROWS)


FOLLOWED = {
    "printing": lambda x: x * min(len(repr(x)), len(f"{x}"), 1),
    "data": lambda x: x.data * 2,
    "indexing": lambda x: x[x[0, 0].long() % 2],
    "indexing of two": lambda x: x[:, x[0, 0].long() % 3],
    "a new tensor": lambda x: moka.tensor(x[0]) + x.new_tensor(x[1]),
    "complex": lambda x: (x * 1j).imag + (x.double() * (0.1 + 2j)).real,
    "constants": lambda x: x * moka.arange(3).sum().item() + moka.linspace(0, 1, 3).tolist()[1],
    "turned in place": lambda x: (x + 1).t_().unsqueeze_(0) * 2,
    "data replaced": lambda x: setattr(x, "data", x + 1) or x * 2,
    "a list, written": lambda x: moka.tensor([0.0, 1.0, 2.0]).mul_(x[0]),
    "named results": lambda x: (x.topk(2), x.max(1), x.sort(1).values),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_followed(name):
    program = FOLLOWED[name]
    traced = moka.jit.trace(program, ROWS, dynamic={})
    other = 7 - ROWS.flip(0)
    found, expected = traced(other.clone()), program(other.clone())
    assert type(found) is type(expected)
    leaves: tuple = ([], [])
    assert tree_of(found, leaves[0]) == tree_of(expected, leaves[1])
    for a, b in zip(*leaves, strict=True):
        assert a.dtype == b.dtype and a.tolist() == b.tolist()


def test_sizes_in_results_follow():
    traced = moka.jit.trace(lambda x: (x * 2, x.shape[0] * 2, x.shape), ROWS)
    assert traced(moka.ones(5, 3))[1:] == (10, (5, 3))


def test_arguments_that_are_written():
    def program(x, y):
        x[1:].mul_(y)
        y.t()[0] = 7
        return x.sum()

    kept = moka.ones(3, 2), moka.ones(2, 2)
    traced = moka.jit.trace(program, kept, dynamic={})
    assert all(bool((t == 1).all()) for t in kept)
    for call in (traced, traced.module()):
        x, y, u, v = moka.ones(3, 2) * 2, moka.ones(2, 2) * 3, moka.ones(3, 2) * 2, moka.ones(2, 2) * 3
        assert call(x, y).item() == program(u, v).item()
        assert x.tolist() == u.tolist() and y.tolist() == v.tolist()
    assert (
        traced.graph.outputs == ["output", "x.after", "y.after"] and "writes inputs x, y" in traced.report()
    )


def test_written_arguments_in_packages(tmp_path):
    def program(x):
        x.add_(1)

    moka.jit.trace(program, moka.zeros(3)).save(tmp_path / "net.moka")
    x = moka.zeros(4)
    assert moka.jit.load(tmp_path / "net.moka")(x) is None and x.tolist() == [1.0] * 4


def test_found_tensors_that_are_written_live_between_runs():
    count = moka.zeros(2)

    def program(x):
        count[0] += 1
        return x + count

    traced = moka.jit.trace(program, moka.ones(2))
    assert count.tolist() == [0.0, 0.0]
    assert traced(moka.ones(2)).tolist() == [2.0, 1.0] and traced(moka.ones(2)).tolist() == [3.0, 1.0]
    assert count.tolist() == [2.0, 0.0]


def test_states_are_the_modules_own():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    traced = moka.jit.trace(net, moka.randn(5, 3))
    assert net[1].num_batches_tracked.item() == 0
    traced(moka.randn(5, 3) + 3)
    assert net[1].num_batches_tracked.item() == 1 and net[1].running_mean.abs().max().item() > 0
    net[1].reset_running_stats()
    traced(moka.randn(5, 3))
    assert net[1].num_batches_tracked.item() == 1
    with moka.no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
    assert traced(moka.randn(5, 3)).abs().max().item() == 0


def test_recordings_inside_recordings():
    inner = moka.jit.trace(nn.Linear(3, 2), ROWS)
    outer = moka.jit.trace(lambda x: inner(x) * 2, ROWS)
    x = moka.randn(4, 3)
    assert moka.allclose(outer(x), inner(x) * 2)


@dataclass
class Batch:
    values: moka.Tensor
    scale: int


class Pair(NamedTuple):
    left: moka.Tensor
    right: moka.Tensor


def nested(batch, pair):
    total = batch.values * batch.scale
    return {"pair": Pair(total, pair.right), 3: Batch(total, 4), "order": OrderedDict(z=pair.left)}


def test_containers_keep_their_form(tmp_path):
    args = (Batch(moka.ones(3), 2), Pair(moka.zeros(2), moka.ones(2)))
    traced = moka.jit.trace(nested, args)
    assert traced.graph.inputs == ["batch.values", "pair.left", "pair.right"]
    found = traced(*args)
    assert isinstance(found["pair"], Pair) and isinstance(found[3], Batch) and found[3].scale == 4
    traced.save(tmp_path / "nested.moka")
    loaded = moka.jit.load(tmp_path / "nested.moka")
    found = loaded(*args)
    assert isinstance(found["pair"], Pair) and type(found["order"]) is OrderedDict
    assert type(found[3]).__name__ == "Batch" and found[3].values.tolist() == [2.0] * 3
    moka.export.register_dataclass(Batch)
    assert isinstance(loaded(*args)[3], Batch)
    with pytest.raises(ValueError, match="argument value 2 was recorded as it was, but 5 came"):
        loaded(Batch(moka.ones(3), 5), args[1])
    with pytest.raises(TypeError, match=r"takes \(Batch\(values=Tensor, scale=2\), Pair"):
        loaded(args[1], args[0])


@moka.jit.ignore
def looking(x, count, factor=3):
    kept = x[:count]
    return {"kept": moka.from_numpy(kept.numpy() * factor) if x.sum() > 0 else -kept, "factor": factor}


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        return self.lin(looking(x, x.shape[0] // 2)["kept"])


def test_marked_functions_stay_python(tmp_path):
    net = Mixed()
    traced = moka.jit.trace(net, moka.ones(4, 3))
    for x in (moka.ones(6, 3), -moka.ones(2, 3)):
        assert moka.allclose(traced(x), net(x))
    (segment,) = traced.python_segments
    assert segment.file == "test_jit_capture.py" and f"looking ({segment.file}:{segment.line})" in str(
        segment
    )
    assert "needs Python: " in traced.report()
    for write in (lambda: traced.save(tmp_path / "net.moka"), lambda: moka.onnx.export(traced)):
        with pytest.raises(NotImplementedError, match=rf"(?s)looking.*test_jit_capture.py:{segment.line}"):
            write()
    module = traced.module()
    module(moka.ones(4, 3)).sum().backward()
    assert module.lin.weight.grad is not None


def test_marked_functions_may_not_write_and_not_change_their_form():
    @moka.jit.ignore
    def writing(x):
        x.add_(1)
        return x * 2

    with pytest.raises(RuntimeError, match="wrote one of its arguments in place"):
        moka.jit.trace(lambda x: writing(x), moka.ones(2))

    @moka.jit.ignore
    def number(x):
        return float(x.sum())

    with pytest.raises(RuntimeError, match="only tensors may change"):
        moka.jit.trace(lambda x: x * number(x), moka.ones(2), check_trace=False)(moka.ones(2) * 2)

    @moka.jit.ignore
    def failing(x):
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        moka.jit.trace(lambda x: failing(x), moka.ones(2))


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(moka.randn(3, 2))
        self.register_buffer("calls", moka.zeros(()))

    def encode(self, x):
        self.calls += 1
        return x @ self.weight

    def forward(self, x):
        return self.encode(x) @ self.weight.t()


def test_entry_points_share_states_in_packages(tmp_path):
    net = Coder()
    x = moka.randn(4, 3)
    moka.jit.trace_module(net, {"forward": x, "encode": x}).save(tmp_path / "coder.moka")
    loaded = moka.jit.load(tmp_path / "coder.moka")
    assert moka.allclose(loaded.encode(x), x @ net.weight) and loaded(x[:2]).shape == (2, 3)
    assert loaded.state_dict()["calls"].item() == 2 and loaded.encode.state_dict()["calls"].item() == 2


def test_errors_at_run_time_name_line_and_module():
    net = nn.Sequential(OrderedDict(words=nn.Embedding(4, 2)))
    traced = moka.jit.trace(net, moka.tensor([1, 2]))
    with pytest.raises(IndexError, match=r"in embedding of words \(test_jit_capture.py:\d+\)"):
        traced(moka.tensor([7]))
