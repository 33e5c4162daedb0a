"""Rules of arguments, copies and layouts that programs rely on without saying so."""
# SPDX-License-Identifier: Apache-2.0

import copy
import pickle

import numpy as np
import pytest

import moka
from moka import nn
from moka.nn import init


def test_python_types_stand_for_the_wide_types():
    assert moka.zeros(1, dtype=float).dtype == moka.float64
    assert moka.zeros(1, dtype=complex).dtype == moka.complex128
    assert moka.zeros(1, dtype=int).dtype == moka.int64


def test_an_int_is_no_bool_and_no_tensor_with_dimensions():
    x = moka.arange(9).reshape(3, 3)
    assert x.narrow(0, moka.tensor(1), 1).tolist() == [[3, 4, 5]]
    for start in (True, moka.tensor([1])):
        with pytest.raises(TypeError, match="'start' must be an int"):
            x.narrow(0, start, 1)
    assert [t.tolist() for t in moka.tensor_split(moka.arange(4), moka.tensor([1]))] == [[0], [1, 2, 3]]


def test_a_short_list_with_more_than_numbers_indexes_like_a_tuple():
    x = moka.arange(6).reshape(3, 2)
    assert x[[[0, 1], [1, 0]]].tolist() == [1, 2]
    assert x[[moka.tensor([0, 0]), moka.tensor([0, 1])]].tolist() == [0, 1]
    assert x[[slice(0, 2), 1]].tolist() == [1, 3]
    assert x[[0, 2]].shape == (2, 2)


def test_an_assignment_by_indices_wants_values_of_the_same_type():
    x = moka.zeros(3)
    with pytest.raises(RuntimeError, match="expected values of the tensor's type float32, got int64"):
        x[[0, 1]] = moka.tensor([1, 2])
    x[moka.tensor([True, False, True])] = moka.tensor(2)
    x[1:2] = moka.tensor([5])
    assert x.tolist() == [2, 5, 2]


def test_an_output_of_as_many_elements_keeps_its_shape():
    for fill in (lambda out: moka.linspace(0, 3, 4, out=out), lambda out: moka.arange(4, out=out)):
        x = moka.zeros(2, 3)
        fill(x.narrow(1, 1, 2))
        assert x.tolist() == [[0, 0, 1], [0, 2, 3]]
    line = moka.linspace(0, 1j, 3)
    assert line.dtype == moka.complex64 and line.tolist() == [0, 0.5j, 1j]
    np.testing.assert_allclose(moka.logspace(0, 1, 2, 2).numpy(), [1, 2])


def test_values_that_a_type_cannot_hold():
    assert moka.zeros(2, dtype=moka.int8).masked_fill_(moka.tensor([True, False]), 1.7).tolist() == [1, 0]
    assert moka.tensor([3e9, 300.0, -1.5]).to(moka.int32).tolist() == [-(2**31), 300, -1]
    assert moka.tensor([3e9, 300.0, -1.5]).to(moka.uint8).tolist() == [0, 44, 255]


def test_truth_of_bytes_is_a_byte_and_nothing_splits_into_parts():
    assert moka.all(moka.tensor([1, 2], dtype=moka.uint8)).dtype == moka.uint8
    assert [tuple(t.shape) for t in moka.zeros(0, 2).chunk(3)] == [(0, 2)] * 3


def test_copies_keep_the_order_of_dimensions():
    x = moka.randn(2, 3, 4, 5).contiguous(memory_format=moka.channels_last)
    for y in (x.clone(), x.double(), moka.zeros_like(x), moka.ones_like(x, dtype=moka.int64)):
        assert y.stride() == x.stride()
    assert moka.randn(5, 3)[::2].t().clone().stride() == (1, 3)
    assert moka.ones(10)[::2].ravel().is_contiguous()
    assert moka.ones(5).expand(1, 1, 5).stride() == (5, 5, 1)
    flat = moka.empty(x.numel()).resize_as_(x, memory_format=moka.preserve_format)
    assert flat.stride() == x.stride()


