"""Corners of indexing, gradients, reductions and outputs that random programs found beside torch's."""
# SPDX-License-Identifier: Apache-2.0

import math

import moka.nn.functional as F
import numpy as np
import pytest

import moka


def test_arrays_of_numpy_index_as_tensors_do():
    x = moka.arange(12).reshape(3, 4)
    assert x[np.array([True, False, True])].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert x[np.array([0, 2]), 1:].tolist() == [[1, 2, 3], [9, 10, 11]]
    assert x[np.eye(3, 4, dtype=bool)].tolist() == [0, 5, 10]
    assert x[np.array(1)].tolist() == [4, 5, 6, 7] and x[np.array(True)].shape == (1, 3, 4)
    assert x[np.int64(1), np.array([0, 1])].tolist() == [4, 5]
    x[:, np.array([1, 2])] = 0
    assert x[2].tolist() == [8, 0, 0, 11]


def test_one_value_can_be_written_through_an_expanded_view():
    x = moka.zeros(3)
    x.expand(2, 3)[:] = 5
    assert x.tolist() == [5, 5, 5]
    x.expand(2, 3).fill_(2)
    assert x.tolist() == [2, 2, 2]
    x.expand(2, 3).zero_()
    assert x.tolist() == [0, 0, 0]
    x.expand(2, 3).masked_fill_(moka.tensor([[True, False, False], [False, False, True]]), 7)
    assert x.tolist() == [7, 0, 7]
    x.expand(2, 3).index_fill_(0, moka.tensor([1]), 4)
    assert x.tolist() == [4, 4, 4]
    x.expand(2, 3)[moka.tensor([0, 1]), moka.tensor([0, 2])] = 1
    assert x.tolist() == [1, 4, 1] and x._version == 6
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        x.expand(2, 3).add_(1)


def test_a_scalar_has_one_element_to_select():
    assert moka.index_select(moka.tensor(3.0), 0, moka.tensor([0])).item() == 3
    for index in ([], [0, 0]):
        with pytest.raises(RuntimeError, match="Index to scalar can have only 1 value"):
            moka.index_select(moka.tensor(3.0), 0, moka.tensor(index, dtype=moka.int64))
    assert moka.topk(moka.tensor(3.0), 0).values.item() == 3


def slopes(function, *values):
    x = moka.tensor(values, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


def test_elements_at_a_bound_get_nothing_and_bounds_half():
    assert slopes(lambda x: x.clamp(-1, 1), -1.0, 0.0, 1.0) == [0, 1, 0]
    assert slopes(lambda x: x.clamp(min=-1), -1.0, 0.0, 1.0) == [0, 1, 1]
    assert slopes(lambda x: x.clamp(max=1), -1.0, 0.0, 1.0) == [1, 1, 0]
    assert slopes(lambda x: x.clamp_min(0), -1.0, 0.0, 1.0) == [0, 0, 1]
    low, high = moka.tensor(-1.0, requires_grad=True), moka.tensor(1.0, requires_grad=True)
    slopes(lambda x: x.clamp(low, high), -1.0, 0.0, 1.0)
    assert low.grad.item() == 0.5 and high.grad.item() == 0.5
    assert slopes(lambda x: x.clamp(3, 1), 0.0, 2.0, 4.0) == [0, 0, 0]


def test_slopes_at_nan_and_infinity():
    assert slopes(F.relu, math.nan, -1.0, 0.0, 2.0) == [1, 0, 0, 1]
    assert slopes(lambda x: moka.logaddexp(x, moka.tensor(1.0)), math.inf, -math.inf) == [1, 0]
    assert slopes(lambda x: moka.logaddexp2(x, moka.tensor(math.inf)), 1.0) == [0]


def test_norms_of_half_precision_numbers_stay_in_its_range():
    x = moka.tensor([300.0, 400.0], dtype=moka.float16)
    assert x.norm().item() == 500 and moka.linalg.vector_norm(x).dtype == moka.float16
    np.testing.assert_allclose(F.normalize(x, dim=0).float().numpy(), [0.6, 0.8], atol=1e-3)


def test_an_empty_list_of_dims_keeps_each_truth():
    x = moka.tensor([[0, 1, 2]])
    assert moka.all(x, dim=()).tolist() == [[False, True, True]]
    assert moka.any(x, dim=[], keepdim=True).tolist() == [[False, True, True]]
    assert x.any(dim=None).item() is True


def test_windows_that_begin_inside_are_enough_in_ceil_mode():
    x = moka.tensor([[[1.0, 2.0, 3.0]]])
    assert F.max_pool1d(x, 4, 3, ceil_mode=True).tolist() == [[[3]]]
    assert F.avg_pool1d(x, 4, 3, ceil_mode=True).tolist() == [[[2]]]
    with pytest.raises(RuntimeError, match="reaches over 4 places"):
        F.max_pool1d(x, 4, 1, ceil_mode=True)


def test_outputs_say_the_type_of_sums():
    assert moka.cumsum(moka.tensor([1.5, 2]), 0, out=moka.zeros(2, dtype=moka.int64)).tolist() == [1, 3]
    assert moka.sum(moka.tensor([True, True]), 0, out=moka.tensor(0.0)).item() == 2


def test_named_results_leave_vmap():
    values, places = moka.func.vmap(lambda x: x.max(0))(moka.tensor([[1.0, 3.0], [5.0, 2.0]]))
    assert values.tolist() == [3, 5] and places.tolist() == [1, 0]
    assert moka.func.vmap(lambda x: x.sort())(moka.tensor([[3.0, 1.0]])).indices.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("reduce", "slopes"),
    [("max", [1, 1, 0, 0, 0.5, 0.5]), ("min", [1, 1, 0, 1, 0, 0]), ("prod", [1, 3, math.nan, 25, 20, 20])],
)
def test_slopes_of_runs_with_nan(reduce, slopes):
    data = moka.tensor([1, math.nan, 3, 4, 5, 5], requires_grad=True)
    moka.segment_reduce(data, reduce, lengths=moka.tensor([1, 2, 3])).sum().backward()
    np.testing.assert_allclose(data.grad.numpy(), slopes)


