"""Tensors from numbers, sequences and memory in torch's call forms."""
# SPDX-License-Identifier: Apache-2.0

import array
import copy
import math
import pickle
from collections import UserList

import numpy as np
import pytest

import moka


def test_sizes_may_be_numpy_integers_and_tensors():
    assert list(moka.zeros(np.int64(2), 3).shape) == [2, 3]
    assert list(moka.ones(moka.tensor(3)).shape) == [3]
    assert list(moka.ones(moka.tensor(3), 2).shape) == [3, 2]
    assert list(moka.arange(6).view(np.int32(3), -1).shape) == [3, 2]
    assert list(moka.ones(2, 3).sum(np.int64(0)).shape) == [3]


def test_sequences_of_any_kind():
    assert moka.tensor(range(3)).tolist() == [0, 1, 2]
    assert moka.tensor([UserList([1, 2]), (3, 4)]).tolist() == [[1, 2], [3, 4]]
    assert moka.tensor([[np.array([1.0, 2.0])], [[3, 4]]]).tolist() == [[[1.0, 2.0]], [[3.0, 4.0]]]
    with pytest.raises(ValueError, match="expected sequence of length"):
        moka.tensor([[1, 2], [3]])
    with pytest.raises(ValueError, match="expected sequence of length"):
        moka.tensor([np.zeros((3, 3)), np.zeros((3, 0))])


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [(-3, "uint8", 253), (255, "uint8", 255), (3.7, "int64", 3), (2**63, "float64", 2.0**63), (2, "bool", 1)],
)
def test_numbers_become_elements(value, dtype, expected):
    assert moka.tensor(value, dtype=getattr(moka, dtype)).item() == expected


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(300, "uint8"), (-256, "uint8"), (-129, "int8"), (2**31, "int32"), (1e10, "int32"), (math.nan, "int64")],
)
def test_numbers_that_do_not_fit(value, dtype):
    with pytest.raises(RuntimeError, match=f"cannot be converted to type {dtype} without overflow"):
        moka.tensor([value], dtype=getattr(moka, dtype))


def test_read_only_arrays_are_shared_with_a_warning():
    values = np.arange(3.0)
    values.setflags(write=False)
    with pytest.warns(UserWarning, match="not writable"):
        shared = moka.from_numpy(values)
    assert shared.data_ptr() == values.ctypes.data
    with pytest.raises(RuntimeError, match="read-only"):
        shared.add_(1)


def test_asarray_shares_copies_and_converts():
    x = moka.ones(2)
    assert moka.asarray(x) is x and moka.asarray(x, copy=True) is not x
    numbers = np.ones(3, dtype=np.float32)
    assert moka.asarray(numbers).data_ptr() == numbers.ctypes.data
    assert moka.asarray(numbers, dtype=moka.float64).dtype == moka.float64
    assert moka.asarray(array.array("f", [1, 2])).tolist() == [1.0, 2.0]
    assert moka.asarray([1.0, 2.0], requires_grad=True).requires_grad
    assert moka.asarray([1.0, 2.0], requires_grad=True).detach().tolist() == [1.0, 2.0]
    assert not moka.asarray(moka.ones(1, requires_grad=True), requires_grad=False).requires_grad
    with pytest.raises(ValueError, match="can't alias arbitrary sequence"):
        moka.asarray([1, 2], copy=False)
    with pytest.raises(ValueError, match="can't alias tensor with dtype"):
        moka.asarray(x, dtype=moka.float64, copy=False)


def test_frombuffer():
    data = bytearray(np.arange(4, dtype=np.int32).tobytes())
    whole = moka.frombuffer(data, dtype=moka.int32)
    assert whole.tolist() == [0, 1, 2, 3]
    part = moka.frombuffer(data, dtype=moka.int32, count=2, offset=4)
    part.fill_(9)
    assert whole.tolist() == [0, 9, 9, 3]
    with pytest.warns(UserWarning, match="not writable"):
        assert moka.frombuffer(b"ab", dtype=moka.uint8).tolist() == [97, 98]
    for wrong, text in [
        ({"offset": 16}, "offset .16 bytes. must be"),
        ({"offset": 3}, "must be a multiple of element size"),
        ({"count": 0}, "must not be 0"),
        ({"count": 5}, "must not be greater than actual buffer length"),
    ]:
        with pytest.raises(ValueError, match=text):
            moka.frombuffer(data, dtype=moka.int32, **wrong)
    with pytest.raises(ValueError, match="does not implement Python buffer protocol"):
        moka.frombuffer([1], dtype=moka.int32)


def test_randint_and_range():
    assert list(moka.randint(high=3, size=(4,)).shape) == [4]
    assert list(moka.randint(5, size=(2,)).shape) == [2]
    assert moka.randint(low=7, high=8, size=(3,)).tolist() == [7, 7, 7]
    assert moka.randint(7, 8, [3]).tolist() == [7, 7, 7]
    with pytest.raises(TypeError, match="give the size as a tuple"):
        moka.randint(3, 4)
    with pytest.warns(UserWarning, match="arange"):
        assert moka.range(1, 2, 0.5).tolist() == [1.0, 1.5, 2.0]


def test_devices_that_are_not_here_can_be_named():
    here, away = moka.device("cpu"), moka.device("cuda", 1)
    assert repr(here) == "device(type='cpu')" and str(away) == "cuda:1" and moka.device(1) == away
    assert away == "cuda:1" and away != moka.device("cuda") and (away.type, away.index) == ("cuda", 1)
    assert pickle.loads(pickle.dumps(away)) == away == copy.deepcopy(away)
    assert hash(away) == hash(moka.device(away))
    with here:
        assert moka.ones(1).device == here
    with pytest.raises(RuntimeError, match="no device type 'cuda'"):
        moka.ones(1, device=away)
    with pytest.raises(RuntimeError, match="no device type 'gpu'"):
        moka.device("gpu")


