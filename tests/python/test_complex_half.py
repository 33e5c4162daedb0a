"""complex32: two float16 numbers, computed as complex64."""
# SPDX-License-Identifier: Apache-2.0

import pickle

import numpy as np
import pytest

import moka

Z = np.array([1 + 2j, -0.5j, 3, 6e4], np.complex64)
HALF = moka.from_numpy(Z).to(moka.complex32)


def test_conversions_round_both_parts():
    assert HALF.dtype == moka.complex32 == moka.chalf and HALF.element_size() == 4
    parts = np.stack([Z.real, Z.imag], -1).astype(np.float16)
    np.testing.assert_array_equal(moka.view_as_real(HALF).numpy(), parts)
    np.testing.assert_array_equal(HALF.real.numpy(), parts[:, 0])
    assert HALF.to(moka.complex64).dtype == moka.complex64 and HALF[0].item() == 1 + 2j
    assert moka.from_numpy(Z).chalf().dtype == moka.complex32
    assert moka.view_as_complex(moka.ones(3, 2, dtype=moka.float16)).dtype == moka.complex32
    assert moka.complex(moka.ones(2).half(), moka.ones(2).half()).dtype == moka.complex32


def test_promotion():
    with_types = {moka.float16: moka.complex32, moka.bfloat16: moka.complex64, moka.float32: moka.complex64}
    with_types |= {moka.float64: moka.complex128, moka.int64: moka.complex32, moka.complex64: moka.complex64}
    for other, wanted in with_types.items():
        assert moka.promote_types(moka.complex32, other) == wanted
        assert moka.promote_types(other, moka.complex32) == wanted


def test_arithmetic_and_views():
    x = HALF[:3]
    np.testing.assert_allclose((x * x + 1).to(moka.complex64).numpy(), Z[:3] ** 2 + 1, rtol=2e-3)
    assert (x * 2).dtype == moka.complex32 and x.abs().dtype == moka.float16
    np.testing.assert_array_equal(x.conj().to(moka.complex64).numpy(), Z[:3].conj())
    np.testing.assert_allclose(x.sum().item(), Z[:3].sum(), rtol=1e-3)
    grid = moka.zeros(2, 3, dtype=moka.complex32)
    grid.t()[:, 0] = x
    assert moka.equal(grid[0], x) and moka.cat([x, x]).dtype == moka.complex32
    assert moka.equal(pickle.loads(pickle.dumps(x)), x)
    assert moka.finfo(moka.complex32).bits == 16


def test_what_has_no_kernel_says_so():
    with pytest.raises(NotImplementedError, match="complex32"):
        moka.fft.fft(HALF)


def test_products():
    a = moka.tensor([[1 + 1j, 2], [0, 1j]]).to(moka.complex32)
    wide = a.to(moka.complex64)
    for product in (
        lambda x: x @ x,
        lambda x: x[0] @ x[1],
        lambda x: moka.addmm(x, x, x),
        lambda x: x[None].bmm(x[None]),
    ):
        found = product(a)
        assert found.dtype == moka.complex32 and moka.equal(found.to(moka.complex64), product(wide))
