"""nn.functional.grouped_mm beside products of the groups one by one, values and gradients."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka.nn import functional as F

ENDS = moka.tensor([2, 2, 5], dtype=moka.int32)
ROWS = [(0, 2), (2, 2), (2, 5)]


def made(*shape):
    return moka.randn(*shape).requires_grad_(True)


def check(result, expected, *leaves):
    assert result.shape == expected.shape and moka.allclose(result, expected, atol=1e-6)
    for ours, reference in zip(
        moka.autograd.grad((result * result).sum(), leaves),
        moka.autograd.grad((expected * expected).sum(), leaves),
        strict=True,
    ):
        assert moka.allclose(ours, reference, atol=1e-5)


def test_each_group_has_its_own_matrix():
    moka.manual_seed(0)
    a, b = made(6, 4), made(3, 4, 2)  # the last row belongs to no group
    each = [a[i:j] @ b[g] for g, (i, j) in enumerate(ROWS)]
    check(F.grouped_mm(a, b, offs=ENDS), moka.cat([*each, moka.zeros(1, 2)]), a, b)
    a, b = made(3, 2, 4), made(4, 6)
    each = [a[g] @ b[:, i:j] for g, (i, j) in enumerate(ROWS)]
    check(F.grouped_mm(a, b, offs=ENDS), moka.cat([*each, moka.zeros(2, 1)], 1), a, b)
    a, b = made(2, 5), made(5, 3)
    check(F.grouped_mm(a, b, offs=ENDS), moka.stack([a[:, i:j] @ b[i:j] for i, j in ROWS]), a, b)
    a, b = made(3, 2, 4), made(3, 4, 5)
    check(F.grouped_mm(a, b), moka.bmm(a, b), a, b)


@pytest.mark.parametrize(
    ("a", "b", "options", "text"),
    [
        ((6, 4), (3, 4, 2), {}, "Have to provide offsets"),
        ((6, 4), (3, 5, 2), {"offs": ENDS}, "contraction dimension"),
        ((6, 4), (2, 4, 2), {"offs": ENDS}, "batch sizes have to match"),
        ((6, 4), (3, 4, 2), {"offs": ENDS.long()}, "int32"),
        ((4, 4), (3, 4, 2), {"offs": ENDS}, "nor end after 4"),
        ((6,), (3, 4, 2), {"offs": ENDS}, "2 or 3d"),
        ((6, 4), (3, 4, 2), {"offs": ENDS, "out_dtype": moka.bfloat16}, "output dtype"),
    ],
)
def test_what_does_not_fit_is_refused(a, b, options, text):
    with pytest.raises(RuntimeError, match=text):
        F.grouped_mm(moka.zeros(*a), moka.zeros(*b), **options)
