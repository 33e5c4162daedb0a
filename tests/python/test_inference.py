"""Frozen graphs: rewritten for speed, equal to the module for every size; what the rewriting leaves alone."""
# SPDX-License-Identifier: Apache-2.0

import copy
import os
import subprocess
import sys

import moka.nn.functional as F
import pytest

import moka
from moka import nn


def optimized(module, *shape, **options):
    moka.manual_seed(1)
    for part in module.modules():  # statistics that matter
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    module.eval()
    traced = moka.jit.freeze(moka.jit.trace(module, moka.randn(*shape), **options))
    traced.run(moka.randn(*shape))
    return traced


def operators(traced):
    return [node["op"] for node in traced._executable.graph.nodes() if node["kind"] == "op"]


def same(traced, module, x):
    with moka.no_grad():
        expected = module(x)
    found = traced(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max().item())


def convolution(inside, outside, kernel, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    )


class Wide(nn.Module):
    """Dense convolutions, whose channels go last, and what stands between them."""

    def __init__(self):
        super().__init__()
        self.first, self.narrow = convolution(3, 70, 7, 2), convolution(70, 20, 1)
        self.side, self.joined = convolution(70, 20, 3), convolution(110, 130, 3, 2)
        self.norm = nn.BatchNorm2d(130)
        self.last = nn.Conv2d(130, 1, 1)

    def forward(self, x):
        x = F.max_pool2d(F.gelu(self.first(x)), 3, 2, 1)
        y = F.relu(self.narrow(x) + self.side(x))
        x = self.joined(moka.cat([x, y, y * 2], 1))
        x = F.avg_pool2d(F.silu(self.norm(moka.tanh(x) * x)), 2, 1)
        return self.last(x * moka.sigmoid(x.mean((2, 3), keepdim=True))), x.mean((2, 3)), x[:, 3:5]


def test_channels_last():
    net = Wide()
    for sizes in ({}, {"x": {0: "n", 2: "h", 3: "w"}}):  # also filters packed for other sizes
        traced = optimized(net, 1, 3, 40, 36, dynamic=sizes)
        if "conv2d_blocked" not in operators(traced):
            pytest.skip("no back end serves blocked channels here")
        assert "conv2d" not in operators(traced) and "batch_norm" not in operators(traced)
        for shape in ((1, 3, 40, 36), (1, 3, 160, 160), (4, 3, 31, 50)) if sizes else ((1, 3, 40, 36),):
            x = moka.randn(*shape)
            with moka.no_grad():
                expected = net(x)
            for found, right in zip(traced(x), expected, strict=True):
                assert found.shape == right.shape and moka.allclose(found, right, rtol=1e-5, atol=2e-5)


class Mixed(nn.Module):
    """Everything that works on blocks, and things between that do not."""

    def __init__(self):
        super().__init__()
        self.first = convolution(3, 24, 3, 2)
        self.deep = convolution(24, 24, 5, 1, groups=24)
        self.narrow, self.side = convolution(24, 32, 1), convolution(24, 32, 1)
        self.grouped = convolution(32, 32, 3, groups=4)
        self.down, self.up = nn.Conv2d(32, 5, 1), nn.Conv2d(5, 32, 1)
        self.joined = convolution(64, 7, 3)

    def forward(self, x):
        x = F.max_pool2d(F.hardswish(self.first(x)), 3, 2, 1, ceil_mode=True)
        x = F.relu(self.narrow(F.relu6(self.deep(x))) + self.side(x))
        gate = moka.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        x = moka.cat([x * gate, F.relu(self.grouped(x))], 1)
        x = F.gelu(self.joined(x))
        return x.mean((2, 3)) + x.flatten(2).sum(2), x[:, :3] * 2


