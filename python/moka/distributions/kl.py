"""Kullback-Leibler divergences: the table of pairs, and pairs of the same kind."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import moka
from moka import Tensor
from moka.nn.functional import softplus

from .categorical import Categorical, OneHotCategorical
from .discrete import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .gamma import Beta, Dirichlet, Gamma
from .independent import Independent
from .location_scale import Cauchy, Laplace
from .multivariate_normal import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    half_log_det,
    low_rank_mahalanobis,
    mahalanobis,
)
from .normal import HalfNormal, Normal
from .positive import Exponential
from .relaxed import ContinuousBernoulli
from .transformed_distribution import TransformedDistribution
from .utils import sum_last

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}
_found: dict[tuple[type, type], Callable[[Any, Any], Tensor] | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorator: this function of (p, q) is the divergence of such a pair, and of pairs of subclasses.

    Of several that fit, the one for the nearest classes is taken; a RuntimeWarning says where the nearest
    for p and the nearest for q are two.
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):  # packages register bases that are no Distribution themselves
            raise TypeError(f"register_kl: Expected {name} to be a Distribution subclass but got {kind}")

    def register(function: Any) -> Any:
        _KL_REGISTRY[type_p, type_q] = function
        _found.clear()
        return function

    return register


def _find(type_p: type, type_q: type) -> Callable[[Any, Any], Tensor] | None:
    above_p, above_q = type_p.__mro__, type_q.__mro__
    near = [
        (above_p.index(kind_p), above_q.index(kind_q))
        for kind_p, kind_q in _KL_REGISTRY
        if kind_p in above_p and kind_q in above_q
    ]
    if not near:
        return None
    by_p = min(near)
    by_q = min(near, key=lambda place: (place[1], place[0]))
    function = _KL_REGISTRY[above_p[by_p[0]], above_q[by_p[1]]]
    if function is not _KL_REGISTRY[above_p[by_q[0]], above_q[by_q[1]]]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
            f"register_kl({above_p[by_p[0]].__name__}, {above_q[by_q[1]].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return function


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The mean of log p(x) - log q(x) over draws of p, in nats, in the shape of the batch.

    NotImplementedError where no formula is registered for the two types.
    """
    key = type(p), type(q)
    if key not in _found:
        _found[key] = _find(*key)
    function = _found[key]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}; "
            f"register_kl adds one"
        )
    return function(p, q)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    yes = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    yes = moka.where(p.probs == 0, 0.0, moka.where(q.probs == 0, math.inf, yes))
    no = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    no = moka.where(p.probs == 1, 0.0, moka.where(q.probs == 1, math.inf, no))
    return yes + no


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if (p.total_count < q.total_count).any().item():
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    one = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return moka.where(p.total_count > q.total_count, math.inf, p.total_count * one)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = moka.where(q.probs == 0, math.inf, terms)
    return moka.where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Tensor:
    def constant(d: Any) -> Tensor:
        return d._log_normal() + (-d.probs).log1p()

    return p.mean * (p.logits - q.logits) + constant(p) - constant(q)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    def constant(a: Tensor) -> Tensor:
        return moka.lgamma(a.sum(-1)) - moka.lgamma(a).sum(-1)

    a, b = p.concentration, q.concentration
    means = moka.digamma(a) - moka.digamma(a.sum(-1, True))
    return constant(a) - constant(b) + ((a - b) * means).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p: Any, q: Any) -> Tensor:
    """Within one family: the Bregman divergence of the log-normalizer."""
    if type(p) is not type(q):
        raise NotImplementedError(
            f"The cross KL-divergence between different exponential families cannot be computed: "
            f"{type(p).__name__} and {type(q).__name__}"
        )
    with moka.enable_grad():
        own = [value.detach().requires_grad_() for value in p._natural_params]
        normalizer = p._log_normalizer(*own)
        slopes = moka.autograd.grad(normalizer.sum(), own, create_graph=True)
    other = q._natural_params
    result = q._log_normalizer(*other) - normalizer
    for a, b, slope in zip(own, other, slopes, strict=True):
        term = (b - a) * slope
        result = result - sum_last(term, term.dim() - result.dim())
    return result


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    shapes = moka.lgamma(b) - moka.lgamma(a) + (a - b) * moka.digamma(a)
    return b * (p.rate / q.rate).log() + shapes + (q.rate - p.rate) * (a / p.rate)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).square()
    shift = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (ratio + shift - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    far = (p.loc - q.loc).abs()
    return -ratio.log() + far / q.scale + ratio * (-far / p.scale).exp() - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    # Chyzak, Nielsen: A closed-form formula for the divergence between Cauchy distributions, 2019
    return ((p.scale + q.scale).square() + (p.loc - q.loc).square()).log() - (4 * p.scale * q.scale).log()


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


def _traced(q: Any, root: Tensor) -> Tensor:
    """trace(S_q^-1 X X^T) for X = root, [..., n, m]."""
    if isinstance(q, MultivariateNormal):
        solved = moka.linalg.solve_triangular(q._unbroadcasted_scale_tril, root, upper=False)
        return solved.square().sum((-2, -1))
    factor, diag = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag.unsqueeze(-1)
    inner = moka.linalg.solve_triangular(q._capacitance_tril, factor.mT @ (root / diag), upper=False)
    return (root.square() / diag).sum((-2, -1)) - inner.square().sum((-2, -1))


def _log_det(d: Any) -> Tensor:
    if isinstance(d, MultivariateNormal):
        return 2 * half_log_det(d._unbroadcasted_scale_tril)
    return d._log_det()


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot "
            f"be computed: {p.event_shape} and {q.event_shape}"
        )
    if isinstance(p, MultivariateNormal):
        trace = _traced(q, p._unbroadcasted_scale_tril)
    else:
        trace = _traced(q, p._unbroadcasted_cov_factor)
        trace = trace + _traced(q, p._unbroadcasted_cov_diag.sqrt().diag_embed())
    away = q.loc - p.loc
    if isinstance(q, MultivariateNormal):
        distance = mahalanobis(q._unbroadcasted_scale_tril, away)
    else:
        distance = low_rank_mahalanobis(
            q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, away, q._capacitance_tril
        )
    return 0.5 * (_log_det(q) - _log_det(p) + trace + distance - p.event_shape[0])


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("kl_divergence: the two have different transforms or event shapes")
    inside = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_last(kl_divergence(p.base_dist, q.base_dist), inside)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: the two have different numbers of event dimensions")
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
