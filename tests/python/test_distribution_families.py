"""Distributions against numbers of SciPy 1.17, draws against moments, gradients through draws."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import pytest

import moka
from moka import distributions as D

# distribution, x, log_prob(x), cdf(x), mean, variance, entropy
RECORDED = [
    ("D.Beta(2.0, 0.5)", 0.3, -1.313317405, 0.03784096949, 0.8, 0.04571428571, -0.7652789553),
    ("D.Cauchy(0.5, 2.0)", -1.0, -2.284164169, 0.2951672353, math.nan, math.nan, 3.224171428),
    ("D.Chi2(3.0)", 2.0, -1.572364943, 0.4275932955, 3, 6, 2.054119956),
    ("D.Exponential(1.5)", 0.7, -0.6445348919, 0.6500622509, 0.6666666667, 0.4444444444, 0.5945348919),
    ("D.FisherSnedecor(3.0, 9.0)", 1.2, -1.121053665, 0.635946272, 1.285714286, 2.204081633, 1.223745808),
    ("D.Gamma(2.5, 1.5)", 0.8, -0.8057354272, 0.2085258794, 1.666666667, 1.111111111, 1.324482801),
    ("D.GeneralizedPareto(0.5, 2.0, 0.2)", 1.5, -1.265008259, 0.3790786769, 3, 10.41666667, 1.893147181),
    ("D.Gumbel(0.5, 2.0)", 1.5, -1.79967784, 0.5452392119, 1.65443133, 6.579736267, 2.270362845),
    ("D.HalfCauchy(2.0)", 1.5, -1.591016988, 0.4096655294, math.inf, math.inf, 2.531024247),
    ("D.HalfNormal(2.0)", 1.5, -1.200188533, 0.5467452952, 1.595769122, 1.453520911, 1.418938533),
    ("D.InverseGamma(3.0, 2.0)", 0.8, -0.2211314336, 0.5438131159, 1, 1, 0.6951570207),
    ("D.Laplace(0.5, 0.7)", -0.2, -1.336472237, 0.1839397206, 0.5, 0.98, 1.336472237),
    ("D.LogNormal(0.2, 0.5)", 1.5, -0.7156882821, 0.6594381474, 1.384030646, 0.5440622821, 0.9257913526),
    ("D.Normal(0.5, 2.0)", -1.0, -1.893335714, 0.2266273524, 0.5, 4, 2.112085714),
    ("D.Pareto(1.5, 3.0)", 2.5, -1.350155315, 0.784, 2.25, 1.6875, 0.6401861528),
    ("D.StudentT(5.0, 0.5, 2.0)", -1.0, -1.981595975, 0.243512124, 0.5, 6.666666667, 2.320649853),
    ("D.Uniform(-1.0, 3.0)", 0.5, -1.386294361, 0.375, 1, 1.333333333, 1.386294361),
    ("D.VonMises(0.5, 2.0)", 1.0, -0.9067054841, 0.7381922144, 0.5, 0.7644618798, 1.266321292),
    ("D.Weibull(2.0, 1.5)", 1.2, -1.007852886, 0.3717128687, 1.805490586, 1.502761139, 1.480087294),
    ("D.Bernoulli(0.3)", 1.0, -1.203972804, 1, 0.3, 0.21, 0.6108643021),
    ("D.Binomial(7, 0.3)", 2.0, -1.146797891, 0.6470695, 2.1, 1.47, 1.592697255),
    ("D.Geometric(0.3)", 2.0, -1.917322692, 0.657, 2.333333333, 7.777777778, 2.03621434),
    ("D.NegativeBinomial(4.0, 0.3)", 2.0, -1.532060291, 0.74431, 1.714285714, 2.448979592, 1.713764194),
    ("D.Poisson(3.5)", 2.0, -1.687621244, 0.3208471989, 3.5, 3.5, 2.015172523),
]
NAMES = [row[0].split("(")[0][2:] for row in RECORDED]
# What SciPy gives and torch leaves out, or defines otherwise.
WITHOUT = {"VonMises": {"cdf", "variance", "entropy"}, "FisherSnedecor": {"entropy"}, "Cauchy": {"variance"}}


def made(text):
    return eval(text, {"D": D})


@pytest.fixture(autouse=True)
def seeded():
    moka.manual_seed(0)


@pytest.mark.parametrize("row", RECORDED, ids=NAMES)
def test_formulas_are_those_of_scipy(row):
    text, x, *expected = row
    d, value = made(text), moka.tensor(x)
    found = {
        "log_prob": lambda: d.log_prob(value),
        "cdf": lambda: d.cdf(value),
        "mean": lambda: d.mean,
        "variance": lambda: d.variance,
        "entropy": d.entropy,
    }
    for (name, ask), number in zip(found.items(), expected, strict=True):
        if name in WITHOUT.get(type(d).__name__, ()):
            continue
        try:
            result = ask()
        except NotImplementedError:
            assert name in ("cdf", "entropy")
            continue
        assert result.item() == pytest.approx(number, rel=2e-5, abs=1e-6, nan_ok=True), name


@pytest.mark.parametrize("row", RECORDED, ids=NAMES)
def test_draws_have_the_moments_and_lie_in_the_support(row):
    d = made(row[0])
    draws = d.sample((20000,))
    assert draws.shape == (20000,) and d.support.check(draws).all()
    mean, deviation = d.mean.item(), d.stddev.item()
    heavy = D.Pareto, D.InverseGamma, D.GeneralizedPareto
    if math.isfinite(deviation) and not isinstance(d, (*heavy, D.VonMises)):
        assert draws.mean().item() == pytest.approx(mean, abs=0.05 * deviation)
        assert draws.std().item() == pytest.approx(deviation, rel=0.15)
    # The median of draws is the median.
    if d.has_rsample and row[3] not in (0, 1):
        assert (draws <= row[1]).float().mean().item() == pytest.approx(row[3], abs=0.02)


@pytest.mark.parametrize("row", RECORDED, ids=NAMES)
def test_expanded_distributions_are_the_same(row):
    d = made(row[0])
    wide = d.expand((3, 2))
    assert type(wide) is type(d) and wide.batch_shape == (3, 2) and wide.sample((4,)).shape == (4, 3, 2)
    value, expected = moka.full((3, 2), row[1]), d.log_prob(moka.tensor(row[1])).item()
    assert wide.log_prob(value).flatten().tolist() == pytest.approx([expected] * 6)


def test_vectors_and_matrices_have_scipys_densities():
    matrix = moka.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=moka.float64)
    loc, value = moka.tensor([0.5, -1.0], dtype=moka.float64), moka.tensor([1.0, 0.5], dtype=moka.float64)
    for given in (
        {"covariance_matrix": matrix},
        {"precision_matrix": matrix.inverse()},
        {"scale_tril": moka.linalg.cholesky(matrix)},
    ):
        d = D.MultivariateNormal(loc, **given)
        assert d.log_prob(value).item() == pytest.approx(-3.2590056751322773)
        assert d.entropy().item() == pytest.approx(3.085225187327399)
    factor, rest = moka.tensor([[1.0], [0.6]]).double(), moka.tensor([1.0, 0.64]).double()
    low = D.LowRankMultivariateNormal(loc, factor, rest)
    assert low.log_prob(value).item() == pytest.approx(-3.2590056751322773)
    assert D.kl_divergence(low, d).item() == pytest.approx(0.0, abs=1e-12)
    wishart = D.Wishart(4.5, matrix)
    value = moka.tensor([[3.0, 1], [1, 2]]).double()
    assert wishart.log_prob(value).item() == pytest.approx(-5.40627864204886)
    assert wishart.entropy().item() == pytest.approx(7.319307251102661)
    draws = wishart.sample((20000,))
    assert (draws.mean(0) - wishart.mean).abs().max() < 0.15
    dirichlet = D.Dirichlet(moka.tensor([0.5, 2.0, 3.0]))
    assert dirichlet.log_prob(moka.tensor([0.2, 0.3, 0.5])).item() == pytest.approx(0.9067536349, rel=1e-5)
    assert dirichlet.entropy().item() == pytest.approx(-1.9146769909858068, rel=1e-5)
    counts = D.Multinomial(5, moka.tensor([0.2, 0.3, 0.5]))
    assert counts.log_prob(moka.tensor([1.0, 2.0, 2.0])).item() == pytest.approx(-2.002480500543707, rel=1e-5)
    assert counts.entropy().item() == pytest.approx(2.5918085962714987, rel=1e-5)


@pytest.mark.parametrize("count", [2, 5, 1000])
def test_multinomial_draws(count):
    d = D.Multinomial(count, moka.tensor([0.2, 0.3, 0.5]))
    draws = d.sample((4000,))
    assert (draws.sum(-1) == count).all()
    assert (draws.mean(0) / count).tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.02)
    assert draws.var(0).tolist() == pytest.approx(d.variance.tolist(), rel=0.1)


def test_correlations():
    d = D.LKJCholesky(3, 0.5)
    draws = d.sample((5, 2))
    assert draws.shape == (5, 2, 3, 3) and d.support.check(draws).all()
    # In two dimensions with concentration 1 the correlation is uniform in (-1, 1).
    flat = D.LKJCholesky(2, 1.0)
    assert flat.log_prob(flat.sample((3,))).tolist() == pytest.approx([-math.log(2)] * 3, rel=1e-5)
    assert flat.sample((4000,))[:, 1, 0].var().item() == pytest.approx(1 / 3, abs=0.03)


def test_mixtures():
    d = D.MixtureSameFamily(
        D.Categorical(moka.tensor([0.25, 0.75])), D.Normal(moka.tensor([-1.0, 2.0]), moka.tensor([0.5, 1.0]))
    )
    x = moka.tensor(0.5)
    densities = [0.25 * D.Normal(-1.0, 0.5).log_prob(x).exp(), 0.75 * D.Normal(2.0, 1.0).log_prob(x).exp()]
    assert d.log_prob(x).exp().item() == pytest.approx(sum(densities).item())
    assert d.mean.item() == pytest.approx(1.25)
    draws = d.sample((8000,))
    assert draws.mean().item() == pytest.approx(1.25, abs=0.06)
    assert draws.var().item() == pytest.approx(d.variance.item(), rel=0.06)
    vectors = D.Independent(D.Normal(moka.zeros(2, 3), 1.0), 1)
    assert D.MixtureSameFamily(D.Categorical(moka.ones(2)), vectors).sample((5,)).shape == (5, 3)


def test_relaxed_choices_pass_gradients():
    logits = moka.tensor([0.3, -1.0, 2.0], requires_grad=True)
    for d in (
        D.RelaxedBernoulli(moka.tensor(0.5), logits=logits),
        D.RelaxedOneHotCategorical(moka.tensor(0.5), logits=logits),
        D.OneHotCategoricalStraightThrough(logits=logits),
    ):
        logits.grad = None
        (d.rsample((4,)) * moka.tensor([1.0, 2.0, 3.0])).sum().backward()
        assert logits.grad is not None and logits.grad.abs().sum() > 0
    share = D.RelaxedOneHotCategorical(moka.tensor(0.5), logits=logits).sample((100,))
    assert (share.sum(-1) - 1).abs().max() < 1e-5


def slope_by_difference(cdf, parameter, x):
    """dx / dparameter with the distribution function held fixed."""
    step = 1e-4 * parameter
    change = (cdf(parameter + step, x) - cdf(parameter - step, x)) / (2 * step)
    density = (cdf(parameter, x * (1 + 1e-5)) - cdf(parameter, x * (1 - 1e-5))) / (2e-5 * x)
    return -change / density


def test_gamma_draws_pass_gradients_that_hold_the_distribution_function():
    def cdf(a, x):
        return moka.special.gammainc(*(moka.tensor(v, dtype=moka.float64) for v in (a, x))).item()

    for a, x in itertools.product((0.3, 1.0, 4.0, 60.0), (0.2, 1.0, 5.0, 70.0)):
        if not 1e-4 < cdf(a, x) < 1 - 1e-4:
            continue
        found = moka._C._standard_gamma_grad(*(moka.tensor(v, dtype=moka.float64) for v in (a, x))).item()
        assert found == pytest.approx(slope_by_difference(cdf, a, x), rel=1e-4)


# The means of x and of x^2 are smooth functions of the parameters; gradients through draws average to theirs.
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (D.Gamma, (1.5, 2.0)),
        (D.Gamma, (0.4, 0.5)),
        (D.Beta, (1.5, 0.7)),
        (D.Beta, (4.0, 9.0)),
        (D.StudentT, (9.0, 0.5, 2.0)),
        (D.Weibull, (1.0, 2.0)),
        (D.Kumaraswamy, (2.0, 3.0)),
        (D.Gumbel, (0.5, 2.0)),
        (D.ContinuousBernoulli, (0.3,)),
    ],
)
def test_gradients_through_draws_average_to_those_of_the_moments(kind, parameters):
    def leaves():
        return [moka.tensor(v, dtype=moka.float64, requires_grad=True) for v in parameters]

    sampled, exact = leaves(), leaves()
    draws = kind(*sampled).rsample((40000,))
    (draws.mean() + draws.square().mean()).backward()
    d = kind(*exact)
    (d.mean + d.variance + d.mean.square()).backward()
    for a, b in zip(sampled, exact, strict=True):
        expected = 0.0 if b.grad is None else b.grad.item()
        assert a.grad.item() == pytest.approx(expected, rel=0.1, abs=0.03)


def test_shares_pass_gradients():
    a = moka.tensor([0.5, 2.0, 3.0], dtype=moka.float64, requires_grad=True)
    weights = moka.tensor([1.0, -2.0, 3.0], dtype=moka.float64)
    (D.Dirichlet(a).rsample((40000,)) * weights).sum(-1).mean().backward()
    exact = a.detach().clone().requires_grad_()
    (D.Dirichlet(exact).mean * weights).sum().backward()
    assert a.grad.tolist() == pytest.approx(exact.grad.tolist(), abs=0.03)


def test_tiny_concentrations_never_leave_the_open_interval():
    draws = D.Beta(1e-3, 1e-3).sample((1000,))
    assert ((draws > 0) & (draws < 1)).all()
    assert (D.Gamma(1e-3, 1.0).sample((1000,)) > 0).all()


def test_checks_name_what_came():
    with pytest.raises(ValueError, match=r"Expected parameter scale .* GreaterThan\(lower_bound=0.0\)"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="within the support"):
        D.Exponential(1.0).log_prob(moka.tensor(-1.0))
    with pytest.raises(ValueError, match="must be a Tensor"):
        D.Normal(0.0, 1.0).log_prob(0.5)
    with pytest.raises(ValueError, match="not broadcastable"):
        D.Normal(moka.zeros(3), 1.0).log_prob(moka.zeros(2))
    with pytest.raises(ValueError, match="not both"):
        D.Bernoulli(probs=0.5, logits=0.0)
    with pytest.raises(NotImplementedError, match="custom __init__"):

        class Mine(D.Normal):
            def __init__(self):
                super().__init__(0.0, 1.0)

        Mine().expand((2,))
    assert math.isinf(D.Uniform(0.0, 1.0, validate_args=False).log_prob(moka.tensor(2.0)).item())


def test_distributions_are_traced():
    def loss(loc, scale):
        d = D.Normal(loc, scale)
        return d.log_prob(loc + 1).sum() + D.kl_divergence(d, D.Normal(0.0, 1.0)).sum()

    example = (moka.tensor([0.5, 1.0]), moka.tensor([1.0, 2.0]))
    traced = moka.jit.trace(loss, example)
    other = (moka.tensor([1.5, -1.0]), moka.tensor([0.3, 0.7]))
    assert traced(*other).item() == pytest.approx(loss(*other).item(), rel=1e-6)


def test_divergences_of_unlike_kinds_are_integrals():
    x = (moka.arange(20000, dtype=moka.float64) + 0.5) / 20000
    kinds = [
        D.Beta(2.0, 3.0),
        D.ContinuousBernoulli(moka.tensor(0.3)),
        D.Uniform(0.0, 1.0),
        D.Exponential(1.5),
        D.Gamma(2.5, 1.5),
        D.Normal(0.5, 1.5),
        D.Gumbel(0.2, 2.0),
        D.Pareto(0.7, 3.0),
        D.Laplace(0.3, 0.8),
    ]
    for p, q in itertools.product(kinds, kinds):
        ends = [0.0, 1.0] if p.support.check(moka.tensor(2.0)).item() is False else None
        points, width = (x, 1 / 20000) if ends else (x * 120 - 50, 120 / 20000)
        if isinstance(p, (D.Exponential, D.Gamma, D.Pareto)):
            points, width = x * 80 + (0.7 if isinstance(p, D.Pareto) else 0), 80 / 20000
        try:
            found = D.kl_divergence(p, q).item()
        except NotImplementedError:
            continue
        log_p = type(p).log_prob(p, points)
        q_holds = q.support.check(points)
        log_q = moka.where(q_holds, q.log_prob(moka.where(q_holds, points, q.mean.double())), -math.inf)
        mass = log_p.exp()
        integral = moka.where(mass > 0, mass * (log_p - log_q), 0.0).sum().item() * width
        assert found == pytest.approx(integral, rel=5e-3, abs=5e-3), (p, q)


def test_register_kl_takes_the_nearest_and_warns_of_two():
    class A(D.Normal):
        pass

    class B(A):
        pass

    D.register_kl(A, D.Normal)(lambda p, q: "left")
    D.register_kl(D.Normal, B)(lambda p, q: "right")
    assert D.kl_divergence(A(0.0, 1.0), D.Normal(0.0, 1.0)) == "left"
    with pytest.warns(RuntimeWarning, match="Ambiguous"):
        assert D.kl_divergence(B(0.0, 1.0), B(0.0, 1.0)) == "left"
    with pytest.raises(TypeError, match="subclass"):
        D.register_kl("Normal", D.Normal)