def test_convolutions_work_on_blocked_channels():
    net = Mixed()
    traced = optimized(net, 2, 3, 37, 41, dynamic={"x": {0: "n", 2: "h", 3: "w"}})
    if "conv2d_blocked" not in operators(traced):
        pytest.skip("no back end serves blocked channels here")
    assert operators(traced).count("conv2d_blocked") == 7 and operators(traced).count("conv2d") == 0
    assert operators(traced).count("conv2d_fused") == 1  # groups of several channels stay as they are
    assert "batch_norm" not in operators(traced) and "hardswish" not in operators(traced)
    for shape in ((2, 3, 37, 41), (1, 3, 64, 64), (3, 3, 19, 30)):
        x = moka.randn(*shape)
        with moka.no_grad():
            expected = net(x)
        for found, right in zip(traced(x), expected, strict=True):
            assert (found - right).abs().max() <= 1e-5 * max(1.0, right.abs().max().item())


class Scaled(nn.Module):
    """Several filters for each channel, numbers for each channel and for all."""

    def __init__(self, groups):
        super().__init__()
        self.first, self.wide = convolution(3, 20, 3, 2), convolution(20, 60, 5, groups=20)
        self.last = convolution(60, 60, 3, groups=groups)
        self.scale = nn.Parameter(moka.randn(60, 1, 1))
        self.shift = nn.Parameter(moka.randn(1))

    def forward(self, x):
        x = self.wide(self.first(x))
        return self.last(x + self.scale * x * self.shift) + self.shift


@pytest.mark.parametrize("groups", [1, 60])
def test_several_filters_for_each_channel(groups):
    net = Scaled(groups)
    traced = optimized(net, 2, 3, 37, 41, dynamic={"x": {0: "n", 2: "h", 3: "w"}})
    if "conv2d_blocked" not in operators(traced):
        pytest.skip("no back end serves blocked channels here")
    assert "conv2d" not in operators(traced)
    for shape in ((2, 3, 37, 41), (1, 3, 64, 64)):
        same(traced, net, moka.randn(*shape))


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 20])
@pytest.mark.parametrize(
    "kernel, stride, padding, dilation", [(1, 1, 0, 1), (3, 2, 1, 1), (3, 1, 4, 2), (4, 3, 2, 1)]
)
def test_one_convolution(channels, kernel, stride, padding, dilation):
    net = nn.Conv2d(channels, 18, kernel, stride, padding, dilation)
    traced = optimized(net, 1, channels, 17, 23)
    same(traced, net, moka.randn(1, channels, 17, 23))
    same(traced, net, moka.randn(3, channels, 17, 23))


class Tiled(nn.Module):
    """3 x 3 convolutions with stride 1, with what may follow one."""

    def __init__(self, channels, wide):
        super().__init__()
        self.first = nn.Conv2d(channels, wide, 3, padding=1)
        self.second = convolution(wide, wide, 3)
        self.third = nn.Conv2d(wide, 32, 3, padding=(0, 2), bias=False)

    def forward(self, x):
        y = F.relu(self.first(x))
        y = F.relu(self.second(y) + y)
        return self.third(y), F.silu(self.third(y))


@pytest.mark.parametrize("channels, wide, points", [(24, 32, 36), (40, 48, 36), (256, 200, 16)])
def test_winograd(channels, wide, points):
    net = Tiled(channels, wide)
    for sizes in ({}, {"x": {0: "n", 2: "h", 3: "w"}}):
        traced = optimized(net, 1, channels, 22, 25, dynamic=sizes)
        if "conv2d_blocked" not in operators(traced) and "conv2d_winograd" not in operators(traced):
            pytest.skip("no back end serves blocked channels here")
        assert operators(traced).count("conv2d_winograd") >= 3
        if not sizes:
            assert f"float32[{points}, " in str(traced._executable.graph)
        exact = copy.deepcopy(net).double()
        # Pictures smaller than a tile, batches with more and with fewer tiles than threads want.
        for shape in ((1, 22, 25), (9, 30, 31), (2, 3, 1), (0, 8, 8), (1, 4, 2)) if sizes else ((1, 22, 25),):
            x = moka.randn(shape[0], channels, *shape[1:])
            with moka.no_grad():
                expected = exact(x.double())
            for found, right in zip(traced(x), expected, strict=True):
                assert found.shape == right.shape
                if right.numel():
                    assert (found - right).abs().max() <= 2e-5 * right.abs().max()


