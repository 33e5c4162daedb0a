"""Second derivatives of operators whose gradients are kernels."""
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
ROWS = moka.tensor([0, 1, 3, 3])
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
    "cdist": (moka.cdist, [(3, 2), (4, 2)]),
    "cdist of batches": (lambda x, y: moka.cdist(x, y, 3.0), [(2, 3, 2), (1, 4, 2)]),
    "pdist": (F.pdist, [(4, 3)]),
    "multi_margin": (lambda x: F.multi_margin_loss(x, CLASSES.clamp(0), 2, 1.5, constant(4)), [(3, 4)]),
    "multilabel_margin": (
        lambda x: F.multilabel_margin_loss(x, moka.tensor([[1, 2, -1, 0], [3, 3, 0, -1]])).square(),
        [(2, 4)],
    ),
    "bags": (
        lambda w, s: F.embedding_bag(ROWS, w, moka.tensor([0, 2]), mode="sum", per_sample_weights=s).tanh(),
        [(5, 3), (4,)],
    ),
    "means of bags": (
        lambda w: F.embedding_bag(ROWS, w, moka.tensor([0, 3]), padding_idx=1).exp(),
        [(5, 3)],
    ),
    "maxima of bags": (lambda w: F.embedding_bag(ROWS, w, moka.tensor([0, 2]), mode="max").exp(), [(5, 3)]),
    "ctc": (
        lambda x: F.ctc_loss(x.log_softmax(2), moka.tensor([1, 2, 2, 1]), (5, 4), (3, 1)),
        [(5, 2, 3)],
    ),
    "ctc that cannot be": (
        lambda x: F.ctc_loss(
            x.log_softmax(2), moka.tensor([[1, 1], [2, 1]]), (2, 2), (2, 2), 0, "sum", zero_infinity=True
        ),
        [(2, 2, 3)],
    ),
    "grid_sample": (
        lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False).tanh(),
        [(2, 2, 3, 4), (2, 2, 3, 2)],
    ),
    "grid_sample of cubes": (
        lambda x, g: F.grid_sample(x, g, "bicubic", "reflection", align_corners=True),
        [(1, 2, 3, 4), (1, 2, 3, 2)],
    ),
    "grid_sample of volumes": (
        lambda x, g: F.grid_sample(x, g, padding_mode="border", align_corners=False),
        [(1, 1, 2, 3, 4), (1, 2, 1, 3, 3)],
    ),
    "mvlgamma": (lambda x: moka.mvlgamma(x.abs() + 3, 2), [(3,)]),
}


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_agree_with_differences(name):
    function, sizes = CASES[name]
    assert gradgradcheck(function, tuple(leaf(*size, seed=i) for i, size in enumerate(sizes)))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: moka.nn.LSTM(2, 3, 2, bidirectional=True, proj_size=2),
        lambda: moka.nn.GRU(2, 3, bias=False),
        lambda: moka.nn.RNN(2, 3, bidirectional=True),
        lambda: moka.nn.RNN(2, 3, nonlinearity="relu"),
    ],
    ids=["lstm", "gru", "rnn", "relu"],
)
def test_second_derivatives_of_recurrent_layers(layer):
    moka.manual_seed(4)
    layer = layer().double()
    x, lengths = leaf(4, 3, 2), moka.tensor([4, 3, 1])

    def outputs(x, *parameters):
        packed = moka.nn.utils.rnn.pack_padded_sequence(x, lengths)
        named = dict(zip((name for name, _ in layer.named_parameters()), parameters, strict=True))
        return moka.func.functional_call(layer, named, (packed,))[0].data

    inputs = (x, *layer.parameters())
    assert gradgradcheck(outputs, inputs, fast_mode=True)
    assert gradgradcheck(lambda x: outputs(x, *layer.parameters()), x, check_fwd_over_rev=True)
    assert gradgradcheck(lambda x: layer(x)[0], x, check_fwd_over_rev=True, fast_mode=True)


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