def test_comparisons_with_arrays_are_elementwise():
    x = moka.tensor([1.0, 2.0])
    for result in (x == np.array([1.0, 3.0]), np.array([1.0, 3.0]) == x):
        assert isinstance(result, moka.Tensor) and result.tolist() == [True, False]
    assert (x < np.array([1.5, 1.5])).tolist() == [True, False]


def test_masks_of_bytes_and_values_with_leading_ones():
    x = moka.arange(4)
    with pytest.warns(UserWarning, match="uint8 is now deprecated"):
        assert x[moka.tensor([1, 0, 1, 0], dtype=moka.uint8)].tolist() == [0, 2]
    zeros = moka.zeros(4)
    zeros.index_put_((moka.tensor([0, 1, 0, 1], dtype=moka.uint8),), moka.tensor(2.0))
    assert zeros.tolist() == [0, 2, 0, 2]
    with pytest.raises(RuntimeError, match="shape mismatch: value tensor"):
        zeros[[0, 1]] = moka.ones(3)
    zeros[True] = moka.tensor([[[1.0, 2, 3, 4]]])
    assert zeros.tolist() == [1, 2, 3, 4]
    x[1:3] = moka.tensor([[[7, 8]]])
    assert x.tolist() == [0, 7, 8, 3]
    z = moka.zeros(2, dtype=moka.complex64)
    z.index_put_((moka.tensor([0, 0, 1]),), moka.tensor([1 + 1j, 2j, 3]), accumulate=True)
    assert z.tolist() == [1 + 3j, 3 + 0j]
    with pytest.raises(IndexError, match="shape mismatch: indexing tensors"):
        moka.ones(4, 4)[[0, 1], [0, 1, 2]]
    with pytest.raises(IndexError, match="index 4 is out of bounds for dimension 0 with size 4"):
        x[4]
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.transpose(0, 1)


def test_filling_refuses_what_does_not_fit():
    assert moka.full((2,), -1, dtype=moka.uint8).tolist() == [255, 255]
    assert moka.full((1,), math.inf).tolist() == [math.inf]
    for call in (
        lambda: moka.full((2,), 300, dtype=moka.uint8),
        lambda: moka.zeros(2, dtype=moka.int8).fill_(200),
        lambda: moka.full((), 1e300),
        lambda: moka.full((), math.nan, dtype=moka.int64),
    ):
        with pytest.raises(RuntimeError, match="without overflow"):
            call()


def test_out_says_the_type_of_new_numbers():
    whole = moka.empty(0, dtype=moka.int64)
    assert moka.full((3,), 2.0, out=whole) is whole and whole.tolist() == [2, 2, 2]
    double = moka.empty(0, dtype=moka.float64)
    moka.manual_seed(3)
    expected = moka.rand(5, dtype=moka.float64)
    moka.manual_seed(3)
    assert moka.rand(5, out=double).tolist() == expected.tolist()


def test_random_complex_numbers():
    moka.manual_seed(0)
    z = moka.randn(20000, dtype=moka.complex64)
    assert z.dtype == moka.complex64
    assert abs((z.abs() ** 2).mean().item() - 1) < 0.05 and abs(z.real.mean().item()) < 0.03
    u = moka.rand(3, 1000, dtype=moka.complex128)
    for part in (u.real, u.imag):
        assert 0 <= part.min().item() and part.max().item() < 1 and abs(part.mean().item() - 0.5) < 0.03


def test_empty_lies_in_a_memory_format():
    x = moka.empty(2, 3, 4, 5, memory_format=moka.channels_last)
    assert x.stride() == (60, 1, 15, 3) and x.is_contiguous(memory_format=moka.channels_last)
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last"):
        moka.empty(3, 3, memory_format=moka.channels_last)


def test_zeros_and_ones_are_drawn_into_any_type():
    out = moka.empty(3, dtype=moka.int32)
    moka.bernoulli(moka.tensor([0.0, 1.0, 1.0]), out=out)
    assert out.dtype == moka.int32 and out.tolist() == [0, 1, 1]


def test_lists_of_tensors_have_the_type_that_holds_all():
    def type_of(*entries):
        return moka.tensor(list(entries)).dtype

    double, half, word = (moka.tensor(1, dtype=d) for d in (moka.float64, moka.float16, moka.int32))
    assert type_of(double, 2) == type_of(1.5, double) == moka.float64
    assert type_of(half, 2) == moka.float16 and type_of(half, 2.0) == moka.float32
    assert type_of(word, word) == moka.int32 and type_of(word, 2) == moka.int64
    assert type_of() == moka.float32 and type_of(True, 2j) == moka.complex64


def test_as_tensor_of_another_type_keeps_the_history():
    x = moka.ones(2, dtype=moka.float64, requires_grad=True)
    y = moka.as_tensor(x, dtype=moka.float32)
    assert y.dtype == moka.float32 and not y.is_leaf
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and moka.as_tensor(x) is x


@pytest.mark.parametrize("draw", [moka.rand_like, moka.randn_like, lambda x: moka.randint_like(x, 5)])
def test_numbers_drawn_like_a_tensor_lie_in_its_order(draw):
    for x in (moka.ones(4, 3, 8, 8).to(memory_format="channels_last")[..., ::2, ::2], moka.ones(2, 3).t()):
        moka.manual_seed(3)
        drawn = draw(x)
        assert drawn.stride() == moka.empty_like(x).stride()
        order = sorted(range(x.dim()), key=lambda d: -drawn.stride(d))
        moka.manual_seed(3)
        assert moka.equal(drawn.permute(order), draw(moka.ones([x.shape[d] for d in order])))