@pytest.mark.parametrize(
    "channels, groups, kernel, stride, padding, dilation, size",
    [
        (16, 1, 3, 1, 12, 12, (4, 4)),
        (16, 16, 3, 1, 6, 6, (5, 9)),
        (3, 1, 3, 1, 8, 8, (4, 20)),
        (32, 1, (3, 5), (1, 2), (9, 4), (9, 2), (7, 8)),
        (16, 1, 3, 1, 5, 12, (20, 15)),
    ],
)
def test_taps_that_read_padding_alone(channels, groups, kernel, stride, padding, dilation, size):
    filters = channels if groups > 1 else 32
    conv = nn.Conv2d(channels, filters, kernel, stride, padding, dilation, groups)
    net = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(filters, 16, 1))
    sizes = {"input": {0: "n", 2: "h", 3: "w"}}
    same(optimized(net, 1, channels, 64, 64, dynamic=sizes), net, moka.randn(2, channels, *size))


def test_a_sum_lies_over_what_it_adds():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))

        def forward(self, x):
            x = self.stages[0](x)
            for stage in self.stages[1:]:
                x = F.relu(stage(x) + x)
            return x, x + 1

    net = Residual()
    traced = optimized(net, 1, 16, 9, 9)
    x = moka.randn(1, 16, 9, 9)
    with moka.no_grad():
        expected = net(x)
    for _ in range(2):
        for found, right in zip(traced(x), expected, strict=True):
            assert (found - right).abs().max() < 1e-5


@pytest.mark.parametrize("activation", ["silu", "sigmoid", "tanh", "gelu", "hardswish"])
@pytest.mark.parametrize("groups", [1, 20])
def test_activations_of_small_and_large_results(groups, activation):
    function = getattr(moka, activation, None) or getattr(F, activation)

    class Activated(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(20, 20, 3, padding=1, groups=groups)
            self.second = nn.Conv2d(20, 36, 3, 2, 1)

        def forward(self, x):
            return function(self.second(function(self.first(x) + x)))

    net = Activated()
    traced = optimized(net, 1, 20, 9, 9, dynamic={"x": {0: "n", 2: "h", 3: "w"}})
    assert activation not in operators(traced)
    for shape in ((1, 20, 9, 9), (1, 20, 40, 44), (3, 20, 21, 30)):
        same(traced, net, moka.randn(*shape))

    class Layer(nn.Linear):
        def forward(self, x):
            return function(super().forward(x))

    layer = Layer(100, 90)
    traced = optimized(layer, 5, 100, dynamic={"x": {0: "n"}})
    assert operators(traced) == ["linear_packed"]
    for rows in (5, 200):
        same(traced, layer, moka.randn(rows, 100))


@pytest.mark.parametrize("inside, outside", [(100, 90), (300, 30), (64, 1000), (17, 640)])
def test_linear_layers_read_packed_weights(inside, outside):
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.back = nn.Linear(inside, outside), nn.Linear(outside, inside, bias=False)
            self.small = nn.Linear(inside, 2)

        def forward(self, x):
            y = x + self.back(F.gelu(self.wide(x)))
            y = F.relu(F.linear(y, self.wide.weight) + F.silu(self.wide(x)))  # weights of two layers
            return y, self.small(moka.tanh(self.back(y)))

    net = Layers()
    traced = optimized(net, 3, 5, inside, dynamic={"x": {0: "n", 1: "t"}})
    assert operators(traced).count("linear_packed") == 4 and operators(traced).count("linear") == 1
    for shape in ((3, 5), (1, 1), (2, 70), (0, 4)):
        x = moka.randn(*shape, inside)
        with moka.no_grad():
            expected = net(x)
        for found, right in zip(traced(x), expected, strict=True):
            assert found.shape == right.shape and moka.allclose(found, right, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("hidden", [5, 16, 70])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "relu"])
