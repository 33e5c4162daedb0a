"""Layers and losses against NumPy."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest

import moka
from moka import nn
from moka.nn import functional as F

RNG = np.random.default_rng(7)


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def tensor(values):
    return moka.from_numpy(np.ascontiguousarray(values))


def close(result, expected, tolerance=1e-5):
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def set_weights(layer, **values):
    with moka.no_grad():
        for name, value in values.items():
            getattr(layer, name).copy_(tensor(value))


def convolve(x, w, b, stride, padding, dilation, groups):
    """Cross-correlation by its definition."""
    n, _, height, width = x.shape
    out, per_group, kh, kw = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)).astype(np.float64)
    rows = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out, rows, columns))
    for o in range(out):
        first = o // (out // groups) * per_group
        for u in range(kh):
            for v in range(kw):
                window = x[
                    :,
                    first : first + per_group,
                    u * dilation[0] : u * dilation[0] + rows * stride[0] : stride[0],
                    v * dilation[1] : v * dilation[1] + columns * stride[1] : stride[1],
                ][:, :, :rows, :columns]
                y[:, o] += (window * w[o, :, u, v][None, :, None, None]).sum(1)
        y[:, o] += b[o] if b is not None else 0
    return y


def test_linear():
    layer = nn.Linear(3, 2)
    w, b, x = array(2, 3), array(2), array(4, 5, 3)
    set_weights(layer, weight=w, bias=b)
    close(layer(tensor(x)), x @ w.T + b)


def test_linear_without_bias():
    layer = nn.Linear(3, 2, bias=False)
    assert layer.bias is None and list(layer.state_dict()) == ["weight"]
    x = array(1, 3)
    close(layer(tensor(x)), x @ layer.weight.detach().numpy().T)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups", "bias"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1), 1, True),
        ((2, 3), (2, 1), (0, 2), (1, 1), 1, False),
        ((3, 3), (1, 2), (2, 2), (2, 2), 2, True),
        ((1, 1), (1, 1), (0, 0), (1, 1), 4, True),
    ],
)
def test_conv2d(kernel, stride, padding, dilation, groups, bias):
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups, bias)
    x = array(2, 4, 7, 6)
    b = layer.bias.detach().numpy() if bias else None
    expected = convolve(x, layer.weight.detach().numpy(), b, stride, padding, dilation, groups)
    close(layer(tensor(x)), expected, 1e-4)


def test_conv1d_is_a_convolution_one_pixel_high():
    layer = nn.Conv1d(2, 3, 3, stride=2, padding=1)
    x = array(2, 2, 9)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = convolve(x[:, :, None], w[:, :, None], b, (1, 2), (0, 1), (1, 1), 1)[:, :, 0]
    close(layer(tensor(x)), expected, 1e-4)


def test_padding_same_keeps_the_size():
    assert tuple(nn.Conv2d(1, 1, 5, padding="same")(moka.zeros(1, 1, 8, 9)).shape) == (1, 1, 8, 9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"groups": 3}, "in_channels .[0-9]. must be divisible by groups .3."),
        ({"stride": "a"}, "stride must be an int or 2 ints"),
        ({"padding": "full"}, "'same' or 'valid'"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be"),
        ({"padding": "same", "stride": 2}, "not supported for strided convolutions"),
    ],
)
def test_conv2d_refuses_wrong_options(arguments, text):
    with pytest.raises(ValueError, match=text):
        nn.Conv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **arguments})


def batch_statistics(x):
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    return x.mean(axes), x.var(axes), x.size // x.shape[1]


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (6, 3)])
def test_batch_norm_in_training(shape):
    layer = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
    w, b, x = array(3), array(3), array(*shape) * 3 + 1
    set_weights(layer, weight=w, bias=b)
    mean, variance, count = batch_statistics(x)
    view = (1, 3) + (1,) * (len(shape) - 2)
    normal = (x - mean.reshape(view)) / np.sqrt(variance.reshape(view) + 1e-5)
    close(layer(tensor(x)), normal * w.reshape(view) + b.reshape(view), 1e-4)
    close(layer.running_mean, 0.1 * mean)
    close(layer.running_var, 0.9 + 0.1 * variance * count / (count - 1))
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_in_evaluation_uses_the_running_averages():
    layer = nn.BatchNorm2d(3).eval()
    mean, variance, x = array(3), np.abs(array(3)) + 0.5, array(2, 3, 4, 4)
    set_weights(layer, running_mean=mean, running_var=variance)
    view = (1, 3, 1, 1)
    close(layer(tensor(x)), (x - mean.reshape(view)) / np.sqrt(variance.reshape(view) + 1e-5), 1e-4)
    assert layer.num_batches_tracked.item() == 0


def test_batch_norm_with_momentum_none_averages_all_batches():
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [array(8, 2) for _ in range(3)]
    for batch in batches:
        layer(tensor(batch))
    close(layer.running_mean, np.mean([batch.mean(0) for batch in batches], axis=0), 1e-4)


def test_batch_norm_without_averages_uses_the_batch_in_evaluation_too():
    layer = nn.BatchNorm1d(2, track_running_stats=False, affine=False).eval()
    x = array(8, 2)
    close(layer(tensor(x)), (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 1e-4)
    assert not layer.state_dict()


def test_batch_norm_names_the_ranks_it_takes():
    with pytest.raises(
        ValueError, match=r"BatchNorm2d: input must have 4 dimensions, but has 2 \(shape \[1, 3\]\)"
    ):
        nn.BatchNorm2d(3)(moka.zeros(1, 3))


def test_layer_norm():
    layer = nn.LayerNorm((3, 4))
    w, b, x = array(3, 4), array(3, 4), array(2, 5, 3, 4)
    set_weights(layer, weight=w, bias=b)
    mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    close(layer(tensor(x)), (x - mean) / np.sqrt(variance + 1e-5) * w + b, 1e-4)


def windows(x, size):
    n, c, height, width = x.shape
    cut = x[:, :, : height // size * size, : width // size * size]
    return cut.reshape(n, c, height // size, size, width // size, size)


def test_max_pool():
    x = array(2, 3, 6, 7)
    close(nn.MaxPool2d(2)(tensor(x)), windows(x, 2).max((3, 5)))


def test_avg_pool():
    x = array(2, 3, 6, 7)
    close(nn.AvgPool2d(3)(tensor(x)), windows(x, 3).mean((3, 5)))


def test_adaptive_avg_pool():
    x = array(2, 3, 6, 8)
    close(nn.AdaptiveAvgPool2d(1)(tensor(x)), x.mean((2, 3), keepdims=True))
    close(nn.AdaptiveAvgPool2d((3, 4))(tensor(x)), windows(x, 2).mean((3, 5)))
    close(nn.AdaptiveAvgPool2d((None, 2))(tensor(x)), x.reshape(2, 3, 6, 2, 4).mean(4))


ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    (nn.GELU(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    (
        nn.GELU("tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.Tanh(), np.tanh),
    (nn.Softmax(dim=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    (nn.LogSoftmax(dim=-1), lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    (nn.Flatten(), lambda x: x.reshape(3, -1)),
    (nn.Unflatten(1, (2, -1)), lambda x: x.reshape(3, 2, 2, 5)),
    (nn.Identity(1, other=2), lambda x: x),
]


@pytest.mark.parametrize(
    ("layer", "formula"), ACTIVATIONS, ids=lambda v: repr(v) if isinstance(v, nn.Module) else ""
)
def test_layers_without_parameters(layer, formula):
    x = array(3, 4, 5)
    close(layer(tensor(x)), formula(x.astype(np.float64)))


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.ELU(inplace=True), nn.SiLU(inplace=True)])
def test_in_place_activations_change_their_input(layer):
    x = tensor(array(5))
    y = layer(x)
    assert y.data_ptr() == x.data_ptr() and y.tolist() == x.tolist()


def test_dropout_scales_what_stays_and_rests_in_evaluation():
    moka.manual_seed(0)
    layer = nn.Dropout(0.25)
    y = layer(moka.ones(10000)).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    x = moka.ones(3)
    assert layer.eval()(x).tolist() == [1.0] * 3
    with pytest.raises(ValueError, match="p must be in 0 to 1"):
        nn.Dropout(1.5)


def test_embedding_looks_up_rows_and_leaves_out_padding():
    layer = nn.Embedding(5, 3, padding_idx=0)
    indices = moka.tensor([[0, 2], [2, 4]])
    table = layer.weight.detach().numpy()
    assert table[0].tolist() == [0.0, 0.0, 0.0]
    close(layer(indices), table[[[0, 2], [2, 4]]])
    layer(indices).sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [0.0, 0.0, 2.0, 0.0, 1.0]


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_cross_entropy_with_weights_and_ignored_targets():
    x, target, weight = array(5, 4), np.array([0, 3, 1, 2, 1]), np.abs(array(4)) + 0.1
    each = -log_softmax(x)[np.arange(5), target] * weight[target]
    close(nn.CrossEntropyLoss(tensor(weight))(tensor(x), tensor(target)), each.sum() / weight[target].sum())
    close(nn.CrossEntropyLoss(tensor(weight), reduction="none")(tensor(x), tensor(target)), each)
    kept = target != 1
    close(
        nn.CrossEntropyLoss(ignore_index=1)(tensor(x), tensor(target)),
        -log_softmax(x)[np.arange(5), target][kept].mean(),
    )


def test_cross_entropy_with_label_smoothing():
    x, target = array(5, 4), np.array([0, 3, 1, 2, 1])
    logs = log_softmax(x)
    expected = 0.9 * -logs[np.arange(5), target].mean() + 0.1 * -logs.mean()
    close(nn.CrossEntropyLoss(label_smoothing=0.1)(tensor(x), tensor(target)), expected)


def test_nll_loss_is_cross_entropy_after_log_softmax():
    x, target = array(5, 4), np.array([0, 3, 1, 2, 1])
    logs = moka.log_softmax(tensor(x), 1)
    close(nn.NLLLoss()(logs, tensor(target)), -log_softmax(x)[np.arange(5), target].mean())
    close(
        nn.NLLLoss(reduction="sum")(logs, tensor(target)), -log_softmax(x)[np.arange(5), target].sum(), 1e-4
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_equal_shapes(reduction):
    x, target = array(3, 4), array(3, 4)
    reduce = {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction]
    close(nn.MSELoss(reduction=reduction)(tensor(x), tensor(target)), reduce((x - target) ** 2))
    close(nn.L1Loss(reduction=reduction)(tensor(x), tensor(target)), reduce(np.abs(x - target)))
    t, p = (target > 0).astype(np.float32), 1 / (1 + np.exp(-x.astype(np.float64)))
    expected = -(3 * t * np.log(p) + (1 - t) * np.log(1 - p))
    loss = nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=moka.tensor([3.0]))
    close(loss(tensor(x), tensor(t)), reduce(expected))


def test_bce_with_logits_does_not_overflow():
    loss = nn.BCEWithLogitsLoss()(moka.tensor([1000.0, -1000.0]), moka.tensor([0.0, 1.0]))
    assert loss.item() == 1000.0


def test_losses_do_not_broadcast_silently():
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        with pytest.warns(UserWarning, match=r"Using a target size .* different to the input size"):
            assert loss(moka.zeros(3, 1), moka.ones(3), reduction="none").shape == (3, 3)
    with pytest.raises(ValueError, match="must be the same as input size"):
        F.binary_cross_entropy_with_logits(moka.zeros(3, 1), moka.zeros(3))
    with pytest.raises(ValueError, match="reduction must be one of"):
        nn.MSELoss(reduction="average")


def test_gradients_reach_the_parameters_of_a_small_network():
    moka.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )
    x, target = tensor(array(4, 1, 6, 6)), moka.tensor([0, 1, 2, 1])

    def loss():
        return F.cross_entropy(net(x), target)

    net.double()
    x = x.double()
    loss().backward()
    step = 1e-6
    for name, parameter in net.named_parameters():
        flat, gradient = parameter.detach().reshape(-1), parameter.grad.reshape(-1)
        for i in range(0, flat.numel(), 7):
            value = flat[i].item()
            with moka.no_grad():
                flat[i] = value + step
                above = loss().item()
                flat[i] = value - step
                below = loss().item()
                flat[i] = value
            numeric = (above - below) / (2 * step)
            assert abs(numeric - gradient[i].item()) < 1e-6, name


def test_adaptive_softmax_agrees_with_its_own_probabilities():
    moka.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs=[3, 7], div_value=2.0)
    x, target = moka.randn(5, 16), moka.tensor([0, 4, 11, 2, 7])
    everything = layer.log_prob(x)
    assert everything.exp().sum(1).tolist() == pytest.approx([1.0] * 5, abs=1e-5)
    output, loss = layer(x, target)
    expected = everything.gather(1, target.unsqueeze(1)).squeeze(1)
    assert output.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert loss.item() == pytest.approx(-expected.mean().item(), abs=1e-5)
    assert layer.predict(x).tolist() == everything.argmax(1).tolist()
    assert layer(x[0], target[0]).output.shape == ()
    with pytest.raises(RuntimeError, match=r"Target values should be in \[0, 11\]"):
        layer(x, target + 1)


def test_gradients_of_convolutions_by_hand():
    moka.manual_seed(0)
    x, w = moka.randn(2, 3, 5, 5, requires_grad=True), moka.randn(4, 3, 3, 3, requires_grad=True)
    y = F.conv2d(x, w, None, 2, 1)
    dy = moka.randn(*y.shape)
    y.backward(dy)
    assert (nn.grad.conv2d_input(x.shape, w, dy, 2, 1) - x.grad).abs().max().item() < 1e-5
    assert (nn.grad.conv2d_weight(x, w.shape, dy, 2, 1) - w.grad).abs().max().item() < 1e-5