def test_copies_and_pickles_keep_classes_and_shared_memory():
    weight = nn.Parameter(moka.ones(2))
    weight.name_of_own = 3
    for other in (pickle.loads(pickle.dumps(weight)), copy.copy(weight)):
        assert isinstance(other, nn.Parameter) and other.requires_grad and other.name_of_own == 3
    base = moka.zeros(2, 2)
    first, row, turned = copy.deepcopy([base, base[1], base.t()])
    first.fill_(3)
    assert row.tolist() == [3, 3] and turned.stride() == (1, 2) and base.tolist() == [[0, 0], [0, 0]]


def test_lazy_layers_wait_in_pickles_and_states():
    lazy = pickle.loads(pickle.dumps(nn.LazyConv1d(4, 3)))
    assert isinstance(lazy.weight, nn.UninitializedParameter) and lazy.has_uninitialized_params()
    for call in (lambda w: w + 1, moka.empty_like, moka.abs):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            call(lazy.weight)
    with pytest.raises(RuntimeError, match="shape of an uninitialized"):
        nn.Conv1d(2, 4, 3).load_state_dict(lazy.state_dict())
    lazy.load_state_dict(nn.Conv1d(2, 4, 3).state_dict())
    assert not lazy.has_uninitialized_params() and type(lazy) is nn.LazyConv1d
    lazy(moka.ones(1, 2, 5))
    assert type(lazy) is nn.Conv1d and lazy.in_channels == 2
    with pytest.raises(ValueError, match="uninitialized parameters"):
        nn.utils.spectral_norm(nn.LazyLinear(2))


class Scale(nn.LazyModuleMixin, nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.UninitializedParameter()

    def initialize_parameters(self, x):
        self.weight.materialize(x.shape[-1:])
        init.ones_(self.weight)

    def forward(self, x):
        return x * self.weight


def test_own_lazy_layers_get_their_first_input():
    layer = Scale()
    assert layer(moka.ones(2, 3)).tolist() == [[1, 1, 1]] * 2
    assert type(layer.weight) is nn.Parameter and not layer._forward_pre_hooks


def test_averages_that_are_not_tracked_stay():
    layer = nn.BatchNorm1d(2)
    layer.track_running_stats = False
    layer(moka.randn(4, 2))
    assert layer.running_mean.tolist() == [0, 0] and layer.num_batches_tracked == 0


def test_backward_hooks_see_every_place_and_are_checked():
    class Both(nn.Module):
        def forward(self, flag, x):
            return x.clone(), flag

    seen = []
    module = Both()
    module.register_full_backward_hook(lambda m, inputs, outputs: seen.append((inputs, outputs)))
    module(True, moka.ones(1, requires_grad=True))[0].sum().backward()
    (inputs, outputs) = seen[0]
    assert inputs[0] is None and outputs[1] is None and inputs[1].tolist() == outputs[0].tolist() == [1]
    module = nn.Sigmoid()
    module.register_full_backward_hook(lambda m, inputs, outputs: ())
    with pytest.raises(RuntimeError, match="got 0, but expected 1"):
        module(moka.ones(1, requires_grad=True)).sum().backward()


def test_schedules_before_the_optimizer_warn_and_functions_stay_out_of_states():
    optimizer = moka.optim.SGD([moka.ones(1, requires_grad=True)], lr=1.0)
    schedule = moka.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    with pytest.warns(UserWarning, match="called before"):
        schedule.step()
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [None]
    schedule.load_state_dict(state)
    schedule.step()
    assert schedule.get_last_lr() == [0.25]


def test_truncated_normal_numbers_and_empty_tensors():
    x = init.trunc_normal_(moka.empty(20000), 1.0, 2.0, 0.0, 3.0)
    assert 0 <= x.min() and x.max() <= 3 and abs(x.mean() - 1.3) < 0.2
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(moka.empty(0, 1))


def test_schedules_behind_the_optimizer_do_not_warn(recwarn):
    optimizer = moka.optim.SGD([moka.ones(1, requires_grad=True)], lr=1.0)
    schedule = moka.optim.lr_scheduler.StepLR(optimizer, 1)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    assert not recwarn.list


def test_mantissas_and_segments():
    x = moka.tensor([0.0, 1.0, -3.5, 1e-45, 3e38, float("inf")])
    mantissa, exponent = moka.frexp(x)
    assert exponent.dtype == moka.int32 and exponent.tolist() == [0, 1, 2, -148, 128, 0]
    np.testing.assert_array_equal(mantissa.numpy(), np.frexp(x.numpy())[0])
    data = moka.arange(0.0, 8).reshape(4, 2)
    lengths = moka.tensor([2, 0, 2])
    assert moka.segment_reduce(data, "sum", lengths=lengths).tolist() == [[2, 4], [0, 0], [10, 12]]
    largest = moka.segment_reduce(data, "max", offsets=moka.tensor([0, 1, 4]), initial=3.0)
    assert largest.tolist() == [[3, 3], [6, 7]]
    assert moka.segment_reduce(data, "mean", lengths=lengths).isnan().sum() == 2
    with pytest.raises(RuntimeError, match="to sum to data.size"):
        moka.segment_reduce(data, "sum", lengths=moka.tensor([1]))


def test_files_are_memory(tmp_path):
    shared = moka.from_file(str(tmp_path / "x"), True, 3, dtype=moka.float32)
    shared.fill_(2)
    assert moka.from_file(str(tmp_path / "x"), False, 3).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="has 12 bytes, but 40 are needed"):
        moka.from_file(str(tmp_path / "x"), False, 10)


