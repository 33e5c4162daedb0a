"""Recordings of as_strided, which reads how tensors lie in memory: graphs have values only."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka


def beyond_a_written_view(x):
    whole = x.clone()
    row = whole.select(0, 1)
    row.mul_(3)
    return row.as_strided((2, 2), (1, 1), 0), whole.as_strided((2, 2), (1, 3))


def of_a_written_transpose(x):
    whole = x.clone()
    turned = whole.t()
    turned.mul_(3)
    return moka.as_strided(turned, (2, 3), (1, 2)), whole


def read_after_a_write_beside_it(x):
    whole = x.clone()
    part = whole.t().as_strided((2,), (1,))
    whole.select(1, 0).mul_(2)
    return whole, part


def written(x):
    whole = x.clone()
    part = whole.as_strided((2, 2), (1, 2), 1)
    part.mul_(3)
    return whole, part


def written_through_a_view(x):
    whole = x.clone()
    column = whole.select(1, 1)
    part = column.as_strided((2,), (1,), 1)
    part.mul_(3)
    return whole, column, part


def scattered_beyond_a_written_view(x):
    whole = x.clone()
    column = whole.select(1, 1)
    column.mul_(3)
    return column.as_strided_scatter(moka.zeros(2), (2,), (2,)), column


def in_permuted_memory(x):
    whole = x.repeat(2, 1, 1).permute(1, 2, 0) + 0  # keeps the order of dimensions
    return whole.as_strided((4,), (1,)), whole.as_strided_scatter(moka.zeros(2), (2,), (3,))


def of_nothing(x):
    nothing = x.repeat(2, 1, 1).permute(1, 2, 0)[..., :0] + 0
    return nothing.as_strided((0,), (1,)), x


@pytest.mark.parametrize(
    "function",
    [
        of_nothing,
        beyond_a_written_view,
        of_a_written_transpose,
        read_after_a_write_beside_it,
        written,
        written_through_a_view,
        scattered_beyond_a_written_view,
        in_permuted_memory,
    ],
)
def test_as_strided_shows_memory_as_python_does(function):
    x = moka.arange(12.0).reshape(3, 4)
    expected = function(x)
    traced = moka.jit.trace(function, (x,), check_trace=False)
    for found, wanted in zip(traced(x), expected, strict=True):
        assert found.tolist() == wanted.tolist()


def test_as_strided_of_the_size_of_its_input_takes_other_sizes():
    def windows(x):
        return x.as_strided((x.shape[0] - 1, 2 * x.shape[1]), (x.shape[1], 1))

    traced = moka.jit.trace(windows, (moka.randn(5, 4),))
    other = moka.randn(7, 4)
    assert traced(other).tolist() == windows(other).tolist()


def test_memory_that_the_graph_does_not_have_is_refused():
    every_second = moka.randn(3, 8)[:, ::2]
    with pytest.raises(NotImplementedError, match="as_strided shows memory of a tensor of shape"):
        moka.jit.trace(lambda x: x + every_second.as_strided((2, 2), (1, 1)), (moka.ones(2, 2),))

    def overlapping(x):
        part = x.clone().as_strided((3, 2), (1, 1))
        part.narrow(1, 0, 1).mul_(2)
        return part

    with pytest.raises(NotImplementedError, match="a graph has no memory to share"):
        moka.jit.trace(overlapping, (moka.randn(5),))
