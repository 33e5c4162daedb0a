"""Forward mode: duals, views and writes in place, custom functions, nesting, and what builds on it."""
# SPDX-License-Identifier: Apache-2.0

import gc
import weakref

import numpy as np
import pytest
from moka.autograd.forward_ad import dual_level, make_dual, unpack_dual
from moka.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import moka
from moka.autograd import Function, forward_ad, functional, gradcheck, gradgradcheck


def doubles(*values):
    return moka.tensor(values, dtype=moka.float64)


def random(*sizes, seed=0, dtype="float64"):
    values = np.random.default_rng([seed, *sizes]).normal(size=sizes)
    values = values + 1j * values[::-1] if "complex" in dtype else values
    return moka.tensor(values, dtype=getattr(moka, dtype))


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)


X, T = doubles(1.0, 2.0, -0.5), doubles(0.1, -1.0, 3.0)


# ---- duals
def test_duals_carry_tangents_through_operations():
    with dual_level():
        y, tangent = unpack_dual((make_dual(X, T) ** 2).sin())
        close(tangent, 2 * X * T * (X**2).cos())
        assert unpack_dual(y).tangent is None and unpack_dual(X).tangent is None
        assert unpack_dual(make_dual(X, T).detach()).tangent is None
        assert unpack_dual(make_dual(X, T).argmax()).tangent is None
        assert unpack_dual(make_dual(X, T).clone().detach_()).tangent is None
        assert repr(make_dual(X[:1], T[:1])).endswith("tangent=tensor([0.1], dtype=moka.float64))")
        with moka.no_grad():
            assert unpack_dual(make_dual(X, T) * 2).tangent is not None
        with forward_ad.set_forward_grad_enabled(False):
            y = make_dual(X, T) * 2
        assert unpack_dual(y).tangent is None
        dual = make_dual(X, T)
    assert unpack_dual(dual) == (dual, None)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: make_dual(X, X[:1]), RuntimeError, "different size"),
        (lambda: make_dual(X, X.float()), RuntimeError, "type of its primal"),
        (lambda: make_dual(moka.tensor([1]), moka.tensor([1])), ValueError, "floating point or complex"),
        (lambda: make_dual(X, make_dual(X, T)), RuntimeError, "a forward gradient at the same level"),
        (forward_ad.enter_dual_level, RuntimeError, "Nested forward mode"),
        (lambda: moka.add(make_dual(X, T), 1, out=moka.empty(3, dtype=X.dtype)), RuntimeError, "out="),
    ],
)
def test_what_is_refused(call, error, text):
    with dual_level(), pytest.raises(error, match=text):
        call()
    with pytest.raises(RuntimeError, match="no level exists"):
        make_dual(X, T)
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.exit_dual_level()


def test_levels_leave_nothing_behind():
    with dual_level():
        kept = make_dual(random(3).requires_grad_(), random(3)).exp()
        tangent = weakref.ref(unpack_dual(kept).tangent)
        gone = weakref.ref(kept)
    assert unpack_dual(kept).tangent is None
    del kept
    gc.collect()
    assert gone() is None and tangent() is None


# ---- views and writes in place
def test_a_write_into_a_view_reaches_its_base_and_other_views():
    with dual_level():
        buffer = moka.zeros(2, 3, dtype=moka.float64)
        before, row = buffer[0, 1:], buffer[0]
        row.copy_(make_dual(X, T))
        row.mul_(3)
        close(unpack_dual(before).tangent, 3 * T[1:])
        close(unpack_dual(buffer).tangent, moka.stack([3 * T, T * 0]))
        buffer.t()[0] = 0
        close(unpack_dual(row).tangent, moka.cat([doubles(0), 3 * T[1:]]))
        buffer.zero_()
        assert not unpack_dual(row).tangent.any()
    assert T.tolist() == [0.1, -1.0, 3.0]


