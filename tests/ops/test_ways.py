"""Operators that go different ways by layout, size or values give the same results on each of them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

import moka

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(7,), (300, 70), (40, 1, 900), (0, 3)])
def test_masks_select_and_fill(shape):
    x = RNG.normal(size=(*shape, 3)).astype(np.float32)
    for mask in (x[..., 0] > 0, x > 0, np.zeros(shape, bool), np.ones(shape, bool)):
        np.testing.assert_array_equal(moka.tensor(x)[moka.tensor(mask)].numpy(), x[mask])
        np.testing.assert_array_equal(moka.nonzero(moka.tensor(mask)).numpy(), np.argwhere(mask))
        filled, expected = moka.tensor(x), x.copy()
        filled[moka.tensor(mask)] = 5
        expected[mask] = 5
        np.testing.assert_array_equal(filled.numpy(), expected)
    turned = moka.tensor(x).transpose(0, -1)
    np.testing.assert_array_equal(turned[turned > 0].numpy(), x.swapaxes(0, -1)[x.swapaxes(0, -1) > 0])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(IndexError, match="mask"):
        moka.ones(2, 3)[moka.ones(3, dtype=moka.bool)]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [1, 10, 1000])
def test_order_of_floats(count, descending):
    """Zeros of both signs are equal, NaN is the largest, equal ones keep their order."""
    x = RNG.choice([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-40, 3.5], (5, count)).astype(np.float32)
    key = np.where(np.isnan(x), 1e300, np.clip(x.astype(np.float64), -1e299, 1e299))
    places = np.argsort(-key if descending else key, axis=1, kind="stable")
    for k in {count, max(1, count // 100), max(1, count // 20), max(1, count // 2)}:
        values, indices = moka.topk(moka.tensor(x), k, largest=descending)
        np.testing.assert_array_equal(indices.numpy(), places[:, :k])
        np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, places[:, :k], 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("exponent", [2, 3, 0.5, -0.5, -1, -2, 2.5, 0])
def test_powers_by_numbers(exponent, dtype):
    x = np.array([0.3, 1, 2, 5, 7.5, 100.25] * 5, dtype)
    if dtype in (np.int32, np.int64) and (exponent < 0 or exponent != int(exponent)):
        return
    for way in (x, np.tile(x, 1000)):
        got = moka.pow(moka.tensor(way), exponent).numpy()
        np.testing.assert_allclose(got, way**exponent, rtol=3e-7 if dtype == np.float32 else 1e-15)
        assert got.dtype == dtype


def test_powers_of_special_floats():
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, -3.0, 1e-40, np.inf, -np.inf, np.nan, 7197342.5]
    x, y = (a.ravel().astype(np.float32) for a in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    got = moka.pow(moka.tensor(x), moka.tensor(y)).numpy()
    np.testing.assert_allclose(got, expected, rtol=2e-7, atol=2e-45)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(expected[expected == 0]))


def test_rounding_where_halves_are_the_last_bit():
    x = np.array([4194304.5, 4194305.5, 7197342.5, 8388607.5, -8388607.5, 0.5, -0.5, 2.5], np.float32)
    for name in ("round", "floor", "ceil", "trunc"):
        np.testing.assert_array_equal(getattr(moka, name)(moka.tensor(x)).numpy(), getattr(np, name)(x))


@pytest.mark.parametrize("n", [1, 7, 8, 100, 4099])
def test_halves(n):
    x = (RNG.normal(size=n) * 10.0 ** RNG.integers(-9, 6, n)).astype(np.float32)
    special = np.array([np.inf, -np.inf, np.nan, 65519, 65520, 6e-8, 2e-8, -0.0], np.float32)
    x[: n // 8] = np.resize(special, n // 8)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(moka.tensor(x).half().numpy(), x.astype(np.float16))
        back = moka.tensor(x).half().float().numpy()
        np.testing.assert_array_equal(back, x.astype(np.float16).astype(np.float32))
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    got = moka.tensor(x).bfloat16().float().numpy()
    np.testing.assert_array_equal(got, np.where(np.isnan(x), np.nan, rounded))


def test_padding_cuts_and_adds():
    x = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    for pad in [(1, 2), (-1, 2), (1, -3, 2, 0), (-2, -2, 1, 1, 0, 1), (0, 0, -1, -1), (6, -6)]:
        expected = x
        for i in range(len(pad) // 2):
            axis, (before, after) = 2 - i, pad[2 * i : 2 * i + 2]
            widths = [(0, 0)] * 3
            widths[axis] = (max(before, 0), max(after, 0))
            expected = np.pad(expected, widths, constant_values=9)
            size = expected.shape[axis]
            expected = expected.take(range(max(-before, 0), size - max(-after, 0)), axis)
        for t in (moka.tensor(x), moka.tensor(x.transpose(2, 1, 0).copy()).permute(2, 1, 0)):
            got = moka.nn.functional.pad(t, pad, value=9.0)
            if got.shape == expected.shape:
                np.testing.assert_array_equal(got.numpy(), expected)


def test_running_sums_of_many_lines():
    x = RNG.normal(size=(11, 37)).astype(np.float32)
    got = moka.cumsum(moka.tensor(x), 1).numpy()
    np.testing.assert_array_equal(got, np.cumsum(x, 1, dtype=np.float64).astype(np.float32))
    t = moka.tensor(x).requires_grad_()
    (moka.cumsum(t, 1) * moka.tensor(x)).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), x[:, ::-1].cumsum(1)[:, ::-1], rtol=1e-4, atol=1e-5)


def test_logsumexp_of_infinite_lines():
    inf = np.inf
    x = np.array([[1, 2, 3], [-inf, -inf, -inf], [inf, 0, -inf], [np.nan, 1, 2], [-inf, 0, 0]], np.float32)
    t = moka.tensor(x).requires_grad_()
    y = moka.logsumexp(t, 1)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(y.detach().numpy(), np.logaddexp.reduce(x, axis=1), rtol=1e-6)
    y[[0, 1, 4]].sum().backward()
    expected = np.array([np.exp(x[0] - 3.4076059644443806), [0, 0, 0], [0, 0.5, 0.5]])
    np.testing.assert_allclose(t.grad.numpy()[[0, 1, 4]], expected, rtol=1e-6)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, np.inf])
def test_distances(p):
    a, b = RNG.normal(size=(5, 19)).astype(np.float32), RNG.normal(size=(6, 19)).astype(np.float32)
    expected = np.linalg.norm(a[:, None] - b[None], ord=p, axis=2) if p else np.full((5, 6), 19.0)
    np.testing.assert_allclose(moka.cdist(moka.tensor(a), moka.tensor(b), p).numpy(), expected, rtol=1e-5)


def test_attention_reads_strides():
    x = moka.randn(2, 70, 3, 16)
    q = x.transpose(1, 2)
    mask = moka.ones(70, 70, dtype=moka.bool).tril()
    for settings in ({}, {"is_causal": True}, {"attn_mask": mask}, {"attn_mask": moka.randn(70, 70)}):
        attend = moka.nn.functional.scaled_dot_product_attention
        whole = attend(*[q.contiguous()] * 3, **settings)
        np.testing.assert_allclose(attend(q, q, q, **settings).numpy(), whole.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_convolutions(rank, groups):
    """Large enough for a back end; the convolution's gradient is the transpose."""
    F = moka.nn.functional
    conv, back = (F.conv1d, F.conv_transpose1d) if rank == 1 else (F.conv2d, F.conv_transpose2d)
    sizes = (40, 17)[:rank]
    w, b = moka.randn(8, 12 // groups, *(3, 4)[:rank]), moka.randn(12)
    for stride, padding, extra, dilation in [(1, 0, 0, 1), (2, 1, 1, 1), (3, 2, 2, 2)]:
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        y = moka.randn(4, 8, *sizes)
        got = back(y, w, b, output_padding=extra, **settings)
        x = moka.zeros(got.shape, dtype=moka.float64).requires_grad_()
        out = conv(x, w.double(), **settings)
        part = out[tuple(slice(0, n) for n in y.shape)]
        (part * y.double()).sum().backward()
        expected = x.grad + b.double().reshape(1, 12, *[1] * rank)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-3, atol=1e-4)
