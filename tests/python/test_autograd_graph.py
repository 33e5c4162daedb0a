"""Nodes, hooks, saved-tensor hooks, and every argument of grad and backward."""
# SPDX-License-Identifier: Apache-2.0

import gc
import threading
import weakref

import pytest

import moka
from moka.autograd import graph


def leaf(*values):
    return moka.tensor(values or (2.0,), requires_grad=True)


# ---- nodes
def test_nodes_have_names_neighbours_and_one_object():
    x = leaf(1.0, 2.0)
    y = (x * 2).exp().sum()
    assert y.grad_fn is y.grad_fn and isinstance(y.grad_fn, graph.Node)
    names, node = [], y.grad_fn
    while node.next_functions:
        names.append(node.name())
        node = node.next_functions[0][0]
    assert names == ["SumBackward", "ExpBackward", "MulBackward"] and node.name() == "AccumulateGrad"
    assert node.variable is x and x.grad_fn is None
    assert y.grad_fn._sequence_nr() > y.grad_fn.next_functions[0][0]._sequence_nr()
    y.grad_fn.metadata["note"] = 3
    assert "SumBackward" in repr(y.grad_fn)


def test_slots_of_several_outputs():
    x = leaf(1.0, 2.0, 4.0)
    var, mean = moka.var_mean(x)
    both = var * mean
    assert [edge[1] for edge in both.grad_fn.next_functions] == [0, 1]
    assert both.grad_fn.next_functions[0][0] is both.grad_fn.next_functions[1][0]


def test_nodes_show_what_they_saved():
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    assert y.grad_fn._saved_self is x and y.grad_fn._saved_other is w
    e = x.exp()
    assert e.grad_fn._saved_result.tolist() == e.tolist()
    with pytest.raises(AttributeError):
        _ = y.grad_fn._saved_nothing
    y.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        _ = y.grad_fn._saved_self


def test_node_hooks_see_and_change_gradients():
    x, seen = leaf(2.0), []
    y = x * 3
    z = y * 5
    first = z.grad_fn.register_prehook(lambda outputs: (outputs[0] * 2,))
    second = z.grad_fn.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    third = z.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] + 1,))
    z.backward(retain_graph=True)
    assert x.grad.item() == (2 * 5 + 1) * 3
    ((inputs, outputs),) = seen
    assert (inputs[0].item(), outputs[0].item()) == (10.0, 2.0)
    for handle in (first, second, third):
        handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.item() == 15.0 and len(seen) == 1


def test_node_hooks_that_return_something_else_are_errors():
    z = leaf() * 3
    z.grad_fn.register_hook(lambda inputs, outputs: (None, None))
    with pytest.raises(RuntimeError, match="got 2, but expected 1"):
        z.backward()
    z = leaf() * 3
    z.grad_fn.register_prehook(lambda outputs: 3)
    with pytest.raises(TypeError, match="None or a tuple of Tensors, got int"):
        z.backward()


# ---- hooks of tensors
def test_hooks_of_leaves_see_the_whole_gradient_once():
    x, seen = leaf(3.0), []
    x.register_hook(lambda grad: seen.append(grad.item()))
    (x * x + x).backward()
    assert seen == [7.0] and x.grad.item() == 7.0


def test_hooks_run_in_order_and_before_retained_gradients():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda grad: grad * 10)
    y.register_hook(lambda grad: grad + 1)
    y.backward()
    assert y.grad.item() == 11.0 and x.grad.item() == 33.0


def test_hooks_that_change_the_shape_are_errors():
    x = leaf(2.0, 3.0)
    x.register_hook(lambda grad: grad.sum())
    with pytest.raises(RuntimeError, match="a hook returned"):
        x.sum().backward()


def test_a_retained_gradient_goes_with_its_tensor():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    z = y * 5
    del y
    gc.collect()
    z.backward()
    assert x.grad.item() == 15.0


