"""Layers of every rank, recurrent networks, attention, lazy layers: against other operators."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
from moka.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import moka
from moka import nn
from moka.nn import functional as F


def close(a, b, tolerance=1e-9):
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)


def numbers(*shape):
    return moka.tensor(np.random.default_rng(math.prod(shape)).normal(size=shape))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_are_their_columns_times_the_weight(rank):
    x, w = numbers(2, 3, *[5] * rank), numbers(4, 3, *[3] * rank)
    y = getattr(F, f"conv{rank}d")(x, w, padding="same")
    # The same through one padded window after the other.
    padded = F.pad(x, [1] * (2 * rank))
    total = 0
    for tap in np.ndindex(*[3] * rank):
        part = padded
        for d, start in enumerate(tap):
            part = part.narrow(2 + d, start, 5)
        product = w[(slice(None), slice(None), *tap)] @ part.reshape(2, 3, -1)
        total = total + product.reshape(2, 4, *[5] * rank)
    close(y, total)


def test_padding_same_with_an_even_kernel_puts_the_odd_place_behind():
    x, w = numbers(1, 1, 6), numbers(1, 1, 2)
    close(F.conv1d(x, w, padding="same"), F.conv1d(F.pad(x, [0, 1]), w))
    with pytest.raises(RuntimeError, match="strided convolutions"):
        F.conv1d(x, w, stride=2, padding="same")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolution_is_the_adjoint(rank):
    x, w = numbers(1, 3, *[7] * rank), numbers(4, 3, *[3] * rank)
    y = getattr(F, f"conv{rank}d")(x, w, stride=2)
    z = numbers(*y.shape)
    back = getattr(F, f"conv_transpose{rank}d")(z, w, stride=2)
    assert float((y * z).sum()) == pytest.approx(float((x * back).sum()))


def test_fold_adds_up_what_unfold_took_apart():
    x = numbers(2, 3, 6, 5)
    columns = F.unfold(x, (2, 3), stride=(2, 1))
    counts = F.fold(F.unfold(moka.ones_like(x), (2, 3), stride=(2, 1)), (6, 5), (2, 3), stride=(2, 1))
    close(F.fold(columns, (6, 5), (2, 3), stride=(2, 1)), x * counts)


@pytest.mark.parametrize("ways", [(1, 0, 1), (2, 1, 1), (1, 2, 2), (3, 3, 1), (2, 0, 3)])
def test_columns_hold_the_windows(ways):
    stride, padding, dilation = ways
    x = numbers(2, 3, 7, 9)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    rows = range(0, padded.shape[2] - dilation, stride)
    places = range(0, padded.shape[3] - 2 * dilation, stride)
    taps = [(i * dilation, j * dilation) for i in range(2) for j in range(3)]
    wanted = np.stack([[padded[:, :, r + i, c + j] for r in rows for c in places] for i, j in taps])
    wanted = wanted.transpose(2, 3, 0, 1).reshape(2, 18, -1)
    columns = F.unfold(x, (2, 3), dilation, padding, stride)
    close(columns, moka.tensor(wanted))
    z = numbers(*columns.shape)
    back = F.fold(z, (7, 9), (2, 3), dilation, padding, stride)
    assert float((back * x).sum()) == pytest.approx(float((columns * z).sum()))


def test_unpooling_puts_maxima_back():
    x = numbers(1, 2, 4, 6)
    y, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, places, 2)
    close(F.max_pool2d(back.abs() + back, 2), y.abs() + y)
    assert int((back != 0).sum()) == y.numel()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [5, 300])
def test_attention_in_blocks_equals_the_whole_matrix(causal, keys):
    q, k, v = numbers(2, 3, 70, 4), numbers(2, 3, keys, 4), numbers(2, 3, keys, 5)
    for t in (q, k, v):
        t.requires_grad_(True)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = q @ k.transpose(-2, -1) / 2
    if causal:
        later = moka.arange(0, keys, 1).unsqueeze(0) > moka.arange(0, 70, 1).unsqueeze(1)
        scores = scores.masked_fill(later, -math.inf)
    expected = F.softmax(scores, -1) @ v
    close(y, expected)
    seed = numbers(*y.shape)
    for a, b in zip(
        moka.autograd.grad(y, [q, k, v], seed), moka.autograd.grad(expected, [q, k, v], seed), strict=True
    ):
        close(a, b)


@pytest.mark.parametrize("queries, keys", [(15, 40), (16, 33), (150, 520)])
def test_attention_reads_rows_and_masks_where_they_lie(queries, keys):
    q, kv = numbers(2, queries, 3, 7).float().transpose(1, 2), numbers(2, keys, 3, 2, 7).float()
    k, v = (kv[:, :, :, i].transpose(1, 2) for i in (0, 1))
    added, seen = numbers(queries, keys).float(), numbers(2, 1, 1, keys) > -1
    for mask in (added, seen, added[:1]):
        scores = (q @ k.transpose(-2, -1)).double() / math.sqrt(7)
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == moka.bool else scores + mask
        y = F.scaled_dot_product_attention(q, k, v, mask)
        assert moka.allclose(y, (F.softmax(scores, -1) @ v.double()).float(), atol=1e-5)


def test_a_query_that_sees_no_key_gets_zeros():
    mask = moka.tensor([[True, False], [False, False]])
    y = F.scaled_dot_product_attention(numbers(2, 3), numbers(2, 3), numbers(2, 3), mask)
    assert float(y[1].abs().sum()) == 0


def lstm_by_hand(layer, x):
    h, c, out = moka.zeros(x.shape[1], 4).double(), moka.zeros(x.shape[1], 4).double(), []
    for step in range(x.shape[0]):
        gates = F.linear(x[step], layer.weight_ih_l0, layer.bias_ih_l0)
        i, f, g, o = (gates + F.linear(h, layer.weight_hh_l0, layer.bias_hh_l0)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h)
    return moka.stack(out), h, c


def test_lstm_equals_its_definition_with_gradients():
    layer, x = nn.LSTM(3, 4).double(), numbers(6, 2, 3)
    y, (h, c) = layer(x)
    expected, last, cell = lstm_by_hand(layer, x)
    close(y, expected)
    close(h[0], last)
    close(c[0], cell)
    parameters = list(layer.parameters())
    got = moka.autograd.grad((y * y).sum() + c.sum(), parameters)
    wanted = moka.autograd.grad((expected * expected).sum() + cell.sum(), parameters)
    for a, b in zip(got, wanted, strict=True):
        close(a, b)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_packed_sequences_run_as_each_alone(kind):
    layer = kind(3, 4, num_layers=2, bidirectional=True).double()
    x, lengths = numbers(5, 3, 3), [2, 5, 4]
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, state = layer(packed)
    padded, _ = pad_packed_sequence(y)
    state = state[0] if kind is nn.LSTM else state
    for b, n in enumerate(lengths):
        alone, last = layer(x[:n, b : b + 1])
        close(padded[:n, b : b + 1], alone)
        close(state[:, b : b + 1], last[0] if kind is nn.LSTM else last)


def test_recurrent_layers_refuse_what_does_not_fit():
    layer = nn.GRU(3, 4)
    with pytest.raises(RuntimeError, match="input_size"):
        layer(moka.zeros(5, 2, 4))
    with pytest.raises(RuntimeError, match="state must have shape"):
        layer(moka.zeros(5, 2, 3), moka.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="proj_size"):
        nn.LSTM(3, 4, proj_size=4)


def test_resizing_by_whole_factors_repeats_and_averages():
    x = numbers(1, 2, 4, 6)
    big = F.interpolate(x, scale_factor=2)
    close(big[..., ::2, ::2], x)
    close(big[..., 1::2, 1::2], x)
    close(F.interpolate(x, (2, 3), mode="area"), F.avg_pool2d(x, 2))
    close(F.interpolate(x, (4, 6), mode="bicubic"), x)


@pytest.mark.parametrize("sizes", [(13, 30), (3, 40), (20, 4), (2, 3)])
@pytest.mark.parametrize("dtype", [moka.float32, moka.float64])
def test_bilinear_results_are_means_of_their_neighbours(sizes, dtype):
    def matrix(to, of):
        places = np.clip((np.arange(to) + 0.5) * of / to - 0.5, 0, of - 1)
        return np.maximum(1 - np.abs(places[:, None] - np.arange(of)), 0)

    x = numbers(2, 3, 9, 21)
    wanted = matrix(sizes[0], 9) @ x.numpy() @ matrix(sizes[1], 21).T
    found = F.interpolate(x.to(dtype), sizes, mode="bilinear")
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12 if dtype == moka.float64 else 2e-6)
    x.requires_grad_()
    z = numbers(*found.shape)
    (F.interpolate(x, sizes, mode="bilinear") * z).sum().backward()
    assert float((x.grad * x).sum()) == pytest.approx(float((moka.tensor(wanted) * z).sum()))


@pytest.mark.parametrize("size", [1, 5, 16, 40, 67])
def test_rows_by_their_root_mean_square(size):
    x, w = numbers(3, size), numbers(size)
    for t in (x, x.float()):
        root = (t * t).mean(-1, keepdim=True).add(1e-3).rsqrt()
        tolerance = 1e-9 if t.dtype == moka.float64 else 1e-5
        close(F.rms_norm(t, (size,), eps=1e-3), t * root, tolerance)
        close(F.rms_norm(t, (size,), w.to(t.dtype), eps=1e-3), t * root * w.to(t.dtype), tolerance)


def test_cross_products_along_any_dimension():
    a, b = numbers(2, 3, 4, 3), numbers(1, 3, 4, 3) + 1
    for dim in (1, -1):
        wanted = np.cross(a.numpy(), np.broadcast_to(b.numpy(), a.shape), axis=dim)
        close(moka.linalg.cross(a, b, dim=dim), moka.tensor(wanted))
    assert moka.cross(a.to("meta"), b.to("meta"), dim=1).shape == a.shape


def test_grid_sample_of_the_identity_map_gives_the_image():
    x = numbers(2, 3, 4, 5)
    theta = moka.tensor([[[1.0, 0, 0], [0, 1, 0]]]).double().expand(2, 2, 3)
    for align in (False, True):
        grid = F.affine_grid(theta, (2, 3, 4, 5), align_corners=align)
        close(F.grid_sample(x, grid, align_corners=align), x, 1e-6)


@pytest.mark.parametrize("lazy", [nn.LazyLinear(4), nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()])
def test_lazy_layers_become_ordinary_ones(lazy):
    assert lazy.has_uninitialized_params()
    x = moka.randn(2, 3, 5, 6)
    y = lazy(x)
    assert type(lazy).__name__ in ("Linear", "Conv2d", "BatchNorm2d")
    assert y.shape[0] == 2 and lazy(x).shape == y.shape
    assert lazy.weight.requires_grad and lazy.weight.numel()


def test_lazy_layers_learn_their_size_from_a_state():
    source, lazy = nn.Conv1d(6, 4, 3), nn.LazyConv1d(4, 3)
    lazy.load_state_dict(source.state_dict())
    x = moka.randn(1, 6, 8)
    close(lazy(x), source(x), 1e-6)


def test_embedding_scales_and_shrinks():
    table = nn.Embedding(5, 3, padding_idx=0, scale_grad_by_freq=True)
    table(moka.tensor([0, 1, 1, 2])).sum().backward()
    np.testing.assert_allclose(table.weight.grad.numpy()[:3], [[0] * 3, [1] * 3, [1] * 3], rtol=1e-6)
    short = nn.Embedding(4, 3, max_norm=0.5)
    rows = short(moka.tensor([1, 3]))
    assert all(n <= 0.5 + 1e-5 for n in rows.detach().pow(2).sum(-1).sqrt().tolist())


def test_bags_sum_average_and_pick():
    weight = numbers(6, 3)
    index, offsets = moka.tensor([0, 2, 5, 1]), moka.tensor([0, 3, 3])
    rows = weight[index]
    for mode, expected in (
        ("sum", [rows[:3].sum(0), rows[3:3].sum(0), rows[3:].sum(0)]),
        ("mean", [rows[:3].mean(0), rows[3:3].sum(0), rows[3:].mean(0)]),
        ("max", [rows[:3].amax(0), rows[3:3].sum(0), rows[3:].amax(0)]),
    ):
        close(F.embedding_bag(index, weight, offsets, mode=mode), moka.stack(expected))
    with pytest.warns(UserWarning, match="order of arguments"):
        close(F.embedding_bag(weight, index, offsets), F.embedding_bag(index, weight, offsets))
    with pytest.raises(RuntimeError, match="outside the 6 rows"):
        F.embedding_bag(moka.tensor([6]), weight, moka.tensor([0]))
