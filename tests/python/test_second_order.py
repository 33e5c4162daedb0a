"""Second derivatives of operators whose gradients are kernels, and errors where nobody wrote them."""
# SPDX-License-Identifier: Apache-2.0

import moka.nn.functional as F
import pytest

import moka
from moka.autograd import gradgradcheck


def leaf(*sizes, seed=0):
    moka.manual_seed(seed + sum(sizes))
    return moka.randn(*sizes, dtype=moka.float64).requires_grad_()


def constant(*sizes):
    return leaf(*sizes, seed=9).detach()


CLASSES = moka.tensor([0, -100, 1])
MASK = moka.tensor([[True, False, True], [False, False, False], [True, True, True]])
CASES = {
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(3, 4, 2), (4,), (4,)]),
    "batch_norm of one": (lambda x: F.batch_norm(x, None, None, training=True), [(3, 4)]),
    "batch_norm with given statistics": (
        lambda x, w, b: F.batch_norm(x, constant(4), constant(4).abs() + 1, w, b),
        [(3, 4, 2), (4,), (4,)],
    ),
    "instance_norm": (lambda x, w: F.instance_norm(x, weight=w), [(2, 3, 4), (3,)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4, 2), w, b), [(3, 4, 2), (4, 2), (4, 2)]),
    "layer_norm of all": (lambda x: F.layer_norm(x, (4, 2)), [(4, 2)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(3, 4, 2), (4,), (4,)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), [(3, 4), (4,)]),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, CLASSES, constant(4).abs(), label_smoothing=0.2),
        [(3, 4)],
    ),
    "cross_entropy of probabilities": (
        lambda x: F.cross_entropy(x, constant(3, 4).softmax(1), reduction="sum"),
        [(3, 4)],
    ),
    "cross_entropy of pixels": (
        lambda x: F.cross_entropy(x, moka.tensor([[0, 1], [2, 1]]), ignore_index=1, reduction="none"),
        [(2, 3, 2)],
    ),
    "bce_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(
            x, constant(3, 4).sigmoid(), constant(4).abs(), pos_weight=constant(4).abs()
        ),
        [(3, 4)],
    ),
    "attention": (lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), [(2, 3, 4)] * 3 + [(3, 3)]),
    "attention with hidden keys": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, MASK),
        [(2, 3, 4)] * 3,
    ),
    "causal attention of groups": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        [(1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2)],
    ),
    "prod": (lambda x: x.prod(1) + (x * moka.tensor([1.0, 0.0])).prod(), [(3, 2)]),
    "mvlgamma": (lambda x: moka.mvlgamma(x.abs() + 3, 2), [(3,)]),
}


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_agree_with_differences(name):
    function, sizes = CASES[name]
    assert gradgradcheck(function, tuple(leaf(*size, seed=i) for i, size in enumerate(sizes)))


UNWRITTEN = {
    "grid_sample": lambda: F.grid_sample(leaf(1, 2, 4, 4), leaf(1, 3, 3, 2).tanh(), align_corners=False),
    "cdist": lambda: moka.cdist(leaf(3, 2), constant(4, 2)),
    "embedding_bag": lambda: F.embedding_bag(moka.tensor([0, 1, 3]), leaf(5, 3), moka.tensor([0, 2])),
    "rnn_layer": lambda: moka.nn.GRU(2, 3).double()(leaf(3, 1, 2))[0],
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_a_missing_second_derivative_is_an_error_only_when_it_is_asked_for(name):
    y = UNWRITTEN[name]()
    node, leaves = [y.grad_fn], []
    while node:
        here = node.pop()
        leaves += [here.variable] if hasattr(here, "variable") else []
        node += [above for above, _ in here.next_functions if above is not None]
    (first,) = moka.autograd.grad(y.square().sum(), leaves[0], create_graph=True)
    with pytest.raises(NotImplementedError, match=f"{name}_backward: the derivative is not implemented"):
        (first * constant(*first.shape)).sum().backward()


def test_what_saves_no_tensors_runs_backward_twice():
    x = leaf(3, 2)
    y = x.t()
    y.sum().backward()
    (y * 2).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]] * 3
    with pytest.raises(RuntimeError, match="through the graph a second time.*retain_graph=True"):
        loss = (x**2).sum()
        loss.backward()
        loss.backward()


def test_the_first_gradient_takes_the_type_of_the_result():
    x = moka.ones(3, dtype=moka.bfloat16, requires_grad=True)
    (x * 2).backward(moka.ones(3))
    assert x.grad.dtype == moka.bfloat16 and x.grad.tolist() == [2.0] * 3