def test_hooks_after_accumulation():
    x, seen = leaf(2.0), []
    handle = x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.item()))
    (x * 3).backward()
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    assert seen == [3.0, 6.0] and x.grad.item() == 9.0
    with pytest.raises(RuntimeError, match="only leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_an_optimizer_step_in_backward():
    x = leaf(2.0)

    def step(leaf):
        with moka.no_grad():
            leaf.sub_(leaf.grad)
        leaf.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 0.5).backward()
    assert x.item() == 1.5 and x.grad is None


@pytest.mark.parametrize("mode", ["all", "any"])
def test_hooks_of_several_tensors(mode):
    a, b, unused, calls = leaf(1.0), leaf(2.0), leaf(3.0), []
    handle = graph.register_multi_grad_hook((a, unused, b), calls.append, mode=mode)
    for _ in range(2):
        (a * b).sum().backward()
    handle.remove()
    (a * b).sum().backward()
    if mode == "all":
        values = [[None if g is None else g.item() for g in call] for call in calls]
        assert values == [[2.0, None, 1.0]] * 2
    else:
        assert len(calls) == 2 and calls[0].item() in (1.0, 2.0)


# ---- arguments of grad and backward
def test_grad_takes_weights_and_inner_tensors():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = y * y
    dy, dx = moka.autograd.grad([z, y], [y, x], [moka.tensor([1.0, 0.0]), moka.ones(2)])
    assert dy.tolist() == [7.0, 1.0] and dx.tolist() == [21.0, 3.0]


def test_grad_of_a_tensor_by_itself():
    y = leaf(2.0) * 3
    assert moka.autograd.grad(y, y)[0].item() == 1.0


def test_grad_computes_only_what_is_asked_for():
    class Loud(moka.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, grad):
            asked.append(ctx.needs_input_grad)
            return (grad if ctx.needs_input_grad[0] else None), (grad if ctx.needs_input_grad[1] else None)

    asked = []
    a, b = leaf(2.0), leaf(3.0)
    y = Loud.apply(a * 1, b * 1)
    moka.autograd.grad(y, b, retain_graph=True)
    y.backward()
    assert asked == [(False, True), (True, True)]


def test_gradient_edges_stand_for_tensors():
    x = leaf(2.0)
    y = x * 3
    edge = graph.get_gradient_edge(y)
    assert edge.node is y.grad_fn and edge.output_nr == 0
    z = y * y
    (found,) = moka.autograd.grad(z, edge, retain_graph=True)
    assert found.item() == 12.0
    (found,) = moka.autograd.grad(edge, x, moka.tensor([5.0]), retain_graph=True)
    assert found.item() == 15.0
    (found,) = moka.autograd.grad(z, graph.get_gradient_edge(x))
    assert found.item() == 36.0
    with pytest.raises(RuntimeError, match="gradient must be given for a GradientEdge"):
        moka.autograd.backward(edge)
    with pytest.raises(RuntimeError, match="MulBackward has 1 outputs"):
        moka.autograd.grad(z, graph.GradientEdge(y.grad_fn, 2))


def test_backward_with_chosen_inputs():
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    z = y * y
    z.backward(inputs=[x, y])
    assert x.grad.item() == 36.0 and y.grad.item() == 12.0 and w.grad is None
    with pytest.raises(RuntimeError, match="inputs argument cannot be empty"):
        (x * w).backward(inputs=[])
    with pytest.raises(RuntimeError, match="does not require grad"):
        (x * w).backward(inputs=moka.ones(1))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"is_grads_batched": True}, RuntimeError, "must be tensors that begin with one batch"),
        ({"only_inputs": False}, ValueError, "only_inputs=False is not supported"),
        ({"materialize_grads": True, "allow_unused": False}, ValueError, "contradict"),
        ({"grad_outputs": [None, None]}, RuntimeError, "1 outputs but 2 gradients"),
        ({"grad_outputs": moka.ones(2)}, RuntimeError, r"shape of \[2\] and output has a shape of \[1\]"),
        (
            {"grad_outputs": moka.ones(1, dtype=moka.complex64)},
            RuntimeError,
            "type complex64 but the root has type float32",
        ),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, text):
    x = leaf()
    with pytest.raises(error, match=text):
        moka.autograd.grad(x * 2, x, **arguments)


