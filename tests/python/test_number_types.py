"""Element types of results, numbers beside tensors, and what is refused: as torch 2.15 does."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest

import moka
from moka.nn import functional as F

BYTES = moka.tensor([1, 44, 255], dtype=moka.uint8)
TRUTH = moka.tensor([True, False])


def test_numbers_take_the_type_of_a_small_integer_tensor():
    assert (BYTES - 1).tolist() == [0, 43, 254]
    assert (BYTES == -1).tolist() == [False, False, True]
    assert (BYTES < -1).tolist() == [True, True, False]
    assert moka.maximum(BYTES, moka.tensor(-1)).tolist() == [255] * 3
    assert (BYTES // -1).tolist() == [0, 0, 1] and (BYTES % -1).tolist() == [1, 44, 0]
    small = moka.tensor([1, 44], dtype=moka.int8)
    assert (small < 300).tolist() == [True, False] and (small + 300).tolist() == [45, 88]
    assert BYTES.clamp(-5, 300).tolist() == [1, 44, 255]


def test_bool_has_no_differences_and_magnitudes():
    for refused in (
        lambda: -TRUTH,
        lambda: TRUTH - TRUTH,
        lambda: 1 - TRUTH,
        TRUTH.abs,
        TRUTH.floor,
        lambda: F.relu(TRUTH),
    ):
        with pytest.raises(NotImplementedError, match="bool"):
            refused()
    assert TRUTH.square().dtype == moka.int64
    assert TRUTH.float().logsumexp(0).item() == TRUTH.logsumexp(0).item()


def test_bounds_of_integers_are_integers():
    bounded = F.hardtanh(moka.tensor([-3, 1, 5]), -0.5, 2.7)
    assert bounded.dtype == moka.int64 and bounded.tolist() == [0, 1, 2]
    assert moka.arange(-0.9, 2.1, 2.0, dtype=moka.int64).tolist() == [0, 2]
    assert moka.arange(2.1, -2.9, -1.0, dtype=moka.int64).tolist() == [2, 1, 0, -1, -2]


def test_special_values():
    inf, nan = math.inf, math.nan
    sides = moka.tensor([inf, 3e38]), moka.tensor([nan, 1.0])
    assert moka.hypot(*sides).tolist() == [inf, pytest.approx(3e38)]
    assert moka.heaviside(moka.tensor([nan, 0.0]), moka.ones(2)).tolist() == [0, 1]
    assert moka.heaviside(TRUTH, moka.tensor([True])).tolist() == [True, True]
    expected = [math.log(1.5), math.log(2 / 3)]
    assert moka.logit(moka.tensor([0.1, 0.9]), 0.6).tolist() == pytest.approx(expected)


def test_outputs_given_have_the_type_and_memory_of_their_own():
    x = moka.arange(6.0)
    with pytest.raises(RuntimeError, match="scalar type Float but got scalar type Double"):
        moka.amax(x, 0, out=moka.empty((), dtype=moka.float64))
    with pytest.raises(RuntimeError, match="shares memory"):
        moka.gather(x, 0, moka.tensor([0, 1]), out=x[1:3])
    with pytest.raises(RuntimeError, match="shares memory"):
        moka.cat([x[:2], x[2:4]], out=x[1:5])


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_losses_broadcast_with_a_warning(loss):
    with pytest.warns(UserWarning, match="target size"):
        assert tuple(loss(moka.ones(4, 1), moka.zeros(4), reduction="none").shape) == (4, 4)
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="broadcast"):
        loss(moka.ones(3), moka.ones(4))


def test_output_padding_beyond_the_stride_has_gradients():
    x = moka.randn(1, 1, 4, dtype=moka.float64, requires_grad=True)
    w = moka.randn(1, 1, 3, dtype=moka.float64, requires_grad=True)
    y = F.conv_transpose1d(x, w, stride=2, output_padding=3, dilation=4)
    weights = moka.randn(*y.shape, dtype=moka.float64)
    dx, dw = moka.autograd.grad((y * weights).sum(), (x, w))
    for k in range(3):
        shown = moka.zeros(1, 1, 3, dtype=moka.float64)
        shown[0, 0, k] = 1
        part = F.conv_transpose1d(x.detach(), shown, stride=2, output_padding=3, dilation=4)
        assert float((part * weights).sum()) == pytest.approx(float(dw[0, 0, k]))
    for k in range(4):
        shown = moka.zeros(1, 1, 4, dtype=moka.float64)
        shown[0, 0, k] = 1
        part = F.conv_transpose1d(shown, w.detach(), stride=2, output_padding=3, dilation=4)
        assert float((part * weights).sum()) == pytest.approx(float(dx[0, 0, k]))


def test_questions_about_tensors():
    z = moka.tensor([[1 + 2j, 3], [0, 1j]])
    assert moka.adjoint(z).tolist() == [[1 - 2j, 0], [3, -1j]]
    assert z.isreal().tolist() == [[False, True], [True, False]] and bool(BYTES.isreal().all())
    assert moka.ones(1).is_signed() and not BYTES.is_signed() and not TRUTH.is_signed()
    assert BYTES.is_same_size(moka.ones(3)) and not moka.is_same_size(BYTES, TRUTH)
    assert BYTES.cfloat().dtype == moka.complex64 and BYTES.cdouble().dtype == moka.complex128
    assert not z.is_conj() and not z.is_neg() and moka.is_nonzero(moka.tensor(3.0))


def test_attention_broadcasts_leading_dimensions():
    query, key, value = moka.randn(4, 3, 8), moka.randn(2, 4, 6, 8), moka.randn(2, 4, 6, 8)
    got = F.scaled_dot_product_attention(query, key, value)
    expected = F.scaled_dot_product_attention(query.expand(2, 4, 3, 8), key, value)
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(3, 700, 16), (2, 5, 513, 3), (4, 600, 1), (1000, 7), (2, 3, 40, 100)])
def test_short_rows_that_an_operand_repeats(shape):
    x = moka.arange(0, math.prod(shape), 1).reshape(shape) * 0.5
    for row in (moka.randn(shape[-1]), moka.randn(shape[0], *[1] * (len(shape) - 2), shape[-1])):
        whole = row.expand(shape).contiguous()
        assert (x * row == x * whole).all() and (row - x == whole - x).all()
        assert (x.double() + row == x.double() + whole).all()
        turned = x.transpose(0, -1).contiguous().transpose(0, -1)
        assert (turned * row == x * whole).all()


@pytest.mark.parametrize(
    "name", "remainder fmod floor_divide bitwise_left_shift bitwise_right_shift".split()
)
def test_bool_has_no_quotients_and_shifts(name):
    with pytest.raises(NotImplementedError, match=f"{name}: not defined for bool"):
        getattr(moka, name)(TRUTH, TRUTH)
    assert getattr(moka, name)(TRUTH, moka.tensor(2)).dtype == moka.int64


def test_lerp_wants_one_type():
    with pytest.raises(RuntimeError, match="lerp: expected dtype int64 for `end` but got dtype bool"):
        moka.lerp(moka.tensor([1, 2]), TRUTH, 0.5)


@pytest.mark.parametrize(("dtype", "eps"), [(moka.float16, 2.0**-10), (moka.bfloat16, 2.0**-7)])
def test_nextafter_steps_in_the_types_own_numbers(dtype, eps):
    x = moka.tensor([1, 1, -1, 0, 0, 2, math.nan], dtype=dtype)
    to = moka.tensor([2, 0, -2, 1, -1, 2, 0], dtype=dtype)
    tiny = moka.finfo(dtype).smallest_subnormal
    want = [1 + eps, 1 - eps / 2, -1 - eps, tiny, -tiny, 2, math.nan]
    assert moka.nextafter(x, to).tolist() == pytest.approx(want, rel=0, abs=0, nan_ok=True)
    largest = moka.tensor(moka.finfo(dtype).max, dtype=dtype)
    assert moka.nextafter(largest, moka.tensor(math.inf, dtype=dtype)).item() == math.inf


def test_mish_of_huge_numbers():
    x = moka.tensor([100.0, 1e30, 3e38, -1e30], requires_grad=True)
    y = F.mish(x)
    assert y.tolist() == [100, x[1].item(), x[2].item(), 0]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 0]
