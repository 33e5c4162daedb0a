"""Special functions against SciPy's values."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest

import moka
from moka.nn import functional as F

AIRY = [  # x, Ai(x), Ai'(x)
    (-30.5, -0.004333637288741356, -1.3256903303662548),
    (-10.0, 0.040241238486441955, 0.9962650441327905),
    (-9.9, 0.1362350264479788, 0.9078133315371519),
    (-2.0, 0.22740742820168564, 0.618259020741691),
    (0.0, 0.3550280538878172, -0.2588194037928068),
    (0.99, 0.1368906592459327, -0.16050152755135302),
    (1.01, 0.1337077024689584, -0.15779574022638157),
    (5.0, 0.00010834442813607433, -0.0002474138908684623),
    (60.0, 2.7831487094969454e-136, -2.1569758112094817e-135),
]


@pytest.mark.parametrize(("x", "value", "slope"), AIRY)
def test_airy(x, value, slope):
    t = moka.tensor([x], dtype=moka.float64, requires_grad=True)
    y = moka.special.airy_ai(t)
    (dy,) = moka.autograd.grad(y.sum(), t)
    assert y.item() == pytest.approx(value, rel=2e-13, abs=3e-14 if x < 0 else 0)
    assert dy.item() == pytest.approx(slope, rel=2e-13, abs=3e-14 if x < 0 else 0)


def test_bessel_functions_and_airy_have_no_value_at_infinity():
    ends = moka.tensor([math.inf, -math.inf, math.nan])
    for name in ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"):
        assert getattr(moka.special, name)(ends).isnan().all(), name


def test_angles_of_real_numbers():
    x = moka.tensor([math.inf, -math.inf, -0.0, 0.0, 2.0, -2.0])
    assert moka.angle(x).tolist() == pytest.approx([0, math.pi, 0, 0, 0, math.pi])
    assert moka.angle(moka.tensor([math.nan])).isnan().all()


def test_bounds_of_integers_are_integers():
    x = moka.tensor([0, 1, 2])
    assert F.threshold(x, 0.5, 9.7).tolist() == [9, 1, 2]
    assert F.threshold_(x, 1, 5).tolist() == [5, 5, 2]
