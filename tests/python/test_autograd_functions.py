"""Custom functions: everything that their context can be told."""
# SPDX-License-Identifier: Apache-2.0

import gc
import weakref

import pytest
from moka.autograd.graph import saved_tensors_hooks

import moka
from moka.autograd import Function, once_differentiable


def leaf(*values):
    return moka.tensor(values or (2.0,), requires_grad=True)


class Double(Function):
    """Writes its input in place."""

    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Halves(Function):
    """Two outputs, of which the second has no gradient; a keyword-like argument."""

    @staticmethod
    def forward(ctx, x, at):
        ctx.at = at
        first, second = x[:at].clone(), x[at:].clone()
        ctx.mark_non_differentiable(second)
        ctx.rest = second.shape[0]
        return first, second

    @staticmethod
    def backward(ctx, first, second):
        assert second is not None and second.tolist() == [0.0] * ctx.rest
        return moka.cat([first, moka.zeros(ctx.rest)]), None


class Scaled(Function):
    """x * w, with the rules of the module of PyTorch's documentation."""

    @staticmethod
    def forward(x, w):
        return x * w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad):
        if grad is None:
            return None, None
        x, w = ctx.saved_tensors
        return (grad * w if ctx.needs_input_grad[0] else None), (
            grad * x if ctx.needs_input_grad[1] else None
        )


def test_inputs_written_in_place():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = Double.apply(y)
    assert z is y and y.grad_fn.name() == "DoubleBackward" and y.tolist() == [6.0, 12.0] and y._version == 1
    z.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_views_written_in_place_by_a_function():
    x = leaf(1.0, 2.0)
    base = x * 3
    part = Double.apply(base[1:])
    assert part.grad_fn.name() == "AsStridedBackward" and base.grad_fn.name() == "CopySlices"
    base.sum().backward()
    assert x.grad.tolist() == [3.0, 6.0]


def test_writing_a_leaf_or_its_view_is_refused():
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        Double.apply(leaf())
    with pytest.raises(RuntimeError, match="view of a leaf Variable that requires grad"):
        Double.apply(leaf(1.0, 2.0)[1:])


def test_a_view_written_beside_another_result_is_refused():
    class Two(Double):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x.mul_(2))
            return x, x * 1

    with pytest.raises(RuntimeError, match="must return nothing else"):
        Two.apply((leaf(1.0, 2.0) * 1)[1:])


def test_what_is_marked_dirty_must_be_returned():
    class Lost(Double):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

    with pytest.raises(RuntimeError, match="did not return 1 inputs that it marked dirty"):
        Lost.apply(leaf() * 1)


def test_inputs_handed_on_become_views_with_the_function_behind_them():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 10

    x = leaf()
    y = Same.apply(x)
    assert y is not x and y._is_view() and y.grad_fn.name() == "SameBackward" and x.is_leaf
    y.backward()
    assert x.grad.item() == 10.0


def test_outputs_without_gradient():
    x = leaf(1.0, 2.0, 3.0)
    first, second = Halves.apply(x, 2)
    assert first.requires_grad and not second.requires_grad and second.is_leaf
    first.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_integers_have_no_gradient():
    class Places(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x.argmax()

        @staticmethod
        def backward(ctx, grad, places):
            return grad * 2

    value, places = Places.apply(leaf(1.0, 5.0))
    assert value.requires_grad and not places.requires_grad
    value.sum().backward()


def test_gradients_that_do_not_come_may_be_none():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            seen.append((a, b))
            return b * 3

    x = leaf()
    Two.apply(x)[1].backward()
    assert seen[0][0] is None and x.grad.item() == 3.0


def test_needs_input_grad_says_what_is_asked_for():
    x, w = leaf(2.0), leaf(3.0)
    y = Scaled.apply(x, w)
    assert moka.autograd.grad(y, w, retain_graph=True)[0].item() == 2.0
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (3.0, 2.0)
    plain = moka.tensor([5.0])
    Scaled.apply(plain, w).backward()
    assert w.grad.item() == 7.0


def test_the_context_is_seen_through_the_node():
    x, w = leaf(2.0), leaf(3.0)
    y = Scaled.apply(x, w)
    assert y.grad_fn.saved_tensors[0] is x and y.grad_fn.needs_input_grad == (True, True)
    assert y.grad_fn.name() == "ScaledBackward" and len(y.grad_fn.next_functions) == 2
    with pytest.raises(AttributeError):
        _ = y.grad_fn.nothing


def test_kept_tensors_are_freed_after_backward():
    x, w = leaf(2.0), leaf(3.0)
    y = Scaled.apply(x, w * 1)
    y.backward()
    with pytest.raises(RuntimeError, match="Scaled: its saved tensors .* already been freed"):
        y.backward()


def test_kept_tensors_go_through_hooks():
    packed = []
    with saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y = Scaled.apply(leaf(2.0), leaf(3.0))
    assert [t.item() for t in packed] == [2.0, 3.0]
    y.backward()


def test_only_tensors_can_be_kept():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x

    with pytest.raises(TypeError, match="expected Tensors or None, got int"):
        Wrong.apply(leaf())


def test_inference_tensors_cannot_be_kept():
    with moka.inference_mode():
        frozen = moka.ones(1)
    with pytest.raises(RuntimeError, match="Scaled: Inference tensors cannot be saved"):
        Scaled.apply(leaf(), frozen)


def test_gradients_of_another_shape():
    class Wide(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return made[0]

    x = leaf(1.0, 2.0)
    made = [moka.ones(3, 2)]
    Wide.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    made = [moka.ones(3)]
    with pytest.raises(RuntimeError, match=r"at index 0 - got \[3\] but expected shape .* \[2\]"):
        Wide.apply(x).sum().backward()
    made = ["text"]
    with pytest.raises(TypeError, match="must return Tensors or None, got str for input 0"):
        Wide.apply(x).sum().backward()


def test_a_backward_that_is_differentiable_once():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            assert not moka.is_grad_enabled()
            (x,) = ctx.saved_tensors
            return grad * 2 * x

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.item() == 6.0
    (first,) = moka.autograd.grad(Once.apply(x), x, create_graph=True)
    assert first.item() == 6.0
    with pytest.raises(RuntimeError, match="Once: its backward is marked once_differentiable"):
        first.backward()


def test_graphs_of_functions_are_let_go():
    x = leaf()
    y = Scaled.apply(x * 1, x * 2)
    node = weakref.ref(y)
    del y
    gc.collect()
    assert node() is None


def test_functions_without_gradient_run_plainly():
    class Forward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    x = leaf()
    with pytest.raises(NotImplementedError, match="define the static method backward"):
        Forward.apply(x).backward()
    assert Forward.apply(moka.ones(1)).item() == 2.0
