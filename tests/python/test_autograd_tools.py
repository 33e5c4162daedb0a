"""autograd.functional, gradcheck, and checkpointing."""
# SPDX-License-Identifier: Apache-2.0

import gc
import weakref

import numpy as np
import pytest
from moka.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    noop_context_fn,
    set_checkpoint_early_stop,
)

import moka
from moka.autograd import Function, functional, gradcheck, gradgradcheck


def doubles(*values):
    return moka.tensor(values, dtype=moka.float64)


# ---- functional
def cubes(x):
    return x**3


def product(x, y):
    return (x * y).sum(), x.sum() * y


def test_vjp_and_jvp():
    x, v = doubles(1.0, 2.0), doubles(1.0, 10.0)
    for product_of in (functional.vjp, functional.jvp):
        value, found = product_of(cubes, x, v)
        assert value.tolist() == [1.0, 8.0] and found.tolist() == [3.0, 120.0]
        assert not value.requires_grad and not found.requires_grad
    value, found = functional.vjp(lambda x: cubes(x).sum(), x)
    assert found.tolist() == [3.0, 12.0]


def test_products_with_several_inputs_and_outputs():
    x, y = doubles(1.0, 2.0), doubles(3.0, 4.0)
    _, (dx, dy) = functional.vjp(product, (x, y), (doubles(1.0).sum(), doubles(1.0, 0.0)))
    assert dx.tolist() == [3.0 + 3.0, 4.0 + 3.0] and dy.tolist() == [1.0 + 3.0, 2.0]
    _, (first, second) = functional.jvp(product, (x, y), (doubles(1.0, 0.0), doubles(0.0, 1.0)))
    assert first.item() == 3.0 + 2.0 and second.tolist() == [3.0, 4.0 + 3.0]


def test_jacobian():
    x, y = doubles(1.0, 2.0), doubles(3.0, 4.0)
    assert functional.jacobian(cubes, x).tolist() == [[3.0, 0.0], [0.0, 12.0]]
    (a, b), (c, d) = functional.jacobian(product, (x, y))
    assert a.tolist() == [3.0, 4.0] and b.tolist() == [1.0, 2.0]
    assert c.tolist() == [[3.0, 3.0], [4.0, 4.0]] and d.tolist() == [[3.0, 0.0], [0.0, 3.0]]
    assert functional.jacobian(lambda x: x.detach(), x).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_hessian_and_its_products():
    def f(x, y):
        return (x**3).sum() + (x * y).sum() * 2

    x, y = doubles(1.0, 2.0), doubles(3.0, 4.0)
    (xx, xy), (yx, yy) = functional.hessian(f, (x, y))
    assert xx.tolist() == [[6.0, 0.0], [0.0, 12.0]] and yy.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert xy.tolist() == yx.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    for product_of in (functional.vhp, functional.hvp):
        value, (hx, hy) = product_of(f, (x, y), (doubles(1.0, 1.0), doubles(0.0, 1.0)))
        assert value.item() == 9.0 + 22.0 and hx.tolist() == [6.0, 14.0] and hy.tolist() == [2.0, 2.0]


def test_results_can_be_differentiated_further():
    x = doubles(2.0).requires_grad_()
    matrix = functional.jacobian(cubes, x, create_graph=True)
    (found,) = moka.autograd.grad(matrix.sum(), x)
    assert found.tolist() == [12.0]
    _, product_found = functional.hvp(lambda x: cubes(x).sum(), x, doubles(1.0), create_graph=True)
    (found,) = moka.autograd.grad(product_found.sum(), x)
    assert found.tolist() == [6.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: functional.vjp(cubes, x), RuntimeError, "v must be given unless the output is one number"),
        (
            lambda x: functional.vjp(cubes, x, doubles(1.0)),
            RuntimeError,
            r"shape \[2\] of its output, got \[1\]",
        ),
        (lambda x: functional.hessian(cubes, x), RuntimeError, "one tensor with a single element"),
        (lambda x: functional.jacobian(cubes, 3), TypeError, "must be either a Tensor or a tuple"),
        (lambda x: functional.jacobian(cubes, x, strict=True, vectorize=True), RuntimeError, "not supported"),
        (lambda x: functional.jacobian(cubes, x, strategy="forward-mode"), NotImplementedError, "vectorize"),
        (lambda x: functional.vjp(lambda x: x.detach(), x, x, strict=True), RuntimeError, "strict=True"),
        (lambda x: functional.jacobian(lambda x, y: x, (x, x), strict=True), RuntimeError, "input 1"),
    ],
)
def test_arguments_that_do_not_fit(call, error, text):
    with pytest.raises(error, match=text):
        call(doubles(1.0, 2.0))


