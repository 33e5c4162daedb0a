"""Writing in place into views and their bases: gradients follow the memory; what is unclear is refused."""
# SPDX-License-Identifier: Apache-2.0

import gc
import weakref

import pytest

import moka
from moka.autograd import Function


def leaf(*values):
    return moka.tensor(values or (1.0, 2.0, 3.0, 4.0), requires_grad=True)


def test_writing_into_a_view_replaces_its_part_of_the_gradient():
    x, w = leaf(), leaf(5.0, 6.0)
    base = x * 1
    base[1:3] = w * 2
    (base * moka.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 1000.0]
    assert w.grad.tolist() == [20.0, 200.0]
    assert base.grad_fn.name() == "CopySlices"


def test_writing_into_a_view_that_keeps_its_values_goes_on_through_it():
    x = leaf()
    base = x * 1
    base.view(2, 2)[1].mul_(3)
    base.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 3.0, 3.0]


def test_a_tensor_without_gradient_gets_one_with_what_is_written_into_it():
    w = leaf(5.0)
    filled = moka.zeros(2, 2)
    before = filled[1]
    filled[1, 0] = w[0] * w[0]
    assert filled.requires_grad and before.requires_grad and not before.is_leaf
    (before * 2).sum().backward()
    assert w.grad.tolist() == [20.0]


def test_views_made_before_a_write_see_it():
    x = leaf()
    base = x * 1
    row = base[:2]
    assert row.grad_fn.name() == "SliceBackward"
    base.mul_(2)
    assert row.grad_fn.name() == "AsStridedBackward"
    assert row.grad_fn.next_functions[0][0].name() == "MulBackward"
    row.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 0.0, 0.0]


def test_views_of_views_and_transposes_find_their_place():
    x = moka.arange(6, dtype=moka.float64).requires_grad_()
    base = (x * 1).view(2, 3)
    column = base.t()[1]
    column.mul_(moka.tensor([3.0, 7.0], dtype=moka.float64))
    base[0, 1:].mul_(5)
    base.sum().backward()
    assert x.grad.tolist() == [1, 15, 5, 1, 7, 1]


def test_an_expanded_view_of_a_written_base_adds_its_gradients_up():
    x = leaf(1.0, 2.0)
    base = x * 1
    wide = base.unsqueeze(1).expand(2, 3)
    base.mul_(2)
    wide.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_second_derivatives_through_writes():
    x = leaf(2.0, 3.0)
    base = x * x
    base[0].mul_(x[1])
    base[1].exp_()
    (first,) = moka.autograd.grad(base.sum(), x, create_graph=True)
    # x0^2 x1 + exp(x1^2)
    e9 = 8103.083927575384
    assert first.tolist() == pytest.approx([12.0, 4.0 + 6 * e9], rel=1e-5)
    (second,) = moka.autograd.grad(first.sum(), x)
    assert second.tolist() == pytest.approx([2 * 3 + 2 * 2, 2 * 2 + 2 * e9 + 36 * e9], rel=1e-5)


def test_index_assignment_with_tensors_and_masks():
    x, w = leaf(), leaf(7.0, 8.0)
    base = x * 1
    base[moka.tensor([3, 0])] = w
    base[moka.tensor([False, True, False, False])] = 0.0
    base.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.0] and w.grad.tolist() == [1.0, 1.0]


def test_composites_in_place_are_recorded():
    x, w = leaf(1.0, 5.0), leaf(3.0, 2.0)
    base = x * 1
    base.max_(w)
    base.sum().backward()
    assert base.tolist() == [3.0, 5.0] and x.grad.tolist() == [0.0, 1.0] and w.grad.tolist() == [1.0, 0.0]


def test_an_operator_without_gradient_writes_a_constant():
    x = leaf()
    base = x * 1
    base.eq_(2.0)
    base.sum().backward()
    assert x.grad.tolist() == [0.0] * 4


def test_a_base_whose_memory_is_not_in_order():
    x = leaf()
    base = moka.zeros(2, 2).t()
    other = x.view(2, 2) * 1
    strided = moka.empty(0)
    strided = other.t() * base  # keeps the order of other.t() in memory
    part = strided[0]
    part.copy_(x[:2])
    assert not strided.is_contiguous()
    (strided * moka.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.__setitem__(0, 9.0),
        lambda x: x[1:].mul_(2),
        lambda x: x.view(2, 2)[0].zero_(),
    ],
)
def test_leaves_and_their_views_are_refused(write):
    x = leaf()
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad.*Use no_grad"):
        write(x)
    assert x.tolist() == [1.0, 2.0, 3.0, 4.0]
    with moka.no_grad():
        write(x)
    assert x.tolist() != [1.0, 2.0, 3.0, 4.0] and x.is_leaf


