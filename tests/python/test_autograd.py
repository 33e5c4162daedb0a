"""Modes, grad, custom functions and hooks from Python."""
# SPDX-License-Identifier: Apache-2.0

import gc
import threading
import weakref

import pytest

import moka
from moka.autograd import Function
from moka.nn import functional


def leaf(*values):
    return moka.tensor(values or (2.0,), requires_grad=True)


def test_no_grad_records_nothing_and_enable_grad_does_again():
    x = leaf()
    with moka.no_grad():
        assert not (x * 2).requires_grad
        with moka.enable_grad():
            assert (x * 2).requires_grad
        assert not moka.is_grad_enabled()
    assert moka.is_grad_enabled()


def test_modes_are_decorators():
    x = leaf()

    @moka.no_grad()
    def with_brackets():
        return x * 2

    @moka.no_grad
    def without_brackets():
        return x * 2

    @moka.inference_mode()
    def inferring():
        return x * 2

    assert not with_brackets().requires_grad and not without_brackets().requires_grad
    assert not inferring().requires_grad and with_brackets.__name__ == "with_brackets"
    assert (x * 2).requires_grad


def test_modes_end_with_an_exception():
    with pytest.raises(KeyError), moka.no_grad():
        raise KeyError
    assert moka.is_grad_enabled()


def test_set_grad_enabled_works_at_once_and_as_a_context():
    moka.set_grad_enabled(False)
    assert not moka.is_grad_enabled()
    moka.set_grad_enabled(True)
    with moka.set_grad_enabled(False):
        assert not moka.is_grad_enabled()
    assert moka.is_grad_enabled()


