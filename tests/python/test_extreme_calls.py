"""Calls that once killed the process or never ended; tests/attack finds such."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest

import moka

INF = math.inf
HUGE = 2**62


def test_no_parts_have_no_history():
    x = moka.zeros(0, 2, requires_grad=True)
    assert x.unbind(0) == ()
    assert moka.zeros(0, requires_grad=True).split([]) == ()


@pytest.mark.parametrize("call", [moka.linalg.svd, moka.linalg.svdvals, moka.linalg.eigh, moka.linalg.eig])
@pytest.mark.parametrize("value", [INF, math.nan])
def test_factorizations_of_what_is_not_finite_are_errors(call, value):
    with pytest.raises(RuntimeError, match="contained non-finite values|should not contain infs or NaNs"):
        call(moka.full((3, 3), value))


def test_least_squares_of_what_is_not_finite_are_nan():
    assert moka.linalg.lstsq(moka.full((4, 2), INF), moka.ones(4, 1)).solution.isnan().all()


def test_random_numbers_of_infinite_concentration_end():
    operators = moka._C._operators
    assert operators["_standard_gamma"](moka.tensor([INF])).item() == INF
    assert operators["_sample_dirichlet"](moka.tensor([math.nan, 1.0])).shape == (2,)


def test_products_of_complex_numbers_are_not_given_as_real_ones():
    x = moka.ones(2, 2, dtype=moka.complex64)
    for call in (lambda: moka.prod(x, 0, dtype=moka.float32), lambda: x.cumprod(0, dtype=moka.float64)):
        with pytest.raises(NotImplementedError, match="take the real part first"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: moka.ones(2, 0).multinomial(1, replacement=True),
        lambda: moka.nn.functional.fold(moka.ones(3, 3), (2, 2), kernel_size=(HUGE, 4)),
        lambda: moka.linalg.vander(moka.ones(2), N=HUGE),
        lambda: moka.tensor_split(moka.ones(4, 2), 2**63 - 1),
        lambda: moka.fft.rfft(moka.ones(3, 0)),
        lambda: moka.nn.functional.interpolate(moka.ones(1, 1, 2), size=HUGE),
    ],
)
def test_impossible_sizes_are_refused(call):
    with pytest.raises((RuntimeError, ValueError, MemoryError)):
        call()


def test_triangles_are_counted_without_walking_their_rows():
    assert moka.triu_indices(HUGE, 0).shape == (2, 0)
    assert moka.tril_indices(HUGE, 1, offset=2 - HUGE).tolist() == [[HUGE - 2, HUGE - 1], [0, 0]]
    for offset in range(-4, 5):
        for rows, columns in ((3, 4), (4, 2), (0, 3)):
            whole = [(r, c) for r in range(rows) for c in range(columns)]
            lower = [[p[i] for p in whole if p[1] - p[0] <= offset] for i in (0, 1)]
            upper = [[p[i] for p in whole if p[1] - p[0] >= offset] for i in (0, 1)]
            assert moka.tril_indices(rows, columns, offset=offset).tolist() == lower
            assert moka.triu_indices(rows, columns, offset=offset).tolist() == upper


def test_the_smallest_integer_is_a_power():
    assert moka.matrix_power(moka.eye(2), -(2**63)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("name", ["t", "u", "v", "w"])
def test_chebyshev_polynomials_of_huge_degree_end(name):
    call = getattr(moka.special, f"chebyshev_polynomial_{name}")
    assert call(moka.tensor([2.0]), 2**62).item() == INF
    at_ends = {"t": [1, 1], "u": [101, 101], "v": [1, 201], "w": [201, 1]}[name]
    assert call(moka.tensor([1.0, -1.0]), 100).tolist() == at_ends