@pytest.mark.parametrize(
    "several", [lambda t: t.split(2)[0], lambda t: t.chunk(2)[1], lambda t: t.unbind()[0].view(1)]
)
def test_one_of_several_views_is_refused(several):
    base = leaf() * 1
    part = several(base)
    with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
        part.mul_(2)
    base.mul_(2)
    with pytest.raises(RuntimeError, match="its base or another view of its base.*multiple views"):
        (part * 2).sum()


def test_one_of_several_views_can_be_written_where_nothing_is_recorded():
    base = moka.ones(4)
    base.split(2)[0].mul_(3)
    assert base.tolist() == [3.0, 3.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("mode", "name"), [(moka.no_grad, "no_grad"), (moka.inference_mode, "inference_mode")]
)
def test_views_made_where_nothing_is_recorded_are_refused_outside(mode, name):
    base = leaf() * 1
    with mode():
        view = base[1:]
    with pytest.raises(RuntimeError, match=f"created in {name.replace('_mode', '')}.*both outside"):
        view.mul_(2)
    with mode():
        view.mul_(2)
    assert base.tolist() == [1.0, 4.0, 6.0, 8.0]


def test_views_returned_by_custom_functions_are_refused():
    class Flat(Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(-1)

        @staticmethod
        def backward(ctx, grad):
            return grad.view(2, 2)

    flat = Flat.apply(leaf().view(2, 2) * 1)
    with pytest.raises(RuntimeError, match="created inside a custom Function"):
        flat.mul_(2)


def test_out_of_a_recorded_call_is_refused():
    x = leaf()
    with pytest.raises(RuntimeError, match="out= does not support gradients"):
        moka.add(x, x, out=moka.empty(4))


def test_detached_tensors_share_the_version_and_data_has_its_own():
    x = leaf() * 1
    x.detach().add_(1)
    assert (x._version, x.detach()._version) == (1, 1)
    data = x.data
    data.add_(1)
    data[0] = 0.0
    assert (x._version, data._version) == (1, 2)
    assert x.detach()._base is None and not x.detach()._is_view() and x[0]._base is x


def test_what_was_saved_and_written_since_is_named():
    x = leaf() * 1
    y = x * x
    x[0].add_(1)
    with pytest.raises(
        RuntimeError, match=r"mul needs its argument 'input' \(float32\[4\]\).*version 1, expected version 0"
    ):
        y.sum().backward()
    z = leaf().exp()
    z[0] = 5.0
    with pytest.raises(RuntimeError, match=r"exp needs its result.*at version 1, expected version 0"):
        z.sum().backward()


def test_what_a_write_overwrites_is_kept_for_its_own_gradient():
    x = leaf(2.0, 3.0)
    base, w = x * 1, leaf(4.0, 5.0)
    base.mul_(w)
    base.sum().backward()
    assert x.grad.tolist() == [4.0, 5.0] and w.grad.tolist() == [2.0, 3.0]


def test_writes_keep_the_gradient_that_is_asked_for():
    x = leaf()
    y = x * 1
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert y.grad.tolist() == [1.0] * 4 and x.grad.tolist() == [3.0] * 4


def test_hooks_stay_with_the_value_they_were_set_on():
    x, seen = leaf(), []
    y = x * 1
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    y.mul_(3)
    y.sum().backward()
    assert seen == [[3.0] * 4]


def test_handing_the_input_back_is_no_operation():
    x = leaf()
    assert x.contiguous() is x and x.is_leaf and x.to(moka.float32) is x


def test_loops_that_fill_a_buffer_let_go_of_it():
    w = leaf(0.5)
    buffer = moka.zeros(5)
    for i in range(1, 5):
        buffer[i] = (buffer[i - 1].clone() + 1) * w[0]
    buffer.sum().backward()
    assert w.grad.item() == pytest.approx(4 + 6 * 0.5 + 6 * 0.25 + 4 * 0.125)
    kept = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert kept() is None


def test_writes_through_a_view_do_not_keep_the_base_in_a_circle():
    w = leaf(0.5)
    buffer = moka.zeros(3)
    view = buffer[0]
    buffer[1] = view * w[0]
    kept = weakref.ref(buffer)
    del buffer, view
    gc.collect()
    assert kept() is None
