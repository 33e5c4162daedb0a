"""Histograms against NumPy, and views as copies."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("density", [False, True])
def test_histogram_is_numpys(density):
    x, w = RNG.standard_normal(200), RNG.random(200)
    for bins, limits in ((7, None), (5, (-1.0, 2.0))):
        got = moka.histogram(moka.tensor(x), bins, range=limits, weight=moka.tensor(w), density=density)
        hist, edges = np.histogram(x, bins, limits, density=density, weights=w)
        np.testing.assert_allclose(got.hist.numpy(), hist, rtol=1e-12)
        np.testing.assert_allclose(got.bin_edges.numpy(), edges, rtol=1e-12, atol=1e-12)
    edges = moka.tensor([-1.0, 0.0, 0.25, 3.0], dtype=moka.float64)
    expected = np.histogram(x, edges.numpy())[0]
    assert moka.tensor(x).histogram(edges).hist.tolist() == expected.tolist()


def test_histogramdd_counts_points_in_boxes():
    points = RNG.random((300, 2))
    got = moka.histogramdd(moka.tensor(points), [3, 4], range=[0.0, 1.0, 0.0, 1.0])
    expected, _ = np.histogramdd(points, [3, 4], [(0, 1), (0, 1)])
    assert got.hist.tolist() == expected.tolist() and [e.numel() for e in got.bin_edges] == [4, 5]
    with pytest.raises(RuntimeError, match="2 sequences"):
        moka.histogramdd(moka.tensor(points), [3])


def test_copies_share_no_memory():
    x = moka.arange(6.0).reshape(2, 3)
    for copy in (
        moka.view_copy(x, (3, 2)),
        moka.permute_copy(x, (1, 0)),
        moka.slice_copy(x, 1, 1),
        moka.alias_copy(x),
        *moka.split_copy(x, 2, 1),
    ):
        copy.zero_()
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    out = moka.empty(0)
    assert moka.select_copy(x, 0, 1, out=out) is out and out.tolist() == [3, 4, 5]
    assert [p.tolist() for p in moka.unsafe_chunk(x, 2)] == [[[0, 1, 2]], [[3, 4, 5]]]