def test_writes_in_place_on_duals():
    with dual_level():
        dual = make_dual(X.clone(), T)
        view = dual[1:]
        dual.exp_()
        close(unpack_dual(view).tangent, (T * X.exp())[1:])
        other = doubles(1.0, 1.0, 1.0)
        other += make_dual(X, T)
        other[moka.tensor([True, False, True])] = 5.0
        close(unpack_dual(other).tangent, doubles(0.0, -1.0, 0.0))
        other.index_put_((moka.tensor([0]),), make_dual(X, T)[2:])
        close(unpack_dual(other).tangent, doubles(3.0, -1.0, 0.0))


def test_the_tape_sees_tangents_of_writes():
    x, t = X.clone().requires_grad_(), T.clone().requires_grad_()
    with dual_level():
        buffer = moka.zeros(2, 3, dtype=moka.float64)
        buffer[1] = make_dual(x, t) ** 2
        tangent = unpack_dual(buffer).tangent
        gx, gt = moka.autograd.grad(tangent[1].sum(), (x, t))
    close(gx, 2 * T)
    close(gt, 2 * X)


# ---- with reverse mode, vmap, and itself
def smooth(x):
    return (x.sin() * x.sum()).exp().sum() * x.prod()


def test_modes_nest_in_every_order():
    expected = jacrev(jacrev(smooth))(X)
    for way in (hessian, lambda f: jacfwd(jacfwd(f)), lambda f: jacrev(jacfwd(f))):
        close(way(smooth)(X), expected)
    close(jvp(grad(smooth), (X,), (T,))[1], expected @ T)
    close(grad(lambda x: jvp(smooth, (x,), (T,))[1])(X), expected @ T)
    third = jacrev(lambda x: jacrev(jacrev(smooth))(x) @ T)(X)
    close(jacfwd(lambda x: jvp(grad(smooth), (x,), (T,))[1])(X), third)
    rows = random(4, 3)
    each = moka.stack([hessian(smooth)(row) for row in rows])
    close(vmap(hessian(smooth))(rows), each)
    close(hessian(lambda rows: vmap(smooth)(rows).sum())(rows)[2, :, 2], each[2])
    close(vmap(lambda x, t: jvp(grad(smooth), (x,), (t,))[1])(rows, rows), (each @ rows[:, :, None])[:, :, 0])


def test_backward_inside_a_level_and_saved_results():
    x = X.clone().requires_grad_()
    with dual_level():
        (g,) = moka.autograd.grad((make_dual(x, T).exp().tanh() / 2).sigmoid().sum(), x, create_graph=True)
        close(unpack_dual(g).tangent, hessian(lambda x: (x.exp().tanh() / 2).sigmoid().sum())(X) @ T)


def test_functions_may_branch_on_values_in_jacfwd():
    def branching(x):
        return x**3 if x.sum() > 0 else -x

    close(jacfwd(branching)(X), (3 * X**2).diag())
    out, aux = jacfwd(lambda x: (x * 2, x.sum()), has_aux=True)(X)
    assert aux.item() == 2.5 and out.tolist() == (2 * moka.eye(3)).tolist()
    with pytest.raises(RuntimeError, match="must depend"):
        jvp(lambda x: X, (X,), (T,), strict=True)


def test_dropout_inside_jacfwd_draws_once():
    moka.manual_seed(0)
    found = jacfwd(lambda x: moka.nn.functional.dropout(x, 0.5), randomness="same")(random(8))
    assert set(found.diag().tolist()) <= {0.0, 2.0} and found.sum() == found.diag().sum()


def test_complex_tangents():
    z, t = random(3, dtype="complex128"), random(3, seed=2, dtype="complex128")
    for f, slope in ((moka.exp, moka.exp), (lambda z: z * z, lambda z: 2 * z)):
        close(jvp(f, (z,), (t,))[1], slope(z) * t)
    close(jvp(moka.conj, (z,), (t,))[1].resolve_conj(), t.conj().resolve_conj())
    close(jvp(moka.abs, (z,), (t,))[1], (z.conj() * t).real / z.abs())
    close(jvp(lambda z: moka.view_as_real(z), (z,), (t,))[1], moka.view_as_real(t))