def test_small_forms():
    assert moka.roll(moka.arange(4), 1, None).tolist() == [3, 0, 1, 2]
    assert moka.searchsorted(moka.tensor([1, 2, 3]), moka.tensor([1.5, 2.5])).tolist() == [1, 2]
    assert moka.take_along_dim(moka.arange(4), moka.tensor([0, 2], dtype=moka.int32)).tolist() == [0, 2]
    assert moka.fft.fftfreq(0).shape == (0,)
    assert F.pad(moka.arange(3.0)[None], (-1, 3), mode="circular").tolist() == [[1, 2, 1, 2, 1]]
    x = moka.ones(2, 3, requires_grad=True)
    assert x.positive() is x and moka.atleast_1d(x) is x and moka.broadcast_tensors(x, x)[0] is x
    y = moka.ones(2)
    assert y.repeat_interleave(1).data_ptr() != y.data_ptr() and moka.Tensor(y).data_ptr() == y.data_ptr()
    z = moka.ones(2, 3)
    z.t_()
    z.unsqueeze_(0)
    assert z._version == 2


def test_kinds_of_errors():
    with pytest.raises(TypeError, match="operator.invert"):
        ~moka.ones(2)
    with pytest.raises(TypeError, match="only integer tensors of a single element"):
        range(moka.ones(2))
    with pytest.raises(TypeError, match="only supported for complex"):
        moka.view_as_real(moka.ones(2))
    with pytest.raises(TypeError, match="expects a real input"):
        moka.fft.rfft(moka.ones(3, dtype=moka.complex64))
    with pytest.raises(RuntimeError, match="label_smoothing must be between 0.0 and 1.0"):
        F.cross_entropy(moka.ones(2, 2), moka.tensor([0, 1]), label_smoothing=1.5)


def test_results_that_a_gradient_does_not_read_may_be_written_to():
    x = moka.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for make in (
        lambda: x / x.sum(1, keepdim=True),
        lambda: F.normalize(x),
        lambda: moka.nn.GRUCell(2, 2)(x),
        lambda: moka.nn.LSTMCell(2, 2)(x)[0],
        lambda: moka.nn.LSTMCell(2, 2)(x)[1],
    ):
        once = make()
        once[0] = 0
        once.mul_(3).sum().backward()
    y = moka.tensor([2.0, 4.0], requires_grad=True)
    z = moka.tensor([8.0, 8.0]) / 1
    z.div_(y)
    z.sum().backward()
    assert y.grad.tolist() == [-2.0, -0.5]


def test_numpy_without_recording_and_uniform_numbers_below_their_end():
    x = moka.ones(2, requires_grad=True)
    with moka.no_grad():
        assert x.numpy().tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="requires grad"):
        x.numpy()
    for dtype in (moka.bfloat16, moka.float16):
        moka.manual_seed(0)
        assert float(moka.rand(40000, dtype=dtype).max()) < 1
        assert float(moka.empty(40000, dtype=dtype).uniform_(1, 3).max()) < 3


def test_dropout_of_channels_warns_of_unusual_dimensions():
    for call, shape in ((F.dropout2d, (2, 3, 4)), (F.dropout2d, (1, 2, 2, 2, 2)), (F.dropout3d, (2, 2, 2))):
        with pytest.warns(UserWarning, match=r"Received a \d-D input to dropout"):
            call(moka.ones(shape))
