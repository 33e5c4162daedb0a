"""out=: the tensor given takes the result's shape; what does not fit is an error."""
# SPDX-License-Identifier: Apache-2.0

import warnings

import pytest

import moka


@pytest.mark.parametrize(
    "call",
    [
        lambda out: moka.add(moka.ones(2, 3), 1, out=out),
        lambda out: moka.sum(moka.ones(3, 2, 3), 0, out=out),
        lambda out: moka.float_power(moka.ones(2, 3), 2, out=out),
        lambda out: moka.cat([moka.ones(1, 3), moka.ones(1, 3)], out=out),
    ],
)
def test_an_empty_tensor_takes_the_shape_of_the_result(call):
    out = moka.empty(0, dtype=moka.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call(out) is out
    assert list(out.shape) == [2, 3] and out.dtype == moka.float64


def test_a_filled_tensor_changes_its_shape_with_a_warning():
    out = moka.zeros(4, 5)
    place = out.data_ptr()
    with pytest.warns(UserWarning, match=r"elements was resized since it had shape \[4, 5\]"):
        moka.mul(moka.full((2, 3), 2.0), 3, out=out)
    assert out.tolist() == [[6.0] * 3] * 2 and out.data_ptr() == place  # the memory was large enough
    with pytest.warns(UserWarning, match="was resized"):
        moka.exp(moka.zeros(100), out=out)
    assert out.tolist() == [1.0] * 100


def test_several_outputs_are_resized_each():
    values, places = moka.empty(0), moka.empty(0, dtype=moka.int64)
    moka.max(moka.tensor([[1.0, 3.0], [4.0, 2.0]]), 1, out=(values, places))
    assert values.tolist() == [3.0, 4.0] and places.tolist() == [1, 0]


def test_what_is_written_in_place_keeps_its_shape():
    with pytest.raises(RuntimeError, match=r"has shape \[3\] but the result has shape \[2, 3\]"):
        moka.ones(3).add_(moka.ones(2, 3))


def test_types_that_do_not_fit():
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type int64"):
        moka.add(moka.ones(2), 1.5, out=moka.empty(0, dtype=moka.int64))


def test_an_expanded_tensor_is_no_output():
    with pytest.raises(RuntimeError, match="single memory location"):
        moka.ones(1).expand(3).add_(1)


def test_places_are_int64():
    out = moka.zeros(2, 1, dtype=moka.int64)
    assert moka.nonzero(moka.tensor([0.0, 3.0, 4.0]), out=out) is out and out.tolist() == [[1], [2]]
    with pytest.raises(RuntimeError, match="nonzero: out must have scalar type Long"):
        moka.nonzero(moka.ones(2), out=moka.empty(0))


def test_results_are_rounded_to_their_own_type_first():
    half = moka.tensor(33000.0, dtype=moka.float16)
    assert moka.add(half, half, out=moka.empty(0, dtype=moka.float64)).item() == float("inf")
    small = moka.tensor([100], dtype=moka.int8)
    assert moka.add(small, small, out=moka.empty(0, dtype=moka.int32)).tolist() == [-56]