def test_recurrent_layers_read_packed_weights(kind, hidden):
    options = {"num_layers": 2, "bidirectional": True, "bias": hidden != 16}
    if kind == "relu":
        kind, options["nonlinearity"] = "RNN", "relu"
    net = getattr(nn, kind)(7, hidden, **options)
    traced = optimized(net, 6, 2, 7, dynamic={"input": {0: "t", 1: "n"}})
    assert operators(traced).count("rnn_layer_packed") == 4 and "rnn_layer" not in operators(traced)
    for shape in ((6, 2), (1, 1), (3, 17)):
        x = moka.randn(*shape, 7)
        with moka.no_grad():
            expected, last = net(x)
        found = traced(x)
        last = last if isinstance(last, tuple) else (last,)
        found_last = found[1] if isinstance(found[1], tuple) else found[1:]
        for ours, right in zip((found[0], *found_last), (expected, *last), strict=True):
            assert ours.shape == right.shape and moka.allclose(ours, right, rtol=1e-5, atol=1e-6)


def test_layers_with_projection_stay():
    net = nn.LSTM(3, 8, proj_size=4)
    traced = optimized(net, 5, 2, 3)
    x = moka.randn(5, 2, 3)
    assert moka.allclose(traced(x)[0], net(x)[0], atol=1e-6) and "rnn_layer" in operators(traced)


@pytest.mark.parametrize("kernel, stride, padding, dilation", [(3, 2, 1, 1), (2, 1, 0, 2), (5, 3, 2, 1)])
def test_maximum_of_blocked_pictures(kernel, stride, padding, dilation):
    pool = nn.MaxPool2d(kernel, stride, padding, dilation)
    net = nn.Sequential(nn.Conv2d(3, 20, 1), pool, nn.Conv2d(20, 4, 1))
    traced = optimized(net, 1, 3, 11, 14)
    x = moka.randn(2, 3, 11, 14)
    same(traced, net, x)
    x[0, 0, 4, 5] = float("nan")
    with moka.no_grad():
        assert (traced(x).isnan() == net(x).isnan()).all()


def test_layers_in_parts_are_recognized():
    weights, bias = moka.randn(5, 64, 130).unbind(), moka.randn(130)
    half, root = moka.tensor(0.5), moka.tensor(2.0).sqrt()

    def parts(x):
        y = bias + x @ weights[0]
        y = y * (moka.erf(y / root) + 1) * half
        z = x @ weights[1]
        z = z * (0.5 * (1 + moka.erf(z * 0.5**0.5)))
        h = (x @ weights[2]) + bias
        h = h * moka.clamp(h * (1 / 6) + 0.5, 0, 1)
        g = x @ weights[3]
        g = g * moka.clamp(g + 3, 0, 6) / 6
        s = (x @ weights[4]) + bias * 2
        return y, z, h, g, s * moka.sigmoid(s)

    x = moka.randn(9, 64)
    expected = parts(x)
    traced = moka.jit.freeze(moka.jit.trace(parts, x))
    for found, right in zip(traced(x), expected, strict=True):
        assert (found - right).abs().max() <= 1e-5 * right.abs().max()
    assert set(operators(traced)) == {"linear_packed"}
    kept = {
        lambda x: x * moka.sigmoid(x + 1): "sigmoid",
        lambda x: 0.4 * x * (moka.erf(x / root) + 1): "erf",
        lambda x: x * moka.clamp(x * (1 / 6) + 0.5, 0, 2): "clamp",
    }
    for other, op in kept.items():
        traced = moka.jit.freeze(moka.jit.trace(other, x))
        assert moka.allclose(traced(x), other(x), atol=1e-6) and op in str(traced._executable.graph)


