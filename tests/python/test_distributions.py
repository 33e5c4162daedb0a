"""Distributions against their formulas: densities that integrate to one, moments of draws, divergences."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest

import moka
from moka import distributions as D

CONTINUOUS = [
    (D.Normal(0.5, 2.0), (-20, 20)),
    (D.LogNormal(0.2, 0.5), (1e-6, 30)),
    (D.Uniform(-1.0, 3.0), (-1, 3)),
    (D.Exponential(1.5), (0, 20)),
    (D.Laplace(0.5, 0.7), (-15, 15)),
]
NAMES = [type(d).__name__ for d, _ in CONTINUOUS]


def middles(low, high, count=40000):
    width = (high - low) / count
    return low + (moka.arange(count, dtype=moka.float64) + 0.5) * width, width


@pytest.mark.parametrize(("distribution", "range_"), CONTINUOUS, ids=NAMES)
def test_densities_integrate_to_one_and_to_the_moments(distribution, range_):
    x, width = middles(*range_)
    log = distribution.log_prob(x)
    density = log.exp()
    mean = (density * x).sum().item() * width
    assert density.sum().item() * width == pytest.approx(1.0, abs=1e-4)
    assert mean == pytest.approx(distribution.mean.item(), abs=1e-3)
    spread = (density * (x - mean) ** 2).sum().item() * width
    assert spread == pytest.approx(distribution.variance.item(), rel=1e-3)
    assert distribution.stddev.item() == pytest.approx(math.sqrt(spread), rel=1e-3)
    assert -(density * log).sum().item() * width == pytest.approx(distribution.entropy().item(), abs=1e-3)


@pytest.mark.parametrize(("distribution", "range_"), CONTINUOUS, ids=NAMES)
def test_distribution_functions_are_the_sums_of_densities(distribution, range_):
    x, width = middles(*range_)
    share = distribution.log_prob(x).exp()[:20000].sum().item() * width
    middle = moka.tensor((range_[0] + range_[1]) / 2)
    assert distribution.cdf(middle).item() == pytest.approx(share, abs=1e-4)
    if type(distribution).icdf is not D.Distribution.icdf:
        assert distribution.cdf(distribution.icdf(moka.tensor(0.3))).item() == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize(("distribution", "range_"), CONTINUOUS, ids=NAMES)
def test_draws_have_the_moments(distribution, range_):
    moka.manual_seed(0)
    draws = distribution.sample((20000,))
    assert draws.shape == (20000,)
    deviation = distribution.stddev.item()
    assert draws.mean().item() == pytest.approx(distribution.mean.item(), abs=0.04 * deviation)
    assert draws.std().item() == pytest.approx(deviation, rel=0.06)


def test_draws_pass_gradients_to_the_parameters():
    loc = moka.tensor([1.0, 2.0], requires_grad=True)
    scale = moka.tensor(0.5, requires_grad=True)
    for kind in (D.Normal, D.Laplace, D.LogNormal):
        assert kind(loc, scale).rsample((3,)).requires_grad and not kind(loc, scale).sample().requires_grad
    D.Normal(loc, scale).rsample((4,)).sum().backward()
    assert loc.grad.tolist() == [4.0, 4.0] and scale.grad is not None


def test_bernoulli():
    d = D.Bernoulli(probs=moka.tensor([0.2, 0.7]))
    assert d.log_prob(moka.tensor([1.0, 0.0])).exp().tolist() == pytest.approx([0.2, 0.3])
    assert d.entropy()[0].item() == pytest.approx(-(0.2 * math.log(0.2) + 0.8 * math.log(0.8)))
    other = D.Bernoulli(logits=moka.tensor(math.log(0.25)))
    assert other.probs.item() == pytest.approx(0.2) and d.mode.tolist() == [0.0, 1.0]
    moka.manual_seed(0)
    assert d.sample((4000,)).mean(0).tolist() == pytest.approx([0.2, 0.7], abs=0.03)
    with pytest.raises(ValueError, match="not both"):
        D.Bernoulli()


def test_categorical():
    d = D.Categorical(probs=moka.tensor([[1.0, 1.0, 2.0], [8.0, 1.0, 1.0]]))
    assert d.probs[0].tolist() == pytest.approx([0.25, 0.25, 0.5]) and d.batch_shape == (2,)
    assert d.log_prob(moka.tensor([2, 0])).exp().tolist() == pytest.approx([0.5, 0.8])
    assert list(d.log_prob(moka.tensor([[0], [1], [2]])).shape) == [3, 2]
    assert d.entropy()[0].item() == pytest.approx(1.5 * math.log(2))
    assert d.mode.tolist() == [2, 0] and d.enumerate_support().tolist() == [[0, 0], [1, 1], [2, 2]]
    moka.manual_seed(0)
    draws = d.sample((4000,))
    assert draws.shape == (4000, 2)
    assert [(draws[:, 1] == c).sum().item() / 4000 for c in range(3)] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.03
    )
    logits = moka.tensor([0.0, 1.0], requires_grad=True)
    D.Categorical(logits=logits).log_prob(moka.tensor(1)).backward()
    assert logits.grad.tolist() == pytest.approx([-1 / (1 + math.e), 1 / (1 + math.e)])


def test_independent_sums_over_the_event():
    base = D.Normal(moka.zeros(3, 2), moka.ones(2))
    d = D.Independent(base, 1)
    assert d.batch_shape == (3,) and d.event_shape == (2,)
    value = moka.ones(3, 2)
    assert d.log_prob(value).tolist() == pytest.approx(base.log_prob(value).sum(1).tolist())
    assert d.entropy().shape == (3,) and d.sample((5,)).shape == (5, 3, 2)
    with pytest.raises(ValueError, match="3 dimensions were asked"):
        D.Independent(base, 3)


PAIRS = [
    (D.Normal(0.5, 2.0), D.Normal(0.0, 1.5), (-20, 20)),
    (D.LogNormal(0.2, 0.5), D.LogNormal(0.0, 0.7), (1e-6, 30)),
    (D.Exponential(1.5), D.Exponential(0.5), (0, 30)),
    (D.Laplace(0.5, 0.7), D.Laplace(0.0, 1.0), (-15, 15)),
    (D.Uniform(0.0, 1.0), D.Uniform(-1.0, 3.0), (0, 1)),
]


@pytest.mark.parametrize(("p", "q", "range_"), PAIRS, ids=[type(p).__name__ for p, _, _ in PAIRS])
def test_divergences_are_the_integrals(p, q, range_):
    x, width = middles(*range_)
    log = p.log_prob(x)
    integral = (log.exp() * (log - q.log_prob(x))).sum().item() * width
    assert D.kl_divergence(p, q).item() == pytest.approx(integral, abs=1e-3)
    assert D.kl_divergence(p, p).item() == pytest.approx(0.0, abs=1e-6)


def test_divergences_of_choices():
    a, b = moka.tensor([0.2, 0.8]), moka.tensor([0.6, 0.4])
    expected = 0.2 * math.log(0.2 / 0.6) + 0.8 * math.log(0.8 / 0.4)
    assert D.kl_divergence(D.Categorical(a), D.Categorical(b)).item() == pytest.approx(expected, abs=1e-6)
    assert D.kl_divergence(D.Bernoulli(a[0]), D.Bernoulli(b[0])).item() == pytest.approx(expected, abs=1e-6)
    both = D.kl_divergence(D.Independent(D.Normal(a, 1.0), 1), D.Independent(D.Normal(b, 1.0), 1))
    assert both.item() == pytest.approx(0.16)
    assert D.kl_divergence(D.Uniform(-1.0, 1.0), D.Uniform(0.0, 1.0)).item() == math.inf
    with pytest.raises(NotImplementedError, match="Poisson and q type Uniform"):
        D.kl_divergence(D.Poisson(1.0), D.Uniform(0.0, 1.0))


def test_parameters_are_checked():
    for make in (
        lambda: D.Normal(0.0, -1.0),
        lambda: D.Exponential(moka.tensor([1.0, 0.0])),
        lambda: D.Bernoulli(probs=1.5),
        lambda: D.Uniform(1.0, 1.0),
    ):
        with pytest.raises(ValueError, match="Expected parameter"):
            make()
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0


# Gradient scaling


def test_the_scaler_scales_skips_and_adapts():
    from moka.amp import GradScaler

    w = moka.nn.Parameter(moka.ones(2))
    optimizer = moka.optim.SGD([w], lr=0.5)
    scaler = GradScaler(init_scale=8.0, growth_interval=2)
    scaler.scale((w * w).sum()).backward()
    assert w.grad.tolist() == [16.0, 16.0]
    scaler.unscale_(optimizer)
    assert w.grad.tolist() == [2.0, 2.0]
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.0, 0.0] and scaler.get_scale() == 8.0
    for bad, scale in ((False, 16.0), (True, 8.0)):
        w.grad = moka.tensor([float("inf") if bad else 0.0, 1.0])
        before = w.tolist()
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == scale and (w.tolist() == before) == bad
    other = GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8.0


def test_the_scaler_says_what_is_out_of_order():
    from moka.amp import GradScaler

    w = moka.nn.Parameter(moka.ones(1))
    optimizer = moka.optim.SGD([w], lr=0.5)
    scaler = GradScaler()
    with pytest.raises(RuntimeError, match="must come first"):
        scaler.update()
    w.grad = moka.ones(1)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already"):
        scaler.step(optimizer)
    off = GradScaler(enabled=False)
    assert off.scale(w) is w and off.get_scale() == 1.0 and off.state_dict() == {}