def test_complex_numbers_where_real_ones_are_expected():
    with pytest.raises(RuntimeError, match="imaginary part is 1.5"):
        float(moka.tensor(1.5j))
    with pytest.raises(RuntimeError, match="converted to Scalar of type float32"):
        moka.ones(2).index_fill_(0, moka.tensor([0]), 1j)
    assert moka.tensor([0j, 1j], dtype=moka.bool).tolist() == [False, True]
    with pytest.warns(UserWarning, match="overload of addcdiv is deprecated: give value"):
        assert moka.addcdiv(moka.ones(1), 2, moka.ones(1), moka.ones(1)).tolist() == [3]


@pytest.mark.parametrize("kind", [moka.optim.SGD, moka.optim.Adam, moka.optim.Adagrad, moka.optim.RMSprop])
def test_complex_parameters_are_pairs_of_numbers(kind):
    whole = moka.tensor([1 + 2j, -3j], requires_grad=True)
    pairs = moka.view_as_real(whole.detach()).clone().requires_grad_()
    for parameter in (whole, pairs):
        optimizer = kind([parameter], lr=0.1)
        for scale in (1.0, -0.5):
            parameter.grad = parameter.detach() * scale
            optimizer.step()
    np.testing.assert_allclose(moka.view_as_real(whole.detach()).numpy(), pairs.detach().numpy(), rtol=1e-6)


def test_the_padding_row_stays_whatever_flows_back():
    table = moka.ones(3, 2, requires_grad=True)
    y = nn.functional.embedding(moka.tensor([1, 2]), table, padding_idx=1)
    y.backward(moka.tensor([[float("nan")] * 2, [1.0, 1.0]]))
    assert table.grad.tolist() == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(AssertionError, match="padding_idx must be within"):
        nn.Embedding(3, 2, padding_idx=7)


@pytest.mark.parametrize("replacement", [True, False])
def test_no_rows_to_draw_from_give_no_draws(replacement):
    moka._C._draw_as_torch(True)
    try:
        assert moka.multinomial(moka.ones(0, 3), 1, replacement).shape == (0, 1)
    finally:
        moka._C._draw_as_torch(False)
