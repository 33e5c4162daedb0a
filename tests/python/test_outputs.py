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
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Long"):
        moka.add(moka.ones(2), 1.5, out=moka.empty(0, dtype=moka.int64))


def test_float_power_is_written_to_its_own_type():
    assert moka.float_power(2, moka.tensor([3])).dtype == moka.float64
    assert moka.float_power(moka.tensor([2.0]), 1j).dtype == moka.complex128
    assert moka.float_power(moka.tensor([1j]), 2).tolist() == [pytest.approx(-1 + 0j)]
    with pytest.raises(RuntimeError, match="result requires dtype"):
        moka.ones(2).float_power_(2)
    base = moka.tensor([1.5], requires_grad=True)
    moka.float_power(base, 3).sum().backward()
    assert base.grad.tolist() == [pytest.approx(6.75)] and base.grad.dtype == moka.float32


def test_results_keep_the_order_of_the_operands_dimensions():
    x = moka.randn(2, 3, 4).permute(2, 0, 1)
    assert (x + moka.randn(3)).stride() == x.stride() == moka.exp(x, out=moka.empty(0)).stride()
    last = moka.randn(2, 3, 4, 5).to(memory_format=moka.channels_last)
    plain = last.contiguous()
    assert (last + plain).stride() == last.stride() and (plain + last).stride() == plain.stride()
    assert (last[..., ::2, ::2] * 2).is_contiguous(memory_format=moka.channels_last)


def test_memory_shared_in_part_is_no_output():
    x = moka.arange(6.0)
    with pytest.raises(RuntimeError, match="unsupported operation"):
        x[1:].add_(x[:-1])
    assert x[::2].add_(x[1::2]).tolist() == [1, 5, 9]


def test_factors_are_checked():
    x = moka.ones(2, dtype=moka.int8)
    with pytest.raises(RuntimeError, match="alpha must not be a floating point number"):
        moka.add(x, x, alpha=1.0)
    with pytest.raises(RuntimeError, match="Boolean alpha only supported"):
        moka.sub(x, x, alpha=True)
    with pytest.raises(RuntimeError, match="beta must not be a floating point number"):
        moka.addr(moka.zeros(2, 2, dtype=moka.int8), x, x, beta=2.0)
    hidden = moka.full((2, 2), float("nan"))
    assert moka.addmm(hidden, moka.eye(2), moka.eye(2), beta=0).tolist() == [[1, 0], [0, 1]]


def test_vectors_have_no_transposed_matrix():
    assert moka.tensor(2.0).mT.item() == 2 and moka.tensor(1j).adjoint().item() == -1j
    for name in ("mT", "mH"):
        with pytest.raises(RuntimeError, match="only supported on matrices"):
            getattr(moka.ones(3), name)


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


@pytest.mark.parametrize("name", ["isposinf", "isneginf", "signbit"])
def test_questions_of_sign_are_written_as_bool(name):
    call = getattr(moka, name)
    x = moka.tensor([float("-inf"), 1.0])
    assert call(x, out=moka.zeros(2, dtype=moka.bool)).tolist() == call(x).tolist()
    with pytest.raises(RuntimeError, match=f"{name} does not support non-boolean outputs"):
        call(x, out=moka.zeros(2))


def test_several_outputs_come_back_with_their_names():
    values, indices = moka.zeros(2), moka.zeros(2, dtype=moka.int64)
    found = moka.max(moka.tensor([[1.0, 3.0], [5.0, 2.0]]), 1, out=(values, indices))
    assert found.values is values and found.indices is indices and values.tolist() == [3, 5]


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: moka.mm(x, x, out=out),
        lambda x, out: moka.index_select(x, 0, moka.tensor([0]), out=out),
        lambda x, out: moka.sort(x, out=(out, moka.empty(0, dtype=moka.int64))),
        lambda x, out: moka.topk(x, 1, out=(moka.empty(0), out)),
        lambda x, out: moka.max(x, 0, out=(moka.empty(0), out)),
        lambda x, out: moka.argmax(x, 0, out=out),
        lambda x, out: moka.cummax(x, 0, out=(out, moka.empty(0, dtype=moka.int64))),
        lambda x, out: moka.searchsorted(x, x, out=out),
        lambda x, out: moka.linalg.eigvalsh(x, out=out),
        lambda x, out: moka.neg(x, out=out),
        lambda x, out: moka.abs(x, out=out),
        lambda x, out: moka.sign(x, out=out),
        lambda x, out: moka.floor(x, out=out),
        lambda x, out: moka.round(x, decimals=1, out=out),
        lambda x, out: moka.frac(x, out=out),
        lambda x, out: moka.nan_to_num(x, out=out),
        lambda x, out: moka.heaviside(x, x, out=out),
        lambda x, out: moka.tril(x, out=out),
        lambda x, out: moka.histc(x, out=out),
    ],
)
def test_operators_that_convert_nothing_refuse_a_wider_type(call):
    with pytest.raises(RuntimeError, match="scalar type .* but got scalar type Double for argument"):
        call(moka.eye(3), moka.empty(0, dtype=moka.float64))


def test_sizes_of_numbers_convert_and_signs_of_complex_ones_are_real():
    wide = moka.empty(0, dtype=moka.float64)
    assert moka.square(moka.tensor([3.0]), out=wide).tolist() == [9.0]
    assert moka.abs(moka.tensor([3 + 4j]), out=moka.empty(0)).tolist() == [5.0]
    whole = moka.empty(0, dtype=moka.int32)
    assert moka.bitwise_not(moka.tensor([1], dtype=moka.int32), out=whole).tolist() == [-2]
    with pytest.raises(RuntimeError, match="scalar type Int but got scalar type Long"):
        moka.bitwise_not(moka.tensor([1], dtype=moka.int32), out=moka.empty(0, dtype=moka.int64))


@pytest.mark.parametrize(
    "call",
    [
        lambda **more: moka.zeros(2, **more),
        lambda **more: moka.full((2,), 1, **more),
        lambda **more: moka.empty(2, **more),
        lambda **more: moka.eye(2, **more),
        lambda **more: moka.arange(2, **more),
        lambda **more: moka.linspace(0, 1, 2, **more),
        lambda **more: moka.logspace(0, 1, 2, **more),
        lambda **more: moka.randn(2, **more),
        lambda **more: moka.randperm(2, **more),
        lambda **more: moka.randint(5, (2,), **more),
        lambda **more: moka.cumsum(moka.ones(2), 0, **more),
        lambda **more: moka.cumprod(moka.ones(2), 0, **more),
        lambda **more: moka.sum(moka.ones(2), 0, **more),
        lambda **more: moka.mean(moka.ones(2), 0, **more),
    ],
)
def test_a_named_type_is_that_of_the_output(call):
    out = moka.empty(0, dtype=moka.float64)
    assert call(out=out) is out and call(out=out, dtype=moka.float64).dtype == moka.float64
    with pytest.raises(RuntimeError, match="dtype .*[Ff]loat.* does not match the type of out=, "):
        call(out=out, dtype=moka.float32)


def test_nonzero_as_tuple_takes_no_output():
    with pytest.raises(RuntimeError, match="out="):
        moka.nonzero(moka.eye(2), as_tuple=True, out=moka.empty(0, dtype=moka.int64))