class Dense(nn.Module):
    """Norms behind joins, and averages of windows."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(32), nn.BatchNorm2d(48, affine=False), nn.BatchNorm2d(20)])
        self.steps = nn.ModuleList([nn.Conv2d(32, 16, 1), nn.Conv2d(48, 20, 3, padding=1)])

    def forward(self, x):
        x = self.first(x)
        x = moka.cat([x, self.steps[0](F.relu(self.norms[0](x)))], 1)
        x = F.avg_pool2d(F.silu(self.norms[1](x)), (2, 3), stride=(2, 1))
        x = F.avg_pool2d(self.steps[1](x), 3, 1, 1)
        side = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return F.relu(self.norms[2](x)), side


def test_norms_and_averages_of_blocked_pictures():
    net = Dense()
    traced = optimized(net, 2, 3, 12, 13)
    if "conv2d_blocked" not in operators(traced):
        pytest.skip("no back end serves blocked channels here")
    assert "batch_norm" not in operators(traced) and operators(traced).count("avg_pool2d") == 1
    assert "relu" not in operators(traced) and "silu" not in operators(traced)
    x = moka.randn(2, 3, 12, 13)
    with moka.no_grad():
        expected = net(x)
    for found, right in zip(traced(x), expected, strict=True):
        assert found.shape == right.shape and moka.allclose(found, right, atol=1e-5)


def test_averages_without_a_stride_take_their_window():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.outside = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3)

        def forward(self, x):
            return self.outside(F.avg_pool2d(F.max_pool2d(F.relu(self.inside(x)), 2), 2))

    net = Net()
    same(optimized(net, 2, 3, 32, 30), net, moka.randn(2, 3, 32, 30))


def test_channels_in_blocks_on_other_processors():
    code = (
        "import test_inference as t;"
        "t.test_channels_last(); t.test_convolutions_work_on_blocked_channels();"
        "t.test_norms_and_averages_of_blocked_pictures();"
        "t.test_winograd(40, 48, 36); t.test_winograd(256, 200, 16);"
        "t.test_one_convolution(20, 3, 2, 1, 1);"
        "t.test_activations_of_small_and_large_results(1, 'tanh')"
    )
    folder = os.path.dirname(__file__)
    environment = os.environ | {"MOKA_MAX_ISA": "avx2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0


def test_other_types_and_weights_that_are_inputs_stay():
    net = nn.Conv2d(4, 6, 3).double()
    traced = moka.jit.freeze(moka.jit.trace(net.eval(), moka.randn(1, 4, 8, 8, dtype=moka.float64)))
    x = moka.randn(2, 4, 8, 8, dtype=moka.float64)
    assert moka.allclose(traced(x), net(x)) and "conv2d_blocked" not in operators(traced)
    a, w = moka.randn(1, 4, 8, 8), moka.randn(6, 4, 3, 3)
    free = moka.jit.trace(lambda x, w: F.relu(F.conv2d(x, w)), (a, w))
    assert moka.allclose(free(a, w), F.relu(F.conv2d(a, w)), atol=1e-5)


def test_states_that_change_are_not_frozen():
    net = nn.BatchNorm2d(3).train()
    traced = moka.jit.trace(nn.Sequential(nn.Conv2d(3, 3, 1), net), moka.randn(4, 3, 5, 5))
    first = traced(moka.randn(4, 3, 5, 5) + 3)
    assert first.shape == (4, 3, 5, 5) and traced._executable.state("1.num_batches_tracked").item() == 1


def test_without_onednn_the_results_are_the_same():
    code = (
        "import moka; from moka import nn; moka.manual_seed(0);"
        "net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 5, 3)).eval();"
        "x = moka.randn(1, 3, 9, 9);"
        "t = moka.jit.freeze(moka.jit.trace(net, x));"
        "assert (t(x) - net(x)).abs().max() < 1e-5;"
        "assert 'conv2d_blocked' not in str(t._executable.graph);"
        "l = nn.Sequential(nn.Linear(200, 100), nn.GELU(), nn.Linear(100, 200)).eval();"
        "x = moka.randn(7, 200);"
        "t = moka.jit.freeze(moka.jit.trace(l, x));"
        "assert (t(x) - l(x)).abs().max() < 1e-5 and 'linear_packed' in str(t._executable.graph)"
    )
    environment = os.environ | {"MOKA_ONEDNN": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)
