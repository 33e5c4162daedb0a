"""Tensors and other libraries on one memory; memory formats; methods that keep the object; limits."""
# SPDX-License-Identifier: Apache-2.0

import copy
import gc
import pickle

import numpy as np
import pytest

import moka

# ---- DLPack


def test_numpy_reads_the_memory_of_a_tensor():
    x = moka.arange(6.0).reshape(2, 3).t()
    array = np.from_dlpack(x)
    array[0, 1] = 9
    assert array.shape == (3, 2) and x[0, 1].item() == 9


def test_a_tensor_reads_the_memory_of_an_array():
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    x = moka.from_dlpack(array[:, ::2])
    x[1, 1] = -1
    assert array[1, 2] == -1 and x.dtype == moka.int16


@pytest.mark.parametrize("name", ["bool", "uint8", "int32", "float16", "float32", "float64", "bfloat16"])
def test_every_type_goes_round(name):
    x = moka.ones(2, 3).to(getattr(moka, name))
    y = moka.from_dlpack(x)
    assert y.dtype == x.dtype and y.data_ptr() == x.data_ptr()


def test_the_memory_outlives_its_tensor():
    array = np.from_dlpack(moka.arange(1000))
    gc.collect()
    assert array[999] == 999


def test_copies_only_when_asked():
    x = moka.zeros(3)
    assert moka.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert moka.from_dlpack(x, copy=False).data_ptr() == x.data_ptr()
    assert x.__dlpack_device__() == (1, 0)


def test_a_capsule_is_read_once():
    capsule = moka.ones(2).__dlpack__()
    assert moka.from_dlpack(capsule).tolist() == [1, 1]
    with pytest.raises(TypeError, match="unused"):
        moka.from_dlpack(capsule)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: moka.ones(2, requires_grad=True).__dlpack__(), BufferError, "requires grad"),
        (lambda: moka.ones(2).__dlpack__(stream=3), BufferError, "streams"),
        (lambda: moka.ones(2).__dlpack__(dl_device=(2, 0)), BufferError, "device"),
        (lambda: moka.from_dlpack(np.arange(4)[::-1]), ValueError, "negative strides"),
        (lambda: moka.from_dlpack(3), TypeError, "__dlpack__"),
    ],
)
def test_what_cannot_be_exchanged_is_an_error(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---- memory formats


def test_channels_last_is_another_order_of_the_same_values():
    x = moka.randn(2, 3, 4, 5)
    y = x.contiguous(memory_format=moka.channels_last)
    assert y.stride() == (60, 1, 15, 3) and bool((x == y).all())
    assert y.is_contiguous(memory_format=moka.channels_last) and not y.is_contiguous()
    assert y.contiguous(memory_format=moka.channels_last) is y
    assert y.clone(memory_format=moka.preserve_format).stride() == y.stride()
    assert y.to(moka.float64, memory_format=moka.preserve_format).stride() == y.stride()
    assert moka.zeros_like(x, memory_format=moka.channels_last).stride() == y.stride()
    with pytest.raises(RuntimeError, match="rank 4"):
        moka.ones(2, 3).contiguous(memory_format=moka.channels_last)
    with pytest.raises(RuntimeError, match="unknown memory format"):
        moka.ones(2).clone(memory_format="rows")
    assert pickle.loads(pickle.dumps(moka.channels_last)) == moka.channels_last


# ---- methods that keep the object


def test_views_in_place_change_the_object_itself():
    x = moka.arange(6.0).reshape(2, 3)
    assert x.t_() is x and x.shape == (3, 2) and x.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert x.unsqueeze_(0).squeeze_(0).transpose_(0, 1).shape == (2, 3)
    assert x.as_strided_((2,), (2,)).tolist() == [0, 2]


def test_gradients_flow_through_views_in_place():
    x = moka.randn(2, 3, requires_grad=True)
    y = x * 2
    y.t_()
    (y * moka.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
    with pytest.raises(RuntimeError):
        x.t_()


def test_resize_keeps_what_fits():
    x = moka.arange(4)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(100, 3).shape == (100, 3) and x[0].tolist() == [0, 1, 2]
    assert x.resize_as_(moka.ones(2)).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="negative"):
        x.resize_(-1)
    with pytest.raises(RuntimeError, match="require grad"):
        moka.ones(2, requires_grad=True).resize_(3)


def test_eight_dimensions_come_and_go():
    x = moka.arange(6)
    x.resize_(1, 1, 1, 1, 1, 1, 2, 3)
    assert x.dim() == 8 and x.squeeze_().tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- call forms


def test_lists_of_tensors_may_be_given_one_by_one():
    a, b = moka.arange(2), moka.arange(3)
    for x, y in zip(moka.meshgrid(a, b, indexing="xy"), np.meshgrid(a.numpy(), b.numpy()), strict=True):
        np.testing.assert_array_equal(x.numpy(), y)
    assert moka.cartesian_prod(a, b).tolist() == moka.cartesian_prod([a, b]).tolist()
    assert moka.block_diag(a, b).shape == (2, 5)
    assert [t.shape for t in moka.atleast_2d(a, b)] == [(1, 2), (1, 3)]
    assert moka.broadcast_shapes((2, 1), 3) == (2, 3)
    with pytest.raises(RuntimeError, match="broadcast"):
        moka.broadcast_shapes((2,), (3,))


def test_nonzero_as_tuple_indexes():
    x = moka.tensor([[0, 1], [2, 0]])
    assert x[x.nonzero(as_tuple=True)].tolist() == [1, 2]
    assert [t.tolist() for t in moka.where(x > 0)] == [[0, 1], [1, 0]]
    assert x.where(x > 1, -1).tolist() == [[-1, -1], [2, -1]]


# ---- types


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_limits_of_floating_types_are_numpys(name):
    ours, theirs = moka.finfo(getattr(moka, name)), np.finfo(name)
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "smallest_subnormal", "resolution"):
        assert np.dtype(name).type(getattr(ours, field)) == getattr(theirs, field), field


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64", "uint64"])
def test_limits_of_integer_types_are_numpys(name):
    ours, theirs = moka.iinfo(getattr(moka, name)), np.iinfo(name)
    assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)
    with pytest.raises(TypeError, match="finfo"):
        moka.iinfo(moka.float32)


