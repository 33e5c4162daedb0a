"""Tensors of the device meta: sizes, strides and dtypes of results without memory or values."""
# SPDX-License-Identifier: Apache-2.0

import copy
import io
import pickle

import pytest

import moka
from moka import nn


def test_operators_infer_and_derivatives_follow():
    x = moka.empty(2, 3, 8, 8, device="meta", requires_grad=True)
    layer = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), nn.BatchNorm2d(4, device="meta"), nn.ReLU())
    y = layer(x)
    assert y.is_meta and tuple(y.shape) == (2, 4, 6, 6) and y.requires_grad and y.data_ptr() == 0
    y.sum().backward()
    assert x.grad.is_meta and x.grad.shape == x.shape and layer[0].weight.grad.is_meta
    optimizer = moka.optim.Adam(layer.parameters())
    optimizer.step()
    huge = moka.empty(2**40, device="meta")
    assert (huge * 2).shape == huge.shape and huge.nbytes == 2**42
    assert repr(huge) == "tensor(..., shape=[1099511627776], dtype=moka.float32, device='meta')"


def test_what_asks_for_values_is_refused():
    x = moka.empty(3, 4, device="meta")
    for call in (x.nonzero, x.unique, x.tolist, x.cpu, lambda: x[x > 0], lambda: moka.ones(3, 4).copy_(x)):
        with pytest.raises(NotImplementedError, match=r"meta"):
            call()
    for one in (x[0, 0], moka.empty((), dtype=moka.complex64, device="meta")):
        for read in (one.item, lambda one=one: bool(one), lambda one=one: complex(one)):
            with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
                read()
    with pytest.raises(NotImplementedError, match="Not available for 'meta'"):
        x.untyped_storage()[0]
    with pytest.raises(TypeError, match="meta device"):
        x.numpy()
    with pytest.raises(RuntimeError, match="different devices, cpu and meta"):
        moka.ones(3, 4) + x
    assert (x + moka.ones(())).is_meta and (moka.ones(()) + x).is_meta and x.copy_(moka.ones(3, 4)) is x
    assert tuple(x[moka.tensor([0, 2, 1])].shape) == (3, 4)


def test_new_tensors_are_made_where_the_block_says():
    with moka.device("meta"):
        linear = nn.Linear(3, 4)
        made = [moka.randn(3), moka.tensor([1, 2]), moka.arange(5), moka.hann_window(4), moka.fft.fftfreq(4)]
        assert all(t.is_meta for t in made) and linear.weight.is_meta
        with moka.device("cpu"):
            assert not moka.ones(2).is_meta
        there = moka.empty(2, device="cpu")
        assert not there.is_meta and not moka.zeros_like(there).is_meta
    assert not moka.ones(2).is_meta
    with pytest.raises(NotImplementedError, match="to_empty"):
        linear.to("cpu")
    linear.to_empty(device="cpu").reset_parameters()
    assert not linear.weight.is_meta and linear(moka.ones(2, 3)).isfinite().all()


def test_states_are_assigned_and_files_keep_the_shapes():
    whole, empty = nn.Linear(3, 4), nn.Linear(3, 4, device="meta")
    with pytest.warns(UserWarning, match="which is a no-op"):
        empty.load_state_dict(whole.state_dict())
    assert empty.weight.is_meta and copy.deepcopy(empty).weight.is_meta
    again = pickle.loads(pickle.dumps(empty.weight))
    assert again.is_meta and again.shape == empty.weight.shape and type(again) is nn.Parameter
    empty.load_state_dict(whole.state_dict(), assign=True)
    assert moka.equal(empty.weight, whole.weight) and isinstance(empty.weight, nn.Parameter)
    file = io.BytesIO()
    moka.save(whole.state_dict(), file)
    file.seek(0)
    assert all(t.is_meta for t in moka.load(file, map_location="meta").values())
