"""How tensors look, and what Python's own protocols do with them."""
# SPDX-License-Identifier: Apache-2.0

import copy
import pickle

import pytest

import moka


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (moka.tensor(3), "tensor(3)"),
        (moka.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (moka.tensor([True, False]), "tensor([ True, False])"),
        (moka.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (moka.tensor([1.0], dtype=moka.float64), "tensor([1.], dtype=moka.float64)"),
        (moka.tensor([1.5], dtype=moka.bfloat16), "tensor([1.5], dtype=moka.bfloat16)"),
        (moka.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (moka.zeros(0, 3), "tensor([], shape=[0, 3])"),
    ],
)
def test_small_tensors(tensor, text):
    assert repr(tensor) == text


def test_history_is_named():
    assert "grad_fn=<" in repr(moka.tensor([1.0], requires_grad=True) * 2)


def test_few_numbers_read_back_equal():
    x = moka.tensor([0.1, 1e-8, 3.3333333, -2.0e20])
    assert eval(repr(x), {"tensor": moka.tensor}).tolist() == x.tolist()


def test_big_tensors_end_with_shape_and_statistics():
    x = moka.zeros(50, 40)
    x[0, 0] = 5.0
    x[1, 1] = float("nan")
    x[2, 2] = float("inf")
    first, last = repr(x).split("\n")[0], repr(x).split("\n")[-1]
    assert "..." in first or "..." in repr(x)
    assert "shape=[50, 40]" in repr(x)
    assert last == "# float32 [50, 40]: min 0, max 5, mean 0.002503, 1 NaN, 1 infinite"


def test_numbers_are_formatted_like_python_numbers():
    assert f"{moka.tensor(0.12345):.3f}" == "0.123"
    assert f"{moka.tensor([1, 2])}" == "tensor([1, 2])"


def test_notebooks_show_shape_and_type():
    html = moka.ones(2, 3)._repr_html_()
    assert "[2, 3]" in html and "float32" in html and "<pre>" in html


def test_tensors_are_iterated_over_their_first_dimension():
    assert [row.tolist() for row in moka.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert 3 in moka.tensor([1, 3]) and 4 not in moka.tensor([1, 3])
    with pytest.raises(TypeError, match="0-d"):
        iter(moka.tensor(1))


def test_copies_have_memory_of_their_own():
    x = moka.tensor([1.0, 2.0], requires_grad=True)
    y = copy.deepcopy(x)
    assert y.requires_grad and y.tolist() == [1.0, 2.0] and y.data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError, match="only tensors that no recorded operation made"):
        copy.deepcopy(x * 2)


def test_tensors_travel_between_processes():
    x = moka.tensor([[1, 2], [3, 4]])
    y = pickle.loads(pickle.dumps(x))
    assert y.tolist() == x.tolist() and y.dtype == x.dtype


def test_arange_and_randint_take_the_forms_of_torch():
    assert moka.arange(3).tolist() == [0, 1, 2] and moka.arange(1, 4).tolist() == [1, 2, 3]
    assert moka.arange(0, 1, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    draws = moka.randint(3, (100,))
    assert set(draws.tolist()) == {0, 1, 2} and moka.randint(5, 6, (2,)).tolist() == [5, 5]
    with pytest.raises(TypeError, match="give the size as a tuple"):
        moka.randint(1, 5)


def test_the_random_stream_can_be_taken_up_again():
    moka.manual_seed(3)
    moka.rand(5)
    state = moka.get_rng_state()
    first = moka.rand(4).tolist()
    moka.set_rng_state(state)
    assert moka.rand(4).tolist() == first


def test_every_type_is_printed():
    for name in "float8_e5m2 float8_e4m3fn float8_e8m0fnu float4_e2m1fn complex32 uint4 int4".split():
        dtype = getattr(moka, name)
        assert name in repr(moka.ones(2).to(dtype)), name
    assert moka.float8_e5m2.is_floating_point and moka.ones(1).to(moka.float8_e4m3fn).is_floating_point()
    assert not moka.float8_e8m0fnu.is_signed and moka.float8_e5m2.is_signed and not moka.uint8.is_signed