# ---- gradcheck
class WrongSquare(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x * 3


def test_gradcheck_agrees_with_right_gradients():
    x, w = doubles(0.3, -1.2).requires_grad_(), doubles(2.0, 3.0).requires_grad_()
    assert gradcheck(lambda x, w: ((x * w).tanh(), x.exp() * w), (x, w))
    assert gradgradcheck(lambda x, w: (x * w).tanh(), (x, w))
    assert gradgradcheck(lambda x: x.exp(), x, gen_non_contig_grad_outputs=True)
    assert gradcheck(lambda x: moka.var_mean(x), x)


@pytest.mark.parametrize("fast", [True, False])
def test_gradcheck_of_complex_numbers_batches_and_forward_derivatives(fast):
    z = moka.tensor([0.3 + 0.4j, -1.2 + 2j], dtype=moka.complex128, requires_grad=True)
    assert gradcheck(lambda z: z * z.conj() + z.exp(), z, fast_mode=fast, check_batched_grad=True)
    assert gradcheck(lambda z: (z.abs(), z.real), z, fast_mode=fast, check_grad_dtypes=True)
    assert gradgradcheck(lambda z: z * z.abs(), z, fast_mode=fast)
    x = doubles(0.5, 2.0).requires_grad_()
    more = {"check_forward_ad": True, "check_batched_forward_grad": True}
    assert gradcheck(lambda x: x.sin() * x, x, fast_mode=fast, check_batched_grad=True, **more)
    assert gradgradcheck(lambda x: x.exp(), x, fast_mode=fast, check_fwd_over_rev=True)
    with pytest.raises(RuntimeError, match="is 1.5, finite differences give 1"):
        gradcheck(WrongSquare.apply, x, fast_mode=fast)
    with pytest.raises(AssertionError, match="requires check_forward_ad"):
        gradcheck(WrongSquare.apply, x, check_batched_forward_grad=True)


def test_gradcheck_finds_wrong_gradients():
    x = doubles(0.5, 2.0).requires_grad_()
    with pytest.raises(
        RuntimeError, match=r"the derivative of output 0 \(element 0\) by input 0 \(element 0\) is 1.5"
    ):
        gradcheck(WrongSquare.apply, x)
    assert gradcheck(WrongSquare.apply, x, raise_exception=False) is False
    assert x.tolist() == [0.5, 2.0]


def test_gradcheck_leaves_random_numbers_to_the_function():
    x = moka.randn(4, dtype=moka.float64, requires_grad=True)

    def function(x):
        state = moka.get_rng_state()
        try:
            return moka.nn.functional.rrelu(x - 1, 0.1, 0.9, training=True)
        finally:
            moka.set_rng_state(state)

    assert gradcheck(function, x) and gradcheck(function, x, fast_mode=True)


def test_gradcheck_needs_something_to_check():
    with pytest.raises(ValueError, match="none of the inputs requires grad"):
        gradcheck(cubes, doubles(1.0))
    with pytest.raises(RuntimeError, match="none of the outputs requires grad"):
        gradcheck(lambda x: x.detach() * 2, doubles(1.0).requires_grad_())
    assert gradcheck(lambda x: x.detach().sign(), doubles(1.0).requires_grad_())
    with pytest.warns(UserWarning, match="finite differences need float64"):
        gradcheck(lambda x: x * 2, moka.tensor([0.5], requires_grad=True), eps=1e-2)


# ---- checkpoint
class Counted(moka.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = moka.nn.Linear(3, 3)
        self.runs = 0

    def forward(self, x, scale=1.0):
        self.runs += 1
        hidden = moka.nn.functional.dropout(self.linear(x).tanh(), 0.5)
        return (hidden.exp() * scale).sigmoid()


def reference(module, x, **arguments):
    moka.manual_seed(3)
    out = module(x, **arguments)
    out.sum().backward()
    found = [x.grad.clone(), *(p.grad.clone() for p in module.parameters())]
    x.grad = None
    module.zero_grad()
    return out.detach(), found


@pytest.mark.parametrize("use_reentrant", [None, False, True])
def test_checkpoint_gives_the_same_gradients(use_reentrant):
    module, x = Counted(), moka.randn(4, 3).requires_grad_()
    expected, gradients = reference(module, x)
    moka.manual_seed(3)
    out = checkpoint(module, x, use_reentrant=use_reentrant)
    after = moka.rand(1).item()
    np.testing.assert_array_equal(out.detach().numpy(), expected.numpy())
    out.sum().backward()
    for got, want in zip([x.grad, *(p.grad for p in module.parameters())], gradients, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-7)
    assert module.runs == 3
    moka.manual_seed(3)
    module(x)
    assert moka.rand(1).item() == after, "the stream goes on as without checkpointing"


def test_checkpoint_keeps_nothing_but_arguments():
    kept = []

    def function(x):
        hidden = x.exp()
        kept.append(weakref.ref(hidden))
        return hidden.sigmoid()

    x = moka.randn(3).requires_grad_()
    out = checkpoint(function, x, use_reentrant=False)
    gc.collect()
    assert kept[0]() is None
    out.sum().backward()
    e = np.exp(x.detach().numpy())
    s = 1 / (1 + np.exp(-e))
    np.testing.assert_allclose(x.grad.numpy(), s * (1 - s) * e, rtol=1e-5)


def test_checkpoint_takes_keywords_and_inputs_without_gradient():
    module, x = Counted(), moka.randn(4, 3)
    checkpoint(module, x, use_reentrant=False, scale=3.0).sum().backward()
    assert all(p.grad is not None for p in module.parameters()) and module.runs == 2
    with pytest.raises(ValueError, match="takes no keyword arguments, got scale"):
        checkpoint(module, x, use_reentrant=True, scale=3.0)
    with pytest.warns(UserWarning, match="unless an argument requires grad"):
        assert not checkpoint(module, x, use_reentrant=True).requires_grad


def test_checkpoint_inside_checkpoint_and_second_derivatives():
    def inner(x):
        return (x * x).exp()

    def outer(x):
        return checkpoint(inner, x * 2, use_reentrant=False).sigmoid()

    x = doubles(0.3, 0.4).requires_grad_()
    expected = moka.autograd.grad(inner(x * 2).sigmoid().sum(), x)[0]
    (first,) = moka.autograd.grad(checkpoint(outer, x, use_reentrant=False).sum(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), expected.numpy(), rtol=1e-12)
    assert gradgradcheck(lambda x: checkpoint(outer, x, use_reentrant=False), x)


def test_checkpoint_can_be_differentiated_twice_over_and_partly():
    module, x = Counted().eval(), moka.randn(4, 3).requires_grad_()
    out = checkpoint(module, x, use_reentrant=False)
    for _ in range(2):
        (found,) = moka.autograd.grad(out.sum(), x, retain_graph=True)
    assert found.shape == x.shape and module.runs == 3
    out = checkpoint(module, x, use_reentrant=True)
    with pytest.raises(RuntimeError, match="pass use_reentrant=False"):
        moka.autograd.grad(out.sum(), x)


def test_second_runs_stop_as_soon_as_they_can():
    ends = []

    def function(x):
        out = x.exp()
        out = out.sigmoid()
        ends.append(True)
        return out

    x = moka.randn(3).requires_grad_()
    out = checkpoint(function, x, use_reentrant=False)
    out.sum().backward()
    with set_checkpoint_early_stop(False):
        out = checkpoint(function, x, use_reentrant=False)
        out.sum().backward()
    assert len(ends) == 3


def test_functions_that_change_are_noticed():
    calls = []

    def different(x):
        calls.append(x)
        return x.exp().sigmoid() if len(calls) == 1 else x * 2

    x = moka.randn(3).requires_grad_()
    out = checkpoint(different, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="the function saved 2 tensors when it first ran, and 0 now"):
        out.sum().backward()


def test_arguments_that_change_are_noticed():
    x = moka.randn(3).requires_grad_()
    y = x * 1
    out = checkpoint(lambda y: y.exp(), y, use_reentrant=False)
    y.add_(1)
    with pytest.raises(CheckpointError, match=r"an argument of shape \[3\] was changed in place"):
        out.sum().backward()


def test_contexts_of_the_two_runs():
    from contextlib import contextmanager

    entered = []

    @contextmanager
    def noting(name):
        entered.append(name)
        yield

    x = moka.randn(3).requires_grad_()
    out = checkpoint(
        lambda x: x.exp(), x, use_reentrant=False, context_fn=lambda: (noting("first"), noting("second"))
    )
    out.sum().backward()
    assert entered == ["first", "second"] and len(noop_context_fn()) == 2
    with pytest.raises(ValueError, match="needs use_reentrant=False"):
        checkpoint(cubes, x, use_reentrant=True, context_fn=lambda: noop_context_fn())


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_of_a_sequence(use_reentrant):
    layers = moka.nn.Sequential(*(moka.nn.Linear(3, 3) for _ in range(5)))
    x = moka.randn(2, 3).requires_grad_()
    layers(x).sum().backward()
    expected = [p.grad.clone() for p in layers.parameters()]
    layers.zero_grad()
    checkpoint_sequential(layers, 3, x, use_reentrant=use_reentrant).sum().backward()
    for p, want in zip(layers.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
