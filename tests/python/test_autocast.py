"""Autocast: the types that operators compute in, scopes, kept weights, custom functions."""
# SPDX-License-Identifier: Apache-2.0

import warnings

import pytest
from moka.amp import custom_bwd, custom_fwd

import moka
from moka import nn
from moka.nn import functional as F


def dtypes_of(call):
    with moka.autocast("cpu"):
        return call().dtype


X = moka.randn(4, 6, generator=moka.Generator().manual_seed(1))
W = moka.randn(5, 6, generator=moka.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.linear(X, W),
        lambda: X @ W.T,
        lambda: moka.mm(X, W.T),
        lambda: moka.addmm(moka.zeros(5), X, W.T),
        lambda: moka.bmm(X[None], W.T[None]),
        lambda: moka.baddbmm(moka.zeros(1, 4, 5), X[None], W.T[None]),
        lambda: moka.einsum("ik,jk->ij", X, W),
        lambda: F.conv1d(X[None], moka.ones(2, 4, 3)),
        lambda: F.conv_transpose2d(X[None, None], moka.ones(1, 2, 2, 2)),
        lambda: F.scaled_dot_product_attention(X[None], W[None], W[None]),
    ],
)
def test_products_are_short(call):
    assert dtypes_of(call) == moka.bfloat16
    assert call().dtype == moka.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.mse_loss(X.bfloat16(), X),
        lambda: F.cross_entropy(X.bfloat16(), moka.tensor([0, 1, 2, 3])),
        lambda: F.binary_cross_entropy_with_logits(X.half(), moka.ones(4, 6)),
        lambda: moka.prod(X.bfloat16()),
        lambda: moka.linalg.inv(moka.eye(3, dtype=moka.bfloat16)),
        lambda: moka.fft.rfft(X.bfloat16()).real,
        lambda: moka.cdist(X.bfloat16(), W.bfloat16()),
    ],
)
def test_sensitive_operators_are_float32(call):
    assert dtypes_of(call) == moka.float32


def test_other_operators_keep_their_types():
    half = X.bfloat16()
    assert dtypes_of(lambda: half + half) == moka.bfloat16
    assert dtypes_of(lambda: half + X) == moka.float32
    assert dtypes_of(lambda: moka.softmax(half, -1)) == moka.bfloat16
    assert dtypes_of(lambda: moka.cat([half, X])) == moka.float32
    assert dtypes_of(lambda: moka.stack([half, X.half()])) == moka.float32
    assert dtypes_of(lambda: X.double() @ W.double().T) == moka.float64
    with moka.autocast("cpu"):
        out = moka.empty(4, 5)
        assert moka.mm(X, W.T, out=out) is out and out.dtype == moka.float32
        assert (moka.arange(3)[None] @ moka.arange(3)[:, None]).dtype == moka.int64


def test_values_are_those_of_explicit_conversion():
    with moka.autocast("cpu", dtype=moka.float16):
        y = F.linear(X, W)
    assert moka.equal(y, F.linear(X.half(), W.half()))


def test_scopes_nest_and_close_after_errors():
    with moka.autocast("cpu"):
        with moka.autocast("cpu", enabled=False):
            assert (X @ W.T).dtype == moka.float32
        with moka.autocast("cpu", dtype=moka.float16):
            assert (X @ W.T).dtype == moka.float16
        assert (X @ W.T).dtype == moka.bfloat16
    with pytest.raises(RuntimeError), moka.autocast("cpu"):
        X @ X
    assert (X @ W.T).dtype == moka.float32
    assert moka.autocast("cpu")(lambda: X @ W.T)().dtype == moka.bfloat16


def test_training_gives_float32_gradients_and_converts_a_weight_once():
    model = nn.Linear(6, 5)
    before = model.weight.detach().clone()
    optimizer = moka.optim.SGD(model.parameters(), lr=0.1)
    with moka.autocast("cpu"):
        loss = F.mse_loss(model(X) + model(2 * X), moka.zeros(4, 5))
    assert loss.dtype == moka.float32
    loss.backward()
    assert model.weight.grad.dtype == moka.float32
    # Both uses reach one conversion: the sum of their gradients is rounded once.
    x, w = X.bfloat16(), before.bfloat16()
    assert model.weight.grad.shape == w.shape and x.dtype == w.dtype
    optimizer.step()
    with moka.autocast("cpu"):
        assert moka.equal(model(X), F.linear(X, model.weight, model.bias))
    assert not moka.equal(before, model.weight)


def test_a_kept_weight_follows_writes_and_modes():
    weight = nn.Parameter(W.clone())
    with moka.autocast("cpu"):
        first = F.linear(X, weight)
        with moka.no_grad():
            assert not F.linear(X, weight).requires_grad
            weight.mul_(2)
        second = F.linear(X, weight)
    assert second.requires_grad and moka.equal(second, first * 2)


def test_custom_functions():
    class Product(moka.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu")
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a.mm(b)

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, dy):
            a, b = ctx.saved_tensors
            seen.append(dy.mm(b.t()).dtype)
            return dy.mm(b.t()).float(), a.t().mm(dy).float()

    class Careful(moka.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", cast_inputs=moka.float32)
        def forward(ctx, a, b):
            seen.append(a.dtype)
            return a.mm(b)

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, dy):
            return dy, dy

    seen = []
    a = X.clone().requires_grad_()
    with moka.autocast("cpu"):
        y = Product.apply(a, W.T)
        assert y.dtype == moka.bfloat16
        assert Careful.apply(a.bfloat16(), W.T).dtype == moka.float32
    y.float().sum().backward()
    assert seen == [moka.float32, moka.bfloat16] and a.grad.dtype == moka.float32


def test_other_devices_and_bad_types_are_refused_clearly():
    with pytest.warns(UserWarning, match="not available here"):
        scope = moka.autocast("cuda")
    with scope:
        assert (X @ W.T).dtype == moka.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moka.autocast("cuda", enabled=False)
    with pytest.warns(UserWarning, match="bfloat16 or float16"):
        moka.autocast("cpu", dtype=moka.float64)
    with pytest.raises(RuntimeError, match="unknown device_type 'tpu'"):
        moka.autocast("tpu")
    with pytest.raises(ValueError, match="must be a string"):
        moka.autocast(moka.bfloat16)