def test_modes_belong_to_their_thread():
    seen = []
    with moka.no_grad():
        thread = threading.Thread(target=lambda: seen.append(moka.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_grad_gives_gradients_without_touching_leaves():
    x, y = leaf(2.0), leaf(3.0)
    dx, dy = moka.autograd.grad(x * x * y, [x, y])
    assert (dx.item(), dy.item(), x.grad) == (12.0, 4.0, None)


def test_second_derivatives():
    x = leaf(2.0)
    (first,) = moka.autograd.grad(x * x * x, x, create_graph=True)
    (second,) = moka.autograd.grad(first, x)
    assert (first.item(), second.item()) == (12.0, 12.0)


@pytest.mark.parametrize(
    "function",
    [
        functional.relu,
        functional.leaky_relu,
        functional.hardtanh,
        functional.softshrink,
        moka.abs,
        lambda x: functional.max_pool1d(x.reshape(1, 1, 3), 3),
        lambda x: functional.avg_pool1d(x.reshape(1, 1, 3), 3),
        lambda x: functional.nll_loss(x, moka.tensor(1)),
        lambda x: functional.l1_loss(x, moka.zeros(3)),
        lambda x: functional.pad(x.reshape(1, 3), (1, 1), mode="reflect"),
    ],
)
def test_second_derivatives_of_straight_pieces_are_zeros(function):
    x = leaf(1.0, -2.0, 3.0)
    (first,) = moka.autograd.grad(function(x).sum(), x, create_graph=True)
    assert first.requires_grad
    (second,) = moka.autograd.grad(first.sum(), x)
    assert second.tolist() == [0.0, 0.0, 0.0]


def test_zero_second_derivatives_leave_the_others_as_they_are():
    x, w = leaf(1.0, -2.0, 3.0), leaf(2.0)
    (first,) = moka.autograd.grad(functional.relu(x * w).sum(), x, create_graph=True)
    of_x, of_w = moka.autograd.grad(first.sum(), (x, w))
    assert (of_x.tolist(), of_w.item()) == ([0.0, 0.0, 0.0], 2.0)
    (first,) = moka.autograd.grad((functional.relu(x) * x).sum(), x, create_graph=True)
    assert moka.autograd.grad(first.sum(), x)[0].tolist() == [2.0, 0.0, 2.0]


def test_zero_second_derivatives_of_writes_into_views():
    def function(root):
        x = root.clone()
        x[1:3].abs_()
        x[:2].sin_()
        x.view(2, 2)[0].clamp_(min=0.1)
        return x * x

    x = moka.tensor([1.0, -1.0, 0.7, -1.0], dtype=moka.float64, requires_grad=True)
    assert moka.autograd.gradcheck(function, x) and moka.autograd.gradgradcheck(function, x)


def test_zero_second_derivatives_of_numbers_in_batches():
    x, y = (moka.tensor(v, dtype=moka.float64, requires_grad=True) for v in (1.5, -0.5))
    for function in (functional.l1_loss, moka.maximum):
        assert moka.autograd.gradgradcheck(function, (x, y), check_batched_grad=True)


def test_unused_inputs():
    x, y = leaf(), leaf()
    with pytest.raises(RuntimeError):
        moka.autograd.grad(x * 2, [x, y])
    assert moka.autograd.grad(x * 2, [x, y], allow_unused=True)[1] is None
    assert moka.autograd.grad(x * 2, [x, y], materialize_grads=True)[1].tolist() == [0.0]


def test_backward_adds_up_with_weights():
    x = leaf(1.0, 2.0)
    moka.autograd.backward([x * 2, x * 3], [moka.tensor([1.0, 1.0]), moka.tensor([0.0, 1.0])])
    assert x.grad.tolist() == [2.0, 5.0]


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x * x


class Exp(Function):
    """Keeps its output, and leaves forward without a context."""

    @staticmethod
    def forward(x):
        return x.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y


class Split(Function):
    """Two outputs, and an argument that is no tensor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        assert ctx.needs_input_grad == (True, False)
        return x * factor, x + 1

    @staticmethod
    def backward(ctx, first, second):
        return first * ctx.factor + second, None


def test_custom_functions_have_their_gradient():
    x = leaf(2.0)
    Cube.apply(x).backward()
    assert x.grad.item() == 12.0


@pytest.mark.parametrize(("function", "second"), [(Cube, lambda x: 6 * x), (Exp, lambda x: x.exp())])
def test_custom_functions_can_be_differentiated_twice(function, second):
    x = leaf(2.0)
    (first,) = moka.autograd.grad(function.apply(x), x, create_graph=True)
    (found,) = moka.autograd.grad(first, x)
    assert found.item() == pytest.approx(second(x).item(), rel=1e-6)


def test_custom_functions_with_several_outputs():
    x = leaf(2.0)
    first, second = Split.apply(x, 3.0)
    (first * 2 + second).backward()
    assert x.grad.item() == 7.0


def test_outputs_that_nothing_used_have_a_zero_gradient():
    x = leaf(2.0)
    Split.apply(x, 3.0)[1].backward()
    assert x.grad.item() == 1.0


def test_custom_functions_are_not_recorded_where_nothing_needs_a_gradient():
    assert Cube.apply(moka.tensor([2.0])).requires_grad is False
    with moka.no_grad():
        assert Cube.apply(leaf()).requires_grad is False


def test_kept_outputs_do_not_keep_themselves_alive():
    x = leaf(2.0)
    y = Exp.apply(x)
    kept = weakref.ref(y)
    del y
    gc.collect()
    assert kept() is None


def test_changing_what_was_kept_is_an_error():
    x = leaf(2.0)
    h = x * 1
    y = Cube.apply(h)
    with moka.no_grad():
        h.add_(1)
    with pytest.raises(RuntimeError, match="saved tensor 0 .* was changed in place after forward"):
        y.sum().backward()


def test_too_few_gradients_are_an_error():
    class Short(Split):
        @staticmethod
        def backward(ctx, first, second):
            return first

    with pytest.raises(RuntimeError, match="Short.backward gave 1 gradients for 2 inputs"):
        Short.apply(leaf(), 3.0)[0].backward()


def test_errors_in_backward_come_through():
    class Failing(Cube):
        @staticmethod
        def backward(ctx, grad):
            raise KeyError("no gradient today")

    with pytest.raises(KeyError, match="no gradient today"):
        Failing.apply(leaf()).backward()


def test_hooks_of_tensors_see_and_change_gradients():
    x = leaf(2.0)
    seen = []
    handle = x.register_hook(lambda grad: seen.append(grad.item()) or grad * 10)
    (x * 3).backward()
    assert seen == [3.0] and x.grad.item() == 30.0
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 3).backward()
    assert x.grad.item() == 3.0
