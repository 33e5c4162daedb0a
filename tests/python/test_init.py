"""Initial values: their distribution and bounds."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest

import moka
from moka.nn import init


def filled(function, *args, shape=(200, 100), **kwargs):
    moka.manual_seed(0)
    return function(moka.empty(*shape), *args, **kwargs).numpy()


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert init.calculate_gain("tanh") == 5 / 3
    with pytest.raises(ValueError, match="unknown nonlinearity 'cube'"):
        init.calculate_gain("cube")


@pytest.mark.parametrize(
    ("function", "bound"),
    [
        (lambda t: init.kaiming_uniform_(t), math.sqrt(6 / 100)),
        (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(6 / 200)),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 0.1),
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / 300)),
        (lambda t: init.uniform_(t, -0.5, 0.5), 0.5),
    ],
)
def test_uniform_values_fill_their_interval(function, bound):
    values = filled(function)
    assert np.abs(values).max() <= bound
    assert abs(values.std() - bound / math.sqrt(3)) < 0.02 * bound and abs(values.mean()) < 0.02 * bound


@pytest.mark.parametrize(
    ("function", "std"),
    [
        (lambda t: init.kaiming_normal_(t), math.sqrt(2 / 100)),
        (lambda t: init.xavier_normal_(t), math.sqrt(2 / 300)),
        (lambda t: init.normal_(t, 0.0, 3.0), 3.0),
    ],
)
def test_normal_values_have_their_deviation(function, std):
    values = filled(function)
    assert abs(values.std() / std - 1) < 0.02 and abs(values.mean()) < 0.02 * std
    assert np.abs(values).max() > 3 * std


def test_fans_count_the_kernel():
    values = filled(init.kaiming_uniform_, shape=(8, 4, 5, 5))
    bound = math.sqrt(6 / (4 * 25))
    assert 0.98 * bound < np.abs(values).max() <= bound


def test_truncated_normal_stays_inside():
    values = filled(init.trunc_normal_, 1.0, 2.0, 0.0, 3.0)
    assert values.min() >= 0 and values.max() <= 3
    # mean of a normal(1, 2) cut at 0 and 3: 1 + 2 (phi(-1/2) - phi(1)) / (Phi(1) - Phi(-1/2))
    assert abs(values.mean() - 1.413) < 0.02


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 2, 2)])
def test_orthogonal_rows_or_columns(shape):
    values = filled(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1) / 2
    product = values @ values.T if values.shape[0] <= values.shape[1] else values.T @ values
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_constants():
    assert filled(init.ones_, shape=(2,)).tolist() == [1, 1]
    assert filled(init.zeros_, shape=(2,)).tolist() == [0, 0]
    assert filled(init.constant_, 3.5, shape=(1,)).tolist() == [3.5]
    assert filled(init.eye_, shape=(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_the_seed_decides():
    assert filled(init.normal_).tolist() == filled(init.normal_).tolist()


def test_a_vector_has_no_fans():
    with pytest.raises(ValueError, match="needs at least 2 dimensions"):
        init.kaiming_uniform_(moka.empty(3))
