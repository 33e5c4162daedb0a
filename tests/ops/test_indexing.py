"""x[...] in every form against NumPy, with gradients."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

ARRAY = np.arange(2 * 3 * 4, dtype=np.float64).reshape(2, 3, 4)
KEYS = [
    0,
    -1,
    slice(1, None),
    slice(None, None, 2),
    (0, 1),
    (0, slice(1, 3)),
    (..., 0),
    (None, 1),
    (slice(None), None, 2),
    (0, ..., 1),
    (slice(None), [0, 2]),
    ([0, 1], [2, 0]),
    ([1, 0],),
    (slice(None), slice(None), [3, 3, 0]),
    ([[0], [1]], [[0, 2]]),
    ([0, 1], slice(None), [1, 2]),
    ARRAY > 11,
    (slice(None), np.array([True, False, True])),
    np.array([1, 1, 0]),
    (),
    (1, 2, 3),
    [],
    None,
    (None, None, ...),
    (..., None),
    True,
    False,
    (True, [0, 1]),
    np.array(True),
    (ARRAY.sum(2) > 40,),
    (ARRAY.sum(2) > 40, [1]),
    (slice(None), ARRAY[0] > 5),
    (ARRAY[:, :, 0] > 3, slice(1, 3)),
    ([0], ARRAY[0] > 9999),
    ([-1, -2], ..., [0, -1]),
    (np.array([[0, 1], [1, 0]]), slice(None, None, 2), 1),
    range(2),
    (slice(None), [True, False, True], [0, 3]),
    (None, [1, 0], slice(1, None), None),
    np.array(1),
    ([0],),
    (slice(0, 0), [1]),
]


def moved(key):
    """The key with arrays as tensors."""
    if isinstance(key, tuple):
        return tuple(moved(k) for k in key)
    return moka.tensor(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k)[:40].replace("\n", ""))
def test_reads_as_numpy(key):
    expected = ARRAY[np.array(key, dtype=int) if isinstance(key, list) else key]
    got = moka.tensor(ARRAY)[moved(key)]
    assert tuple(got.shape) == np.asarray(expected).shape
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k)[:40].replace("\n", ""))
def test_writes_as_numpy(key):
    expected, target = ARRAY.copy(), moka.tensor(ARRAY)
    expected[np.array(key, dtype=int) if isinstance(key, list) else key] = -1.5
    target[moved(key)] = -1.5
    np.testing.assert_array_equal(target.numpy(), expected)


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k)[:40].replace("\n", ""))
def test_gradient_counts_how_often_an_element_is_read(key):
    x = moka.tensor(ARRAY, requires_grad=True)
    x[moved(key)].sum().backward()
    count = np.zeros_like(ARRAY)
    np.add.at(count, np.array(key, dtype=int) if isinstance(key, list) else key, 1.0)
    np.testing.assert_array_equal(x.grad.numpy(), count)


@pytest.mark.parametrize("key", [2, (0, 3), (0, 0, 0, 0), ([5],), (slice(None), [0, 7])])
def test_names_an_index_out_of_range(key):
    with pytest.raises(IndexError, match="index|indices"):
        moka.tensor(ARRAY)[key]


def test_nonzero_and_index_put():
    x = moka.tensor([[0.0, 3.0], [4.0, 0.0]])
    assert moka.nonzero(x).tolist() == [[0, 1], [1, 0]]
    rows, columns = moka.tensor([0, 0]), moka.tensor([1, 1])
    added = moka.index_put(x, [rows, columns], moka.tensor([1.0, 2.0]), accumulate=True)
    assert added.tolist() == [[0.0, 6.0], [4.0, 0.0]]