def test_a_second_backward_needs_retain_graph():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward; Specify retain_graph=True"):
        y.backward()
    assert x.grad.item() == 8.0


def test_backward_inside_backward_on_the_same_graph():
    """Marks of the outer one survive: the inner one visits the same nodes."""
    x = leaf(2.0)
    a = x * 3
    b = a * a
    c = a * 5

    def again(grad):
        handle.remove()  # the inner one comes here too
        (inner,) = moka.autograd.grad(b, x, retain_graph=True)
        assert inner.item() == 36.0

    handle = b.register_hook(again)
    (b + c).backward()
    assert x.grad.item() == 36.0 + 15.0


def test_an_error_leaves_no_gradients_behind():
    x = leaf(2.0)
    y = x * 3
    z = y * y
    refuse = [True]

    def hook(grad):
        if refuse[0]:
            raise ValueError("not now")

    y.register_hook(hook)
    with pytest.raises(ValueError, match="not now"):
        z.backward(retain_graph=True)
    refuse[0] = False
    z.backward()
    assert x.grad.item() == 36.0


def test_two_threads_run_backward_over_shared_leaves():
    x = leaf(1.0)

    def work():
        for _ in range(50):
            y = x
            for _ in range(20):
                y = y * 1.01
            y.sum().backward()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad.item() == pytest.approx(100 * 1.01**20, rel=1e-4)


def test_long_chains_neither_recurse_nor_leak():
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0
    node = weakref.ref(x)
    del x, y
    gc.collect()
    assert node() is None


def test_graphs_keep_their_leaves():
    y = leaf(2.0) * 3
    gc.collect()
    y.backward()
    assert y.grad_fn.next_functions[0][0].variable.grad.item() == 3.0


# ---- saved tensors
def test_saved_tensors_go_through_the_hooks():
    packed, x = [], leaf(2.0)

    def pack(tensor):
        packed.append(tensor.item())
        return tensor.numpy().copy()

    with graph.saved_tensors_hooks(pack, moka.from_numpy):
        y = (x * x).exp()
    assert packed[:2] == [2.0, 2.0] and len(packed) == 3
    (first,) = moka.autograd.grad(y, x, create_graph=True)
    assert first.item() == pytest.approx(4 * 54.59815, rel=1e-5)
    (second,) = moka.autograd.grad(first, x)
    assert second.item() == pytest.approx((2 + 16) * 54.59815, rel=1e-5)


def test_the_innermost_hooks_count_and_end_with_their_block():
    calls, x = [], leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: calls.append("outer") or t, lambda t: t):
        with graph.saved_tensors_hooks(lambda t: calls.append("inner") or t, lambda t: t):
            x.exp()
        x.exp()
    x.exp()
    assert calls == ["inner", "outer"]


def test_hooks_that_return_something_else_are_errors():
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: moka.ones(3)):
        y = x.exp()
    with pytest.raises(RuntimeError, match="the unpack hook returned"):
        y.backward()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: "text"):
        y = x.exp()
    with pytest.raises(TypeError, match="must return a Tensor, got str"):
        y.backward()


def test_hooks_of_saved_tensors_can_be_forbidden():
    x = leaf(2.0)
    with graph.disable_saved_tensors_hooks("no hooks here"):
        assert x.exp().requires_grad
        with pytest.raises(RuntimeError, match="no hooks here"), graph.save_on_cpu():
            pass
    with graph.save_on_cpu(), pytest.raises(RuntimeError, match="none either"):
        graph.disable_saved_tensors_hooks("none either").__enter__()


def test_saved_tensors_wait_in_main_memory():
    x = leaf(2.0)
    with graph.save_on_cpu():
        y = x * x
    y.backward()
    assert x.grad.item() == 4.0


def test_versions_can_be_raised_by_hand():
    x = leaf(2.0) * 1
    y = x * x
    graph.increment_version(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
