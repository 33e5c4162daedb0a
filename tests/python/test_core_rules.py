"""Rules of PyTorch for plain numbers, bounds, views, large unsigned numbers and sparse gradients."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from moka.quasirandom import SobolEngine

import moka


@pytest.mark.parametrize(
    ("name", "numbers", "value", "dtype"),
    [
        ("add", (2, 3), 5, moka.int64),
        ("sub", (2.5, 3), -0.5, moka.float32),
        ("mul", (True, 2), 2, moka.int64),
        ("mul", (2j, 3), 6j, moka.complex64),
        ("div", (1, 2), 0.5, moka.float32),
        ("floor_divide", (7, 2), 3, moka.int64),
    ],
)
def test_arithmetic_of_two_plain_numbers_gives_a_tensor(name, numbers, value, dtype):
    result = getattr(moka, name)(*numbers)
    assert result.item() == value and result.dtype == dtype and result.shape == ()


def test_plain_numbers_take_the_other_arguments_of_arithmetic_too():
    assert moka.add(2, 3, alpha=2).item() == 8
    assert moka.div(7, 3, rounding_mode="floor").item() == 2
    out = moka.empty(())
    assert moka.mul(input=2, other=3, out=out) is out and out.item() == 6
    with pytest.raises(TypeError, match="at least one operand must be a Tensor"):
        moka.pow(2, 3)


def gradients(function, *values):
    leaves = [moka.tensor(value, requires_grad=True) for value in values]
    return [g.tolist() for g in moka.autograd.grad(function(*leaves).sum(), leaves)]


def test_bounds_that_are_tensors_share_the_gradient_of_elements_equal_to_them():
    x, zeros, ones = [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0] * 5, [1.0] * 5
    dx, low, high = gradients(moka.clamp, x, zeros, ones)
    assert dx == [0, 0.5, 1, 0.5, 0] and low == [1, 0.5, 0, 0, 0] and high == [0, 0, 0, 0.5, 1]
    assert gradients(moka.clamp, x, ones, ones) == [[0, 0, 0, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert gradients(moka.clamp, x, ones, zeros) == [zeros, zeros, ones]
    assert gradients(lambda a, b: moka.clamp(a, min=b), x, zeros)[0] == [0, 0.5, 1, 1, 1]
    assert gradients(lambda a, b: a.clamp(max=b), x, ones)[0] == [1, 1, 1, 0.5, 0]
    assert gradients(moka.clamp_min, [0.0, float("nan")], [0.0, 0.0]) == [[0.5, 1], [0.5, 1]]
    assert gradients(moka.clamp_max, [0.0, 1.0], [0.0, 0.0]) == [[0.5, 0], [0.5, 1]]
    assert gradients(lambda a: a.clamp(0, 1), x) == [[0, 0, 1, 0, 0]]


def test_a_view_made_before_requires_grad_may_not_be_written_either():
    base = moka.ones(3)
    view = base[:2]
    base.requires_grad_()
    for factor in (2, moka.ones(2, requires_grad=True)):
        with pytest.raises(RuntimeError, match="view of a leaf Variable that requires grad"):
            view.mul_(factor)
    with moka.no_grad():
        view.mul_(2)
    assert base.tolist() == [2, 2, 1]


def test_a_view_that_requires_grad_lets_its_base_be_written():
    base = moka.ones(3)
    view = base[:2].requires_grad_()
    base.mul_(2)
    assert view.tolist() == [2, 2] and view.is_leaf
    with pytest.raises(RuntimeError, match="view of a leaf Variable that requires grad"):
        view.mul_(2)


def test_large_unsigned_numbers_become_ints_and_are_reduced_in_their_order():
    large = 2**63 + 5
    number = moka.tensor(large, dtype=moka.uint64)
    assert int(number) == large and number.__index__() == large
    source = moka.tensor([large, 3, 2**64 - 1], dtype=moka.uint64)
    index = moka.tensor([0, 0, 1])
    most = moka.zeros(2, dtype=moka.uint64).scatter_reduce(0, index, source, "amax")
    assert most.tolist() == [large, 2**64 - 1]
    least = moka.tensor([2**64 - 1] * 2, dtype=moka.uint64).scatter_reduce(0, index, source, "amin")
    assert least.tolist() == [3, 2**64 - 1]
    zeros = moka.zeros(2, dtype=moka.uint64)
    mean = zeros.scatter_reduce(0, index[1:], source[::2], "mean", include_self=False)
    assert mean.tolist() == [large, 2**64 - 1]


def test_gather_gives_a_sparse_gradient_when_asked():
    x = moka.arange(6.0).reshape(2, 3).requires_grad_()
    picked = moka.gather(x, 1, moka.tensor([[0, 0], [1, 2]]), sparse_grad=True)
    (picked * moka.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad.is_sparse and picked.tolist() == [[0, 0], [4, 5]]
    assert x.grad._indices().tolist() == [[0, 0, 1, 1], [0, 0, 1, 2]]
    assert x.grad.to_dense().tolist() == [[3, 0, 0], [0, 3, 4]]
    scalar = moka.tensor(2.0, requires_grad=True)
    scalar.gather(0, moka.tensor([0]), sparse_grad=True).sum().backward()
    assert scalar.grad.to_dense().item() == 1
    x = moka.ones(4, requires_grad=True)
    x.gather(0, moka.tensor(2), sparse_grad=True).backward()
    assert x.grad.to_dense().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_second_derivatives_of_distances_are_finite_at_zero(p):
    x = moka.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (slope,) = moka.autograd.grad(moka.cdist(x, x.detach(), p).sum(), x, create_graph=True)
    (plain,) = moka.autograd.grad(moka.cdist(x, x.detach(), p).sum(), x)
    assert slope.allclose(plain)
    (second,) = moka.autograd.grad(slope.square().sum(), x, allow_unused=True, materialize_grads=True)
    assert second.isfinite().all()


def test_one_item_keeps_the_shape_of_its_target_in_multi_margin_loss():
    loss = moka.nn.functional.multi_margin_loss
    x = moka.tensor([0.1, 0.4, 0.3])
    assert loss(x, moka.tensor([1]), reduction="none").shape == (1,)
    assert loss(x, moka.tensor(1), reduction="none").shape == ()
    assert loss(x[None], moka.tensor(1), reduction="none").shape == ()


def test_points_of_sobol_are_those_that_are_published():
    points = SobolEngine(3).draw(5)
    expected = [[0, 0, 0], [0.5, 0.5, 0.5], [0.75, 0.25, 0.25], [0.25, 0.75, 0.75], [0.375, 0.375, 0.625]]
    assert points.tolist() == expected
    # the last of all dimensions, from its direction numbers
    assert (SobolEngine(SobolEngine.MAXDIM).draw(64)[:, -1].sort().values * 64).tolist() == list(range(64))


@pytest.mark.parametrize("scramble", [False, True])
def test_a_sobol_engine_goes_on_resets_and_leaves_points_out(scramble):
    engine = SobolEngine(7, scramble=scramble, seed=11)
    whole = engine.draw(40, dtype=moka.float64)
    again = SobolEngine(7, scramble=scramble, seed=11)
    parts = [again.draw(n, dtype=moka.float64) for n in (1, 0, 6)]
    again.fast_forward(20)
    parts.append(again.draw(13, dtype=moka.float64))
    assert moka.cat(parts).equal(moka.cat([whole[:7], whole[27:]]))
    assert engine.reset().draw_base2(4).equal(whole[:16].float())
    boxes = (whole[:32] * 32).long().sort(0).values
    assert boxes.equal(moka.arange(32)[:, None].expand(32, 7))
    out = moka.empty(0)
    assert again.reset().draw(2, out=out) is out and out.shape == (2, 7)


def test_a_sobol_engine_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"Supported range of dimensionality .* \[1, 21201\]"):
        SobolEngine(21202)
    engine = SobolEngine(2)
    engine.draw(5)
    with pytest.raises(ValueError, match="balance properties .* require n to be a power of 2"):
        engine.draw_base2(2)
    with pytest.raises(ValueError, match="n must be non-negative"):
        engine.draw(-1)
    with pytest.raises(NotImplementedError, match="float32 and float64"):
        engine.draw(3, dtype=moka.float16)
    assert repr(SobolEngine(2, True, 3)) == "SobolEngine(dimension=2, scramble=True, seed=3)"


@pytest.mark.parametrize("dtype", [moka.float16, moka.bfloat16])
def test_numbers_beside_short_floats_are_rounded_to_them(dtype):
    x = moka.tensor([0.1, 2.1, -3.3], dtype=dtype)
    assert (x == 2.1).tolist() == [False, True, False] and (x < 2.1).tolist() == [True, False, True]
    assert (x >= 0.1).tolist() == [True, True, False]
    assert (x - 2.1)[1] == 0 and moka.fmod(x, 2.1)[1] == 0 and moka.remainder(x, 0.1)[0] == 0
    short = moka.tensor(2.1, dtype=dtype)
    assert moka.pow(x, 2.1)[:2].equal(moka.pow(x, short)[:2])
    assert (x * 2.1).equal((x.double() * 2.1).to(dtype))  # products are computed with the number itself


def test_numbers_beside_short_floats_are_rounded_in_graphs_too():
    x = moka.tensor([0.1, 2.1, -3.3], dtype=moka.bfloat16)
    traced = moka.jit.trace(lambda v: moka.where(v == 2.1, v - 2.1, v + 2.1), (x,))
    expected = moka.where(x == 2.1, x - 2.1, x + 2.1)
    assert traced(x).equal(expected) and moka.jit.freeze(traced)(x).equal(expected)