def test_types_promote_by_kind_and_rank():
    assert moka.promote_types(moka.int64, moka.float16) == moka.float16
    assert moka.promote_types(moka.uint8, moka.int8) == moka.int16
    assert moka.result_type(moka.ones(2, dtype=moka.float16), moka.tensor(1.0)) == moka.float16
    assert moka.result_type(moka.ones(2, dtype=moka.int32), 1.5) == moka.float32
    assert moka.can_cast(moka.int64, moka.float16) and not moka.can_cast(moka.float32, moka.int64)


# ---- printing and copies


def test_print_options_change_what_is_shown():
    x = moka.tensor([1 / 3, 2.0])
    try:
        moka.set_printoptions(precision=2)
        assert str(x) == "tensor([0.33, 2.00])"
        moka.set_printoptions(sci_mode=True)
        assert str(x) == "tensor([3.33e-01, 2.00e+00])"
        moka.set_printoptions(profile="default", threshold=3, edgeitems=1)
        assert "..." in str(moka.arange(10))
        with pytest.raises(ValueError, match="profile"):
            moka.set_printoptions(profile="long")
    finally:
        moka.set_printoptions(profile="default")


def test_copies_keep_values_type_and_leaf_state():
    x = moka.randn(2, 3, requires_grad=True)
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert bool((x == y).all()) and y.requires_grad and y.dtype == x.dtype
    half = moka.ones(2).bfloat16()
    assert pickle.loads(pickle.dumps(half)).dtype == moka.bfloat16
