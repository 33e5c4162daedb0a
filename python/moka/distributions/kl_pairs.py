"""Divergences between unlike distributions: the cross entropy of p under q less the entropy of p."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import moka
from moka import Tensor

from .discrete import Bernoulli, Binomial, Poisson
from .gamma import Beta, Gamma
from .kl import register_kl
from .location_scale import EULER, Gumbel, Laplace, Uniform
from .normal import Normal
from .positive import Exponential, Pareto
from .relaxed import ContinuousBernoulli

__all__: list[str] = []

# ---- what is known of p: means of the functions of x that log q(x) is made of


def _ends(p: Any) -> tuple[Any, Any]:
    """Between which numbers draws of p lie."""
    if isinstance(p, Uniform):
        return p.low, p.high
    if isinstance(p, Pareto):
        return p.scale, math.inf
    if isinstance(p, (Beta, ContinuousBernoulli)):
        return 0.0, 1.0
    if isinstance(p, (Exponential, Gamma)):
        return 0.0, math.inf
    return -math.inf, math.inf


def _x_log_x(x: Tensor) -> Tensor:
    return moka.xlogy(x, x)


def _mean_log(p: Any) -> Tensor:
    """The mean of log x."""
    if isinstance(p, Exponential):
        return -EULER - p.rate.log()
    if isinstance(p, Gamma):
        return moka.digamma(p.concentration) - p.rate.log()
    if isinstance(p, Beta):
        return moka.digamma(p.concentration1) - moka.digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    assert isinstance(p, Uniform)
    return (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1


def _mean_exp(p: Any, t: Tensor) -> Tensor:
    """The mean of exp(-t x)."""
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return (1 + t / p.rate) ** -p.concentration
    if isinstance(p, Gumbel):
        return (moka.lgamma(1 + t * p.scale) - t * p.loc).exp()
    if isinstance(p, Normal):
        return (0.5 * (t * p.scale).square() - t * p.loc).exp()
    assert isinstance(p, Uniform)
    return ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low))


# ---- the mean of -log q(x) over draws of p


def _within(p: Any, low: Any, high: Any, value: Tensor) -> Tensor:
    """`value`, infinite where p has draws outside [low, high]."""
    from_, to = _ends(p)
    outside = moka.as_tensor(from_ < low) | moka.as_tensor(to > high)
    return moka.where(outside, math.inf, value)


def _finite_mean(p: Any, power: int, value: Tensor) -> Tensor:
    """`value`, infinite where the mean of x^power is."""
    return moka.where(p.alpha > power, value, math.inf) if isinstance(p, Pareto) else value


def _under_normal(p: Any, q: Any) -> Tensor:
    square = (p.variance + (p.mean - q.loc).square()) / q.scale.square()
    return _finite_mean(p, 2, 0.5 * square + q.scale.log() + 0.5 * math.log(2 * math.pi))


def _under_exponential(p: Any, q: Any) -> Tensor:
    return _within(p, 0, math.inf, _finite_mean(p, 1, q.rate * p.mean - q.rate.log()))


def _under_gamma(p: Any, q: Any) -> Tensor:
    a = q.concentration
    value = moka.lgamma(a) - a * q.rate.log() - (a - 1) * _mean_log(p) + q.rate * p.mean
    return _within(p, 0, math.inf, _finite_mean(p, 1, value))


def _under_gumbel(p: Any, q: Any) -> Tensor:
    t = q.scale.reciprocal()
    return q.scale.log() + (p.mean - q.loc) * t + _mean_exp(p, t) * (q.loc * t).exp()


def _under_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    return _within(p, 0, 1, -(p.mean * q.logits + (-q.probs).log1p() + q._log_normal()))


def _under_uniform(p: Any, q: Any) -> Tensor:
    return _within(p, q.low, q.high, (q.high - q.low).log())


def _under_pareto(p: Any, q: Any) -> Tensor:
    value = (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log()
    return _within(p, q.scale, math.inf, value)


def _under_beta(p: Any, q: Any) -> Tensor:
    """Of a uniform p."""
    a, b = q.concentration1, q.concentration0
    # The mean of log(1 - x)
    turned = (_x_log_x(1 - p.low) - _x_log_x(1 - p.high)) / (p.high - p.low) - 1
    constant = moka.lgamma(a) + moka.lgamma(b) - moka.lgamma(a + b)
    return _within(p, 0, 1, constant - (a - 1) * _mean_log(p) - (b - 1) * turned)


def _divergence(under: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    return lambda p, q: under(p, q) - p.entropy()


_BOUNDED = [Beta, ContinuousBernoulli, Uniform]
for _under, _type_q, _types_p in (
    (_under_normal, Normal, [*_BOUNDED, Exponential, Gamma, Gumbel, Laplace, Pareto]),
    (_under_exponential, Exponential, [Beta, ContinuousBernoulli, Gamma, Pareto, Uniform]),
    (_under_gamma, Gamma, [Beta, Exponential, Pareto, Uniform]),
    (_under_gumbel, Gumbel, [Exponential, Gamma, Gumbel, Normal, Uniform]),
    (_under_continuous_bernoulli, ContinuousBernoulli, [Beta, Uniform]),
    (_under_uniform, Uniform, [Beta, ContinuousBernoulli, Uniform]),
    (_under_pareto, Pareto, [Pareto, Uniform]),
    (_under_beta, Beta, [Uniform]),
):
    for _type_p in _types_p:
        register_kl(_type_p, _type_q)(_divergence(_under))


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Tensor:
    away = (p.loc - q.loc) / p.scale
    # The mean of |x - loc_q| is that of a folded normal distribution.
    folded = math.sqrt(2 / math.pi) * (-0.5 * away.square()).exp() + away * moka.erf(away / math.sqrt(2))
    return (2 * q.scale).log() + p.scale * folded / q.scale - p.entropy()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


# ---- pairs where p has draws that q never has


def _infinite(p: Any, q: Any) -> Tensor:
    shape = moka.broadcast_shapes(p.batch_shape, q.batch_shape)
    return moka.full(tuple(shape), math.inf, dtype=p.mean.dtype, device=p.mean.device)


_UNBOUNDED = [Gumbel, Laplace, Normal]
for _types_p, _types_q in (
    ([Beta, ContinuousBernoulli], [Pareto]),
    ([Exponential, Gamma], [Beta, ContinuousBernoulli, Pareto, Uniform]),
    (_UNBOUNDED, [Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform]),
    ([Pareto], [Beta, ContinuousBernoulli, Uniform]),
    ([Poisson], [Bernoulli, Binomial]),
):
    for _type_p in _types_p:
        for _type_q in _types_q:
            register_kl(_type_p, _type_q)(_infinite)
