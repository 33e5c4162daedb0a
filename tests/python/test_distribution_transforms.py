"""Transforms: inverses, Jacobians by differences, shapes, caching, and the registry of constraints."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from moka.distributions import constraints

import moka
from moka import distributions as D

LOC, SCALE = moka.tensor([1.0, -1.0, 0.3]).double(), moka.tensor([0.5, 2.0, 1.5]).double()
BIJECTIVE = [
    D.ExpTransform(),
    D.SigmoidTransform(),
    D.TanhTransform(),
    D.SoftplusTransform(),
    D.AffineTransform(LOC, SCALE),
    D.AffineTransform(1.0, -2.0),
    D.AffineTransform(LOC, SCALE, event_dim=1),
    D.StickBreakingTransform(),
    D.CorrCholeskyTransform(),
    D.IndependentTransform(D.ExpTransform(), 1),
    D.ReshapeTransform((3,), (1, 3)),
    D.ComposeTransform([D.AffineTransform(LOC, SCALE), D.SigmoidTransform(), D.AffineTransform(0.0, 3.0)]),
    D.ComposeTransform([D.ExpTransform(), D.AffineTransform(LOC, SCALE, event_dim=1)]),
    D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], dim=-1, lengths=[1, 2]),
    D.StackTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0), D.TanhTransform()], dim=-1),
    D.CumulativeDistributionTransform(D.Normal(0.0, 1.0)),
    D.ComposeTransform([D.ExpTransform(), D.PowerTransform(SCALE)]),
]


def values():
    moka.manual_seed(1)
    return moka.randn(2, 3, dtype=moka.float64)


@pytest.mark.parametrize("t", BIJECTIVE, ids=lambda t: type(t).__name__)
def test_inverses_and_shapes(t):
    x = values()
    y = t(x)
    assert moka.allclose(t.inv(y), x, atol=1e-9) and t.inv.inv is t and t.bijective
    assert tuple(t.forward_shape(x.shape)) == tuple(y.shape)
    assert tuple(t.inverse_shape(y.shape)) == tuple(x.shape)
    assert t.codomain.check(y).all() and t.domain.check(x).all()


@pytest.mark.parametrize("t", BIJECTIVE, ids=lambda t: type(t).__name__)
def test_jacobians(t):
    x = values()
    y = t(x)
    found = t.log_abs_det_jacobian(x, y)
    # The jacobian of one row; for triangles of unit rows only the entries below the diagonal are free.
    total = 0.0
    for row in x:
        triangle = y.dim() == 3 and y.shape[-1] == y.shape[-2]
        rows, free = [], [(i, j) for i in range(3) for j in range(i)] if triangle else None
        for i in range(3):
            step = moka.zeros(3).double()
            step[i] = 1e-6
            change = (t(moka.stack([row + step])) - t(moka.stack([row - step])))[0] / 2e-6
            rows.append(moka.stack([change[f] for f in free]) if free else change.flatten()[:3])
        total += moka.linalg.slogdet(moka.stack(rows))[1].item()
    assert found.sum().item() == pytest.approx(total, abs=1e-6)
    assert t.inv.log_abs_det_jacobian(y, x).sum().item() == pytest.approx(-total, abs=1e-6)


def test_maps_that_are_not_one_to_one():
    x = values()
    assert D.SoftmaxTransform()(x).sum(-1).tolist() == pytest.approx([1.0, 1.0])
    assert D.AbsTransform()(x).tolist() == x.abs().tolist()
    square = moka.randn(3, 3, dtype=moka.float64)
    for t in (D.LowerCholeskyTransform(), D.PositiveDefiniteTransform()):
        y = t(square)
        assert t.codomain.check(y).all() and moka.allclose(t(t.inv(y)), y)


def test_the_cache_returns_the_same_value():
    t = D.ExpTransform(cache_size=1)
    x = values()
    y = t(x)
    assert t(x) is y and t.inv(y) is x
    assert D.ExpTransform().with_cache()._cache_size == 1
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        D.ExpTransform(cache_size=2)


def test_transformed_distributions():
    base = D.Normal(moka.zeros(3), 1.0)
    d = D.TransformedDistribution(base, [D.AffineTransform(1.0, 2.0), D.ExpTransform()])
    other = D.LogNormal(moka.ones(3), 2.0)
    x = other.sample((4,))
    assert moka.allclose(d.log_prob(x), other.log_prob(x), rtol=1e-5)
    assert moka.allclose(d.cdf(x), other.cdf(x), atol=1e-6)
    assert moka.allclose(d.icdf(d.cdf(x)), x, rtol=1e-2)
    falling = D.TransformedDistribution(base, D.AffineTransform(0.0, -1.0))
    assert falling.cdf(moka.ones(3)).tolist() == pytest.approx([0.8413447] * 3)
    simplex = D.TransformedDistribution(base, D.StickBreakingTransform())
    assert simplex.event_shape == (4,) and simplex.batch_shape == ()
    assert simplex.sample((2,)).sum(-1).tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(ValueError, match="at least 1"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform())


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.real,
        constraints.positive,
        constraints.greater_than(2.0),
        constraints.less_than(-1.0),
        constraints.unit_interval,
        constraints.interval(-2.0, 5.0),
        constraints.simplex,
        constraints.corr_cholesky,
        constraints.lower_cholesky,
        constraints.positive_definite,
        constraints.independent(constraints.positive, 1),
        constraints.cat([constraints.positive, constraints.unit_interval], -1, [1, 2]),
        constraints.stack([constraints.positive, constraints.real, constraints.less_than(0.0)], -1),
    ],
    ids=repr,
)
def test_the_registry_leads_into_every_constraint(constraint):
    x = moka.randn(3, 3, dtype=moka.float64) if constraint.event_dim == 2 else values()
    y = D.transform_to(constraint)(values() if constraint is constraints.corr_cholesky else x)
    assert constraint.check(y).all()


def test_the_registry_takes_more():
    class Even(constraints.Constraint):
        def check(self, value):
            return value % 2 == 0

    with pytest.raises(NotImplementedError, match="Even"):
        D.transform_to(Even())
    D.transform_to.register(Even, lambda c: D.AffineTransform(0, 2))
    assert D.transform_to(Even())(moka.tensor(3.0)).item() == 6.0
    with pytest.raises(TypeError, match="Constraint"):
        D.transform_to.register(int, lambda c: None)


def test_constraints_say_what_holds():
    check = {
        constraints.boolean: [True, True, False, False],
        constraints.nonnegative_integer: [True, True, True, False],
        constraints.positive: [False, True, True, True],
        constraints.half_open_interval(0, 1): [True, False, False, True],
        constraints.integer_interval(1, 2): [False, True, True, False],
    }
    for constraint, expected in check.items():
        assert constraint.check(moka.tensor([0.0, 1.0, 2.0, 0.5])).tolist() == expected
    assert constraints.one_hot.check(moka.tensor([[0.0, 1, 0], [1, 1, 0]])).tolist() == [True, False]
    assert constraints.multinomial(3).check(moka.tensor([[1.0, 2], [3, 1]])).tolist() == [True, False]
    assert constraints.symmetric.check(moka.tensor([[1.0, 2], [2, 1]])).item()
    assert not constraints.positive_definite.check(moka.tensor([[1.0, 2], [2, 1]])).item()
    assert constraints.positive_semidefinite.check(moka.tensor([[1.0, 1], [1, 1]])).item()
    assert constraints.is_dependent(D.Uniform.support) and repr(constraints.simplex) == "Simplex()"
    with pytest.raises(ValueError, match="dependent"):
        constraints.dependent.check(moka.ones(1))
    with pytest.raises(ValueError, match="dim"):
        constraints.real_vector.check(moka.tensor(1.0))


def test_triangles_as_vectors():
    from moka.distributions.utils import tril_matrix_to_vec, vec_to_tril_matrix

    for diag in (-2, -1, 0, 1):
        matrix = moka.arange(1.0, 17.0).reshape(4, 4).tril(diag)
        assert vec_to_tril_matrix(tril_matrix_to_vec(matrix, diag), diag).tolist() == matrix.tolist()
    with pytest.raises(ValueError, match="triangle"):
        vec_to_tril_matrix(moka.ones(4))


def test_a_map_may_be_a_module_too():
    class Scale(moka.distributions.Transform, moka.nn.Module):
        bijective, domain, codomain = True, constraints.real, constraints.real
        __hash__ = moka.nn.Module.__hash__

        def __init__(self):
            super().__init__(cache_size=1)
            self.log_scale = moka.nn.Parameter(moka.zeros(()))

        def _call(self, x):
            return x * self.log_scale.exp()

        def log_abs_det_jacobian(self, x, y):
            return self.log_scale.expand(x.shape)

    scale = Scale()
    assert [name for name, _ in scale.named_parameters()] == ["log_scale"] and scale._cache_size == 1
    assert scale(moka.ones(2)).tolist() == [1.0, 1.0]
