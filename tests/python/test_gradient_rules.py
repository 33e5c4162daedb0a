"""Gradients at NaN, at bounds and through parts of complex numbers; derivatives that nobody wrote."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest

import moka
from moka.nn import functional as F

NAN = math.nan


def slope(function, values):
    x = moka.tensor(values, dtype=moka.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (lambda x: x.max(), [1.0, NAN, NAN, 3.0], [0.0, 0.5, 0.5, 0.0]),
        (lambda x: x.min(), [1.0, 1.0, 3.0, 2.0], [0.5, 0.5, 0.0, 0.0]),
        (lambda x: moka.maximum(x, moka.ones(3, dtype=moka.float64)), [0.0, 1.0, NAN], [0.0, 0.5, 1.0]),
        (lambda x: moka.fmax(x, moka.ones(3, dtype=moka.float64)), [0.0, 1.0, NAN], [0.0, 0.5, 0.0]),
        (lambda x: x.clamp(0, 2), [-1.0, 0.0, 1.0, 2.0, NAN], [0.0, 0.0, 1.0, 0.0, 0.0]),
        (lambda x: x.clamp(min=0), [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        (F.relu, [-1.0, 0.0, 1.0, NAN], [0.0, 0.0, 1.0, 1.0]),
        (F.hardtanh, [-2.0, 0.5, NAN], [0.0, 1.0, 1.0]),
        (F.elu, [1.0, NAN], [1.0, 1.0]),
        (F.hardsigmoid, [0.0, NAN], [1 / 6, 0.0]),
        (lambda x: x.nanquantile(0.5), [1.0, NAN, 3.0, 4.0], [0.0, 0.0, 1.0, 0.0]),
        (lambda x: x.gather(0, moka.tensor([0])), [1.0, NAN, math.inf], [1.0, 0.0, 0.0]),
        (lambda x: x.norm(math.inf), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (moka.abs, [NAN, 0.0, -2.0], [0.0, 0.0, -1.0]),
        (lambda x: F.l1_loss(x, moka.zeros(2, dtype=moka.float64), reduction="sum"), [NAN, 2.0], [0.0, 1.0]),
        (lambda x: moka.atan2(x, x * 0), [0.0, 2.0], [0.0, 0.0]),
        (moka.std, [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]),
        (lambda x: moka.std_mean(x)[0], [3.0, 3.0], [0.0, 0.0]),
        (lambda x: F.binary_cross_entropy(0 * x, x.detach() * 0 + x), [0.5], [math.inf]),
    ],
)
def test_gradients_at_nan_and_at_bounds(function, values, expected):
    assert slope(function, values) == expected


def test_writes_through_the_parts_of_complex_tensors():
    leaf = moka.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    z = leaf * 1
    moka.view_as_real(z).mul_(2)
    z.real.add_(1)
    (z * z.conj()).real.sum().backward()
    assert leaf.grad.tolist() == [12 + 16j, 28 - 8j]


def test_writes_through_complex_views_of_real_tensors():
    leaf = moka.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    y = leaf * 1
    moka.view_as_complex(y)[0] *= 2j
    (y * y).sum().backward()
    assert leaf.grad.tolist() == [[8.0, 16.0], [6.0, -2.0]]


@pytest.mark.parametrize("function", [moka.igamma, moka.igammac, moka.special.zeta])
def test_derivatives_by_first_arguments_that_nobody_wrote(function):
    a, x = moka.tensor([1.5, 2.5], requires_grad=True), moka.tensor([0.5, 2.0], requires_grad=True)
    moka.autograd.grad(function(a, x).sum(), x)
    with pytest.raises(NotImplementedError, match="derivative for .* is not implemented"):
        function(a, x).sum().backward()


@pytest.mark.parametrize(
    "function",
    [lambda x: x // 2, lambda x: moka.heaviside(x, x), lambda x: x.unique(), lambda x: moka.geqrf(x)[0]],
)
def test_derivatives_that_nobody_wrote(function):
    x = moka.tensor([[1.5, 2.5], [3.5, 4.5]], requires_grad=True)
    with pytest.raises(NotImplementedError, match="derivative"):
        function(x).sum().backward()


@pytest.mark.parametrize(
    "call",
    [
        lambda i: F.gelu(i),
        lambda i: moka.lerp(i, i, i),
        lambda i: moka.addcdiv(i, i, i),
        lambda i: moka.hypot(i, i),
        lambda i: moka.pow(i.bool(), i.bool()),
        lambda i: moka.gcd(i.bool(), i.bool()),
    ],
)
def test_formulas_refuse_types_that_they_are_not_for(call):
    with pytest.raises(NotImplementedError):
        call(moka.tensor([1, 2]))


def test_the_gradient_of_a_standard_deviation_has_a_gradient():
    x = moka.tensor([[1.0, 4.0, 2.5], [2.0, 2.0, 2.0]], dtype=moka.float64, requires_grad=True)
    (g,) = moka.autograd.grad(x.std(1).sum(), x, create_graph=True)
    assert g[1].tolist() == [0.0, 0.0, 0.0]
    (second,) = moka.autograd.grad((g * g * moka.tensor([1.0, 2.0, 3.0])).sum(), x)
    assert second.isfinite().all()
    assert moka.autograd.gradgradcheck(lambda x: x.std(), (x[0].detach().requires_grad_(),))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda w: F.nll_loss(moka.zeros(2, 3), moka.tensor([0, 2]), w), "weight"),
        (lambda w: F.cross_entropy(moka.zeros(2, 3), moka.tensor([0, 2]), w), "weight"),
        (lambda w: F.multi_margin_loss(moka.zeros(2, 3), moka.tensor([0, 2]), weight=w), "weight"),
        (lambda w: F.batch_norm(moka.zeros(2, 3), w, moka.ones(3)), "running_mean"),
        (lambda w: F.batch_norm(moka.zeros(2, 3), moka.ones(3), w, training=True), "running_var"),
    ],
)
def test_what_has_no_gradient_may_not_require_one(call, name):
    w = moka.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"not differentiable with respect to argument '{name}'"):
        call(w)
    with moka.no_grad():
        call(w)


def test_weights_of_classes_have_a_gradient_where_targets_are_probabilities():
    w = moka.tensor([1.0, 2.0], requires_grad=True)
    F.cross_entropy(moka.zeros(1, 2), moka.tensor([[0.25, 0.75]]), w).backward()
    assert w.grad.tolist() == pytest.approx([0.25 * math.log(2), 0.75 * math.log(2)])


def test_what_grad_data_and_requires_grad_may_be_set_to():
    x = moka.zeros(2, requires_grad=True)
    for value, message in ((x, "its own gradient"), (moka.zeros(2, dtype=moka.float64), "type float64")):
        with pytest.raises(RuntimeError, match=message):
            x.grad = value
    with pytest.raises(RuntimeError, match="must be floating point"):
        x.data = moka.zeros(2, dtype=moka.int64)
    with pytest.raises(RuntimeError, match="Deleting tensor data is not allowed"):
        del x.data
    with pytest.raises(RuntimeError, match="requires_grad must be a bool"):
        x.requires_grad = 1
    del x.grad
    assert x.grad is None
