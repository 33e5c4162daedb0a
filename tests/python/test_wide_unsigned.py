"""Numbers of uint64 from 2^63 on: ordered as they are, or refused."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

A = np.array([1, 2**63 + 5, 2**64 - 1, 3, 2**63], np.uint64)
B = np.array([2**63, 7, 2**64 - 2, 2**63 + 9, 3], np.uint64)
U, V = moka.from_numpy(A), moka.from_numpy(B)


@pytest.mark.parametrize("name", "less less_equal greater greater_equal not_equal".split())
def test_comparisons(name):
    np.testing.assert_array_equal(getattr(moka, name)(U, V).numpy(), getattr(np, name)(A, B))


@pytest.mark.parametrize("name", "maximum minimum fmax fmin add subtract multiply bitwise_xor".split())
def test_pairs(name):
    np.testing.assert_array_equal(getattr(moka, name)(U, V).numpy(), getattr(np, name)(A, B))


def test_bounds_may_be_numbers():
    np.testing.assert_array_equal((U < 5).numpy(), A < 5)
    np.testing.assert_array_equal(U.clamp(2, 2**62).numpy(), np.clip(A, 2, 2**62))
    np.testing.assert_array_equal(U.clamp(V[4], V[0]).numpy(), np.clip(A, B[4], B[0]))
    out = moka.zeros(5, dtype=moka.uint64)
    assert moka.maximum(U, V, out=out) is out and out[0].item() == 2**63


def test_order_of_elements():
    values, places = U.sort()
    np.testing.assert_array_equal(values.numpy(), np.sort(A))
    np.testing.assert_array_equal(places.numpy(), np.argsort(A))
    np.testing.assert_array_equal(U.argsort(descending=True).numpy(), np.argsort(A)[::-1])
    np.testing.assert_array_equal(moka.unique(moka.cat([U, U])).numpy(), np.unique(A))
    np.testing.assert_array_equal(U.topk(2).values.numpy(), np.sort(A)[:-3:-1])
    np.testing.assert_array_equal(U.cummax(0).values.numpy(), np.maximum.accumulate(A))
    found = moka.searchsorted(U.sort().values, V)
    np.testing.assert_array_equal(found.numpy(), np.searchsorted(np.sort(A), B))
    assert U.max().item() == 2**64 - 1 and U.min().item() == 1 and U.argmax().item() == 2
    assert U.max(0).values.item() == 2**64 - 1 and U.median().item() == 2**63
    assert [v.item() for v in moka.aminmax(U)] == [1, 2**64 - 1]


@pytest.mark.parametrize("name", "floor_divide remainder fmod bitwise_right_shift gcd".split())
def test_others_refuse_large_numbers(name):
    with pytest.raises(NotImplementedError, match=f"{name}: not defined for numbers of uint64 from 2"):
        getattr(moka, name)(U, V)
    nine, two = (moka.tensor([v], dtype=moka.uint64) for v in (9, 2))
    small = getattr(moka, name)(nine, two)
    assert small.dtype == moka.uint64
