"""Results, texts and errors that PyTorch 2.15 gives for the same statements, recorded."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from moka.utils import data

import moka
from moka import autograd, func, nn
from moka.nn import functional as F


@pytest.fixture
def torch_numbers():
    moka._C._draw_as_torch(True)
    moka.manual_seed(0)
    yield
    moka._C._draw_as_torch(False)


def test_uniform_numbers_are_rounded_once(torch_numbers):
    drawn = moka.empty(4).uniform_(-0.37, 0.81)
    expected = [0.21558280289173126, 0.5365017652511597, -0.2655966281890869, -0.21420402824878693]
    assert drawn.tolist() == expected
    moka.manual_seed(0)
    drawn = moka.empty(16).normal_(0.3, 0.7)[:3]
    assert drawn.tolist() == [-0.48808786273002625, -0.5066521167755127, 0.12459500879049301]


def test_rrelu_draws_only_where_it_uses_slopes(torch_numbers):
    drawn = F.rrelu(moka.linspace(-1, 1, 5), training=True)
    assert drawn.tolist() == [-0.3270943760871887, -0.13623124361038208, 0.0, 0.5, 1.0]


def test_dropout_scales_in_the_type_of_its_input():
    kept = F.dropout(moka.ones(64, dtype=moka.float64), 0.1)
    assert set(kept.tolist()) <= {0.0, 1 / (1 - 0.1)} and kept.sum() > 0


def double(values):
    return moka.tensor(values, dtype=moka.float64)


def test_deviation_of_equal_elements_has_gradient_zero():
    x = double([2.0, 2.0, 2.0]).requires_grad_()
    x.std().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_running_products_of_zeros_have_second_derivatives():
    x = double([[2.0, 0.0, 3.0, 4.0]]).requires_grad_()
    (g,) = autograd.grad((x.cumprod(1) ** 2).sum(), x, create_graph=True)
    (h,) = autograd.grad((g * double([[1.0, 2.0, 3.0, 4.0]])).sum(), x)
    assert g.tolist() == [[4.0, 0.0, 0.0, 0.0]] and h.tolist() == [[2.0, 2464.0, 0.0, 0.0]]
    tangent = func.jvp(lambda t: t.cumprod(1), (x.detach(),), (moka.ones_like(x),))[1]
    assert tangent.tolist() == [[1.0, 2.0, 6.0, 24.0]]


def test_running_log_sums_of_large_numbers_have_second_derivatives():
    x = double([800.0, 0.0, 801.0]).requires_grad_()
    (g,) = autograd.grad(x.logcumsumexp(0).pow(2).sum(), x, create_graph=True)
    (h,) = autograd.grad((g * double([1.0, 2.0, 3.0])).sum(), x)
    np.testing.assert_allclose(g.detach().numpy(), [3631.0126551216376, 0.0, 1171.6138682532737])
    np.testing.assert_allclose(h.numpy(), [-624.8666674740693, 0.0, 633.7909017884049])


def test_normalize_has_second_derivatives_at_zero_elements():
    hessian = func.hessian(lambda t: F.normalize(t).sum())(double([[3.0, 0.0, 4.0]])).reshape(3, 3)
    expected = [[-0.04352, -0.024, 0.02464], [-0.024, -0.056, -0.032], [0.02464, -0.032, -0.01248]]
    np.testing.assert_allclose(hessian.numpy(), expected)


def test_integer_lines_have_integer_ends():
    assert moka.linspace(0.5, 3.7, 5, dtype=moka.int64).tolist() == [0, 0, 1, 2, 3]
    assert moka.logspace(2.5, 0.5, 4, dtype=moka.int64).tolist() == [100, 21, 4, 1]


def test_bytes_are_resized_by_rows_and_columns():
    x = moka.tensor([0, 50, 100, 255, 7, 90], dtype=moka.uint8).reshape(1, 1, 2, 3)
    linear = [0, 31, 69, 100, 128, 66, 54, 95, 255, 100, 38, 90]
    cubic = [0, 21, 80, 105, 128, 57, 42, 100, 255, 92, 4, 95]
    assert F.interpolate(x, size=(3, 4), mode="bilinear").flatten().tolist() == linear
    assert F.interpolate(x, size=(3, 4), mode="bicubic").flatten().tolist() == cubic


def test_errors_have_the_types_of_torch():
    with pytest.raises(RuntimeError, match="0-dim"):
        moka.tensor(1.0).narrow(0, 0, 1)
    with pytest.raises(ValueError, match="invalid norm type: 3"):
        moka.linalg.cond(moka.eye(2), 3)
    with pytest.raises(AssertionError, match="min_val must be below"):
        nn.Hardtanh(1, -1)
    with pytest.raises(TypeError, match="must be a tuple of ints"):
        nn.Unflatten(1, 2)
    with pytest.raises(TypeError, match="sample 1 of the batch is of type int"):
        data.default_collate([moka.ones(1), 1])
    with pytest.raises(ValueError, match="outside 2 samples"):
        data.ConcatDataset([[1, 2]])[-3]


def test_layers_are_written_as_in_torch():
    assert repr(nn.BatchNorm2d(2, affine=False)) == (
        "BatchNorm2d(2, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=True)"
    )
    assert repr(nn.Embedding(4, 2, 0, 1.0, 1.0, True, True)) == (
        "Embedding(4, 2, padding_idx=0, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True)"
    )
    assert repr(nn.EmbeddingBag(4, 2, mode="sum")) == "EmbeddingBag(4, 2, mode='sum')"
    assert repr(nn.AvgPool1d(3, 1)) == "AvgPool1d(kernel_size=(3,), stride=(1,), padding=(0,))"
    assert repr(nn.MSELoss(reduction="sum")) == "MSELoss()"
    assert repr(nn.Conv1d(1, 1, 3, padding="same")).endswith("padding=same)")
    assert "NonDynamicallyQuantizableLinear" in repr(nn.MultiheadAttention(2, 1))
    assert repr(nn.LogSoftmax()) == "LogSoftmax(dim=None)"


def test_optimizers_give_their_state_as_torch():
    parameter = nn.Parameter(moka.ones(2))
    optimizer = moka.optim.Adam([parameter], 0.1)
    parameter.grad = moka.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    assert isinstance(state["state"][0]["step"], moka.Tensor) and state["state"][0]["step"] == 1
    assert list(state["param_groups"][0])[-1] == "params"
    assert repr(moka.optim.SGD([parameter])).count("weight_decay: 0\n") == 1
    optimizer.load_state_dict(state)
    assert optimizer.state[parameter]["step"] == 1


def test_samples_of_any_sequence_are_joined():
    assert [t.tolist() for t in data.default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]
    assert data.default_convert(range(2)) == [0, 1]
    assert data.WeightedRandomSampler([1, -1], 2).weights.tolist() == [1.0, -1.0]


def test_functions_of_numpy_give_bytes_for_truth():
    assert np.isnan(moka.tensor([1.0, np.nan])).dtype == moka.uint8
