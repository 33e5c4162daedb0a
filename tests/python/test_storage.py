"""The memory of tensors as objects, and methods about types, devices and memory."""
# SPDX-License-Identifier: Apache-2.0

import pickle

import pytest
from moka.storage import TypedStorage, UntypedStorage

import moka


def test_storages_share_the_memory():
    x = moka.arange(6.0).view(2, 3)
    assert x[1].storage().tolist() == [0, 1, 2, 3, 4, 5] and len(x[1].untyped_storage()) == 24
    assert x.untyped_storage().data_ptr() == x[1].untyped_storage().data_ptr() == x.data_ptr()
    x.storage()[0] = 7
    assert x[0, 0] == 7 and pickle.loads(pickle.dumps(x.storage())).tolist()[0] == 7
    assert UntypedStorage(3).nbytes() == 3 and TypedStorage([1, 2], dtype=moka.int16).nbytes() == 4


def test_storages_of_a_type_by_name():
    from moka.storage import KINDS

    whole = KINDS["IntStorage"]([-1, 0, 300])
    assert whole.type() == "torch.IntStorage" and isinstance(whole, KINDS["IntStorage"])
    assert whole.float().tolist() == [-1, 0, 300] and whole.byte().tolist() == [255, 0, 44]
    assert moka.zeros(2).storage_type() is KINDS["FloatStorage"]
    assert KINDS["FloatStorage"].from_buffer(b"\x3f\xc0\x00\x00", "big").tolist() == [1.5]
    assert moka.tensor(whole.untyped(), dtype=moka.int32).tolist() == [-1, 0, 300]
    whole[:2] = 7
    assert moka.tensor(whole).tolist() == [7, 7, 300]
    with pytest.raises(RuntimeError, match="Expected a Storage of type .*float32"):
        moka.empty(0).set_(whole)
    with pytest.raises(RuntimeError, match="'dtype' cannot be specified"):
        KINDS["IntStorage"](2, dtype=moka.int8)
    with pytest.raises(RuntimeError, match="cannot set item"):
        whole[0] = whole


def test_tensors_can_show_other_memory():
    x, y = moka.zeros(2), moka.arange(6.0)
    assert x.set_(y) is x and x.is_set_to(y) and x.tolist() == y.tolist()
    x.set_(y.untyped_storage(), 1, (2, 2), (2, 1))
    assert x.tolist() == [[1, 2], [3, 4]] and x.set_().numel() == 0
    with pytest.raises(RuntimeError, match="type float32 but the source int64"):
        x.set_(moka.arange(3))


def test_types_by_all_their_names():
    x = moka.tensor([1.5, 0.0])
    assert x.type() == "torch.FloatTensor" and x.type("torch.LongTensor").dtype == moka.int64
    assert x.type(moka.float64).dtype == moka.float64 and x.new(2, 3).shape == (2, 3)
    assert x.new([1, 2]).tolist() == [1, 2] and x.get_device() == -1 and not x.is_shared()
    assert moka.tensor([3]).is_nonzero() and x.is_same_size(moka.zeros(2))
    with pytest.raises(ValueError, match="invalid type"):
        x.type("torch.Nothing")
    with pytest.raises(AssertionError, match="CUDA"):
        x.cuda()


def test_subclasses_keep_the_history():
    class Own(moka.Tensor):
        pass

    w = moka.ones(2, requires_grad=True)
    y = (w * 2).as_subclass(Own)
    assert type(y) is Own and y.requires_grad
    y.sum().backward()
    assert w.grad.tolist() == [2, 2]


def test_elements_one_by_one_and_diagonals():
    x = moka.tensor([1.0, 2.0])
    assert x.apply_(lambda v: v * 3).tolist() == [3, 6]
    assert x.map_(moka.tensor([1.0, 1.0]), lambda a, b: a - b).tolist() == [2, 5]
    tall = moka.zeros(7, 3).fill_diagonal_(5, wrap=True)
    assert tall.sum(1).tolist() == [5, 5, 5, 0, 5, 5, 5]
    assert moka.zeros(2, 2).fill_diagonal_(1).tolist() == [[1, 0], [0, 1]]


def test_parts_of_sizes_are_sizes():
    shape = moka.zeros(2, 3, 4).shape
    assert shape[-2:].numel() == 12 and type(shape[:1] + shape[2:]) is moka.Size
    assert type(shape * 2) is moka.Size and shape[0] == 2


def test_factors_between_tensors():
    x, y = moka.ones(2), moka.full((2,), 3.0)
    assert moka.add(x, 2, y).tolist() == [7, 7] and x.clone().add_(2, y).tolist() == [7, 7]
    assert x.clone().addcmul_(0.5, y, y).tolist() == [5.5, 5.5]
    eye = moka.eye(2)
    assert moka.addmm(2, eye, 3, eye, eye).tolist() == [[5, 0], [0, 5]]
    with pytest.raises(TypeError, match="takes 2 arguments by position, got 3"):
        moka.mul(x, 2, y)
