"""svd_lowrank, pca_lowrank and the nuclear norm against NumPy."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka


def close(got, expected):
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("rows", "columns"), [(7, 4), (4, 7)])
def test_singular_values_of_low_rank(rows, columns):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, rows, 3)) @ rng.normal(size=(2, 3, columns))
    u, s, v = moka.svd_lowrank(moka.tensor(x), q=4)
    assert u.shape == (2, rows, 4) and s.shape == (2, 4) and v.shape == (2, columns, 4)
    close(u @ moka.diag_embed(s) @ v.mH, x)
    close(s, np.linalg.svd(x)[1])
    with pytest.raises(ValueError, match="must be between 0 and"):
        moka.svd_lowrank(moka.tensor(x), q=5)


def test_principal_components():
    x = np.random.default_rng(4).normal(size=(9, 5)) + 3
    _, s, v = moka.pca_lowrank(moka.tensor(x), q=5)
    close(s, np.linalg.svd(x - x.mean(0))[1])
    close(v.mH @ v, np.eye(5))


def test_the_nuclear_norm_is_the_sum_of_singular_values():
    x = np.random.default_rng(5).normal(size=(2, 3, 4))
    close(moka.nuclear_norm(moka.tensor(x)), np.linalg.svd(x)[1].sum(-1))
    close(moka.nuclear_norm(moka.tensor(x), (0, 2)), np.linalg.norm(x, "nuc", (0, 2)))
