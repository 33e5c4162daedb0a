"""Recordings of whole programs: sizes that stay open, writes in place, nested arguments, conditions on
sizes.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import namedtuple

import moka.nn.functional as F
import pytest
from moka.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from moka.utils.pytree import tree_leaves

import moka
from moka import nn


def same(traced, func, *args):
    found, expected = traced(*args), func(*args)
    assert type(found) is type(expected)
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert moka.allclose(a.double(), b.double(), atol=1e-5)


class Attention(nn.Module):
    def __init__(self, width=16, heads=4, block=32):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("mask", moka.tril(moka.ones(block, block)).view(1, 1, block, block))

    def forward(self, x):
        batch, time, width = x.size()
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        weights = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        weights = weights.masked_fill(self.mask[:, :, :time, :time] == 0, float("-inf"))
        return self.out((F.softmax(weights, -1) @ v).transpose(1, 2).contiguous().view(batch, time, width))


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 16), nn.Embedding(32, 16)
        self.attention, self.head = Attention(), nn.Linear(16, 20, bias=False)
        self.words.weight = self.head.weight

    def forward(self, ids):
        batch, time = ids.size()
        x = self.words(ids) + self.places(moka.arange(0, time).unsqueeze(0))
        x = x + self.attention(x)
        return self.head(x[:, [-1], :]), self.head(x).view(batch * time, -1)


def test_a_language_model_takes_any_batch_and_length():
    net = Language().eval()
    traced = moka.jit.trace(net, moka.randint(0, 20, (2, 5)), dynamic={"ids": {0: "batch", 1: "time"}})
    assert repr(traced) == "TracedModule(Language: ids: int64[batch, time] -> output0, output1)"
    for batch, time in ((1, 1), (3, 7), (4, 32)):
        same(traced, net, moka.randint(0, 20, (batch, time)))


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(4, 2)

    def forward(self, x):
        y = F.relu(self.conv(x))
        larger = F.interpolate(y, size=x.shape[2:], mode="bilinear")
        return larger, self.head(y.flatten(2).transpose(1, 2)).reshape(x.size(0), -1)


def test_a_convolutional_network_takes_any_picture():
    net = Pictures().eval()
    traced = moka.jit.trace(net, moka.randn(1, 3, 8, 8), dynamic={"x": {0: "n", 2: "height", 3: "width"}})
    for shape in ((2, 3, 8, 8), (1, 3, 12, 10), (3, 3, 9, 7)):
        same(traced, net, moka.randn(*shape))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_networks_take_any_length(kind):
    net = kind(5, 6, 2, batch_first=True, bidirectional=True).eval()
    traced = moka.jit.trace(net, moka.randn(2, 4, 5), dynamic={0: {0: "batch", 1: "time"}})
    for shape in ((3, 9, 5), (1, 1, 5)):
        same(traced, net, moka.randn(*shape))


def test_numbers_computed_from_sizes_are_computed_by_the_graph():
    def program(x):
        rest = (4 - x.shape[1] % 4) % 4
        half = x.size(1) // 2
        blocks = F.pad(x, (0, rest)).reshape(-1, 4)
        return blocks.sum(0), x[:, half:], moka.zeros(x.shape[0], half + 1), x.sum() / x.numel()

    traced = moka.jit.trace(program, moka.randn(2, 6), dynamic={0: {0: "n", 1: "t"}})
    for shape in ((3, 5), (1, 8), (4, 11)):
        same(traced, program, moka.randn(*shape))


def test_sizes_that_must_be_multiples():
    def windows(x):
        n, h, w, c = x.shape
        return x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)

    traced = moka.jit.trace(
        windows, moka.randn(2, 4, 6, 3), dynamic={"x": {0: "n", 1: "2*height", 2: "2*width"}}
    )
    same(traced, windows, moka.randn(1, 8, 4, 3))


def test_a_way_that_sizes_chose_is_checked():
    def program(x):
        return x[:, :4].sum() if x.shape[1] > 4 else x.sum() * 2

    traced = moka.jit.trace(program, moka.ones(1, 6), dynamic={"x": {1: "time"}})
    same(traced, program, moka.ones(1, 5))
    with pytest.raises(ValueError, match=r"recorded where time > 4 holds"):
        traced(moka.ones(1, 4))
    short = moka.jit.trace(program, moka.ones(1, 4), dynamic={"x": {1: "time"}})
    same(short, program, moka.ones(1, 2))
    with pytest.raises(ValueError, match=r"recorded where time <= 4 holds"):
        short(moka.ones(1, 5))


def test_writes_into_views_become_new_values():
    def program(x):
        y = moka.zeros(x.shape[0], 5)
        y[:, 1] = x[:, 0]
        y[:, 2:4] = x[:, 1:3]
        y[0] += 1
        flat, turned = y.view(-1), y.t()
        flat[0] = 5
        turned[1].mul_(2)
        y.diagonal().fill_(7)
        first, second = y.split([2, 3], 1)
        second.sub_(1)
        y[y > 6] = 0
        y.unbind(1)[1].copy_(x[:, 1])
        return y * 2, flat, turned, first

    traced = moka.jit.trace(program, moka.randn(5, 4), dynamic={"x": {0: "rows"}})
    for rows in (5, 6, 9):
        same(traced, program, moka.randn(rows, 4))


def test_integers_written_with_other_types_keep_theirs():
    def program(x):
        count = moka.zeros(3, dtype=moka.int32)
        count += x.to(moka.int8)
        count[1:] += (x[1:] > 0).long()
        return count

    same(moka.jit.trace(program, moka.tensor([1.0, 2.0, -3.0])), program, moka.tensor([4.0, -2.0, 3.0]))


class Cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("rows", moka.zeros(4, 2))
        self.register_buffer("count", moka.zeros((), dtype=moka.int64))

    def forward(self, x):
        self.rows[:-1] = self.rows[1:].clone()
        self.rows[-1] = x
        self.count += 1
        return self.rows.sum(0), self.count * 1


def test_states_written_through_views_live_between_runs():
    traced, net = moka.jit.trace(Cache(), moka.ones(2)), Cache()
    for i in range(6):
        same(traced, net, moka.ones(2) * i)


Pair = namedtuple("Pair", "left right")


def test_arguments_and_results_may_be_nested():
    def program(batch, scale=1.0, *, masks=None):
        total = batch["x"] * scale + batch["pair"].left
        return {"total": total, "nothing": None, "parts": [total + m for m in masks], "kind": "sum"}

    batch = {"x": moka.ones(2), "pair": Pair(moka.ones(2), moka.zeros(2))}
    masks = [moka.ones(2), moka.zeros(2)]
    traced = moka.jit.trace(program, (batch, 3.0), example_kwarg_inputs={"masks": masks}, dynamic={})
    assert traced.graph.inputs == ["batch.x", "batch.pair.left", "batch.pair.right", "masks.0", "masks.1"]
    found = traced(batch, 3.0, masks=masks)
    assert found["total"].tolist() == [4.0, 4.0] and found["nothing"] is None and found["kind"] == "sum"
    assert found["parts"][0].tolist() == [5.0, 5.0]
    assert traced(batch, scale=3.0, masks=masks)["total"].tolist() == [4.0, 4.0]
    with pytest.raises(ValueError, match=r"argument value 3.0 was recorded as it was, but 4.0 came"):
        traced(batch, 4.0, masks=masks)
    with pytest.raises(TypeError, match="the recorded program takes"):
        traced(batch["x"], 3.0, masks=masks)


def test_results_keep_their_form_in_packages(tmp_path):
    traced = moka.jit.trace(lambda x: {"a": x + 1, "b": (x, None, 2)}, moka.ones(2))
    traced.save(tmp_path / "nested.moka")
    found = moka.jit.load(tmp_path / "nested.moka")(moka.zeros(2))
    assert found["a"].tolist() == [1.0, 1.0] and found["b"][1:] == (None, 2)


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(moka.randn(3, 2))

    def encode(self, x):
        return x @ self.weight

    def forward(self, x):
        return self.encode(x) @ self.weight.t()


def test_methods_are_recorded_with_their_module():
    net = Coder()
    x = moka.randn(4, 3)
    encode = moka.jit.trace(net.encode, x)
    assert "weight" in encode.state_dict()
    same(encode, net.encode, moka.randn(2, 3))
    both = moka.jit.trace_module(net, {"forward": x, "encode": x})
    same(both, net, x)
    same(both.encode, net.encode, x)


def test_a_recording_is_trained_as_a_module():
    moka.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    module = moka.jit.trace(net, moka.randn(5, 3)).module()
    assert dict(module.named_parameters()).keys() == dict(net.named_parameters()).keys()
    x = moka.randn(5, 3)
    module(x).sum().backward()
    net(x).sum().backward()
    for name, parameter in net.named_parameters():
        assert moka.allclose(module.get_parameter(name).grad, parameter.grad)


class Tagger(nn.Module):
    """A recurrent layer over sequences of different lengths."""

    def __init__(self, kind, bidirectional, total=None):
        super().__init__()
        self.layer = kind(4, 5, 2, bidirectional=bidirectional, batch_first=True)
        self.total = total

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, state = self.layer(packed)
        y, n = pad_packed_sequence(y, batch_first=True, padding_value=-1.0, total_length=self.total)
        return y, n, state


@pytest.mark.parametrize("total", [None, 8])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed_sequences_of_any_lengths(kind, bidirectional, total):
    model = Tagger(kind, bidirectional, total)
    traced = moka.jit.trace(model, (moka.randn(3, 6, 4), moka.tensor([6, 3, 4])))
    fast = moka.jit.freeze(traced)
    for steps, lengths in ((6, [6, 3, 4]), (6, [1, 2, 1]), (6, [2]), (6, [3, 5, 5, 1])):
        args = moka.randn(len(lengths), steps, 4), moka.tensor(lengths)
        same(traced, model, *args)
        same(fast, model, *args)
    with pytest.raises(RuntimeError, match="above 0"):
        traced(moka.randn(2, 6, 4), moka.tensor([2, 0]))
    with pytest.raises(RuntimeError, match="do not fit"):
        traced(moka.randn(2, 6, 4), moka.tensor([7, 2]))


@pytest.mark.parametrize(
    "program",
    [
        lambda x: (moka.nonzero(x) * 2).relu() + 1,
        lambda x: x[x > 0].exp(),
        lambda x: moka.masked_select(x, x > 0).sum(),
        lambda x: moka.unique(x, return_counts=True),
        lambda x: x[:, (x > 0).any(0)] * 2,
        lambda x: x[moka.nonzero(x)[:, 0]].split(1, 1),
        lambda x: moka.bincount((x > 0).flatten().long() + (x > 1).flatten().long()),
        lambda x: moka.repeat_interleave(x, (x[:, 0] > 0).long() + 1, 0),
    ],
)
def test_sizes_that_depend_on_values_stay_open(program):
    x = moka.ones(2, 3)
    traced = moka.jit.trace(program, (x,), dynamic={})
    assert "?" in str(traced.graph)
    for values in ([[1.0, 0, 0], [0, 0, 2]], [[0.0] * 3] * 2, [[1, 2, 3], [0, 0, 1]]):
        same(traced, program, moka.tensor(values, dtype=moka.float32))