def test_autocast_and_mixed_types():
    x, w = random(2, 3).float(), random(3, 3).float()
    with moka.autocast("cpu", dtype=moka.bfloat16):
        y, tangent = jvp(lambda x: x @ w, (x,), (x,))
    assert y.dtype == tangent.dtype == moka.bfloat16
    assert jvp(lambda x: x + random(3), (x,), (x,))[1].dtype == moka.float64


# ---- custom functions
class Product(Function):
    @staticmethod
    def forward(ctx, x, factor, y):
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        ctx.factor = factor
        return x * y * factor, x.argmax()

    @staticmethod
    def backward(ctx, grad, _):
        x, y = ctx.saved_tensors
        return grad * y * ctx.factor, None, grad * x * ctx.factor

    @staticmethod
    def jvp(ctx, dx, _, dy):
        x, y = ctx.saved_tensors
        return (dx * y + x * dy) * ctx.factor, None


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def vjp(ctx, grad):
        return grad * 2

    @staticmethod
    def jvp(ctx, dx):
        return dx * 2


class Exponential(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        ctx.save_for_forward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]

    jvp = backward


def test_custom_functions_push_tangents():
    x, y = X.clone().requires_grad_(), T.clone().requires_grad_()
    assert gradcheck(lambda x, y: Product.apply(x, 3, y)[0], (x, y), check_forward_ad=True)
    assert gradgradcheck(lambda x, y: Product.apply(x, 3, y)[0], (x, y), check_fwd_over_rev=True)
    assert gradcheck(lambda x: Doubled.apply(x.clone()), x, check_forward_ad=True)
    assert gradgradcheck(Exponential.apply, x, check_fwd_over_rev=True)
    close(jacfwd(jacfwd(lambda x: Exponential.apply(x).sum()))(X), X.exp().diag())


def test_custom_functions_without_jvp_are_refused_in_forward_mode():
    class Plain(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    with pytest.raises(NotImplementedError, match="must implement the jvp function"):
        jvp(Plain.apply, (X,), (T,))


# ---- what builds on it
def test_jacobians_at_once():
    def several(x, y):
        return (x * y).sum() * x, y.exp()

    inputs = X, T
    expected = functional.jacobian(several, inputs)
    for options in ({"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}):
        found = functional.jacobian(several, inputs, **options)
        for row, wanted in zip(found, expected, strict=True):
            for block, other in zip(row, wanted, strict=True):
                close(block, other)
    for strategy in ("reverse-mode", "forward-mode"):
        found = functional.hessian(smooth, X, vectorize=True, outer_jacobian_strategy=strategy)
        close(found, functional.hessian(smooth, X))


def test_gradients_of_a_batch_of_vectors():
    x = X.clone().requires_grad_()
    y = x**2
    (found,) = moka.autograd.grad(y, x, moka.eye(3, dtype=x.dtype), is_grads_batched=True, retain_graph=True)
    close(found, (2 * X).diag())
    unused = doubles(1.0).requires_grad_()
    found = moka.autograd.grad(
        y, (x, unused), moka.ones(2, 3, dtype=x.dtype), is_grads_batched=True, allow_unused=True
    )
    assert found[0].shape == (2, 3) and found[1] is None


def test_gradcheck_checks_every_way():
    x, z = X.clone().requires_grad_(), random(2, dtype="complex128").requires_grad_()
    everything = {
        "check_forward_ad": True,
        "check_batched_grad": True,
        "check_batched_forward_grad": True,
    }
    for fast in (False, True):
        assert gradcheck(lambda x: (x.sin(), x.prod()), x, fast_mode=fast, **everything)
        assert gradcheck(lambda z: (z * z.conj()).exp(), z, fast_mode=fast, **everything)
        assert gradgradcheck(lambda z: z.abs() ** 3, z, fast_mode=fast, check_fwd_over_rev=True)

    class Wrong(Product):
        @staticmethod
        def jvp(ctx, dx, _, dy):
            return dx, None

    for fast in (False, True):
        with pytest.raises(RuntimeError, match="forward mode mismatch for output 0 with respect to input 0"):
            gradcheck(lambda x: Wrong.apply(x, 3, T)[0], x, check_forward_ad=True, fast_mode=fast)
