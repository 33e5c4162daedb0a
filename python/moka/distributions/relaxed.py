"""Continuous stand-ins for choices: relaxed Bernoulli and categorical, ContinuousBernoulli."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import moka
from moka import Tensor
from moka.nn.functional import binary_cross_entropy_with_logits, softplus

from . import constraints
from .categorical import Categorical
from .discrete import _Chance
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .transformed_distribution import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all, clamp_probs, fails, lazy_property, logits_to_probs

__all__ = [
    "ContinuousBernoulli",
    "ExpRelaxedCategorical",
    "LogitRelaxedBernoulli",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]


def _log(temperature: Any) -> Any:
    return temperature.log() if isinstance(temperature, Tensor) else math.log(temperature)


class LogitRelaxedBernoulli(_Chance):
    """The log-odds of a RelaxedBernoulli.

    Maddison, Mnih, Teh: The concrete distribution, 2017; Jang, Gu, Poole: Categorical reparameterization with
    Gumbel-softmax, 2017.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True
    _expands = {"temperature": None, "probs": 0, "logits": 0, "_param": 0}

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self.temperature = temperature
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        probs = clamp_probs(self.probs.expand(shape))
        noise = clamp_probs(moka.rand(shape, dtype=probs.dtype, device=probs.device))
        return (noise.log() - (-noise).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        away = logits - value * self.temperature
        return _log(self.temperature) + away - 2 * softplus(away)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that come closer to 0 or 1 the smaller the temperature is."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _expands: Any = {}
    base_dist: Any

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """How far from 0 and 1 the draws are."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Log-odds of 1."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """Probability of 1."""
        return self.base_dist.probs


class ExpRelaxedCategorical(Distribution):
    """The logarithm of a RelaxedOneHotCategorical."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True
    _expands = {"temperature": None, "_categorical": 1}

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        noise = clamp_probs(moka.rand(shape, dtype=self.logits.dtype, device=self.logits.device))
        return moka.log_softmax((self.logits - (-noise.log()).log()) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        count = self._event_shape[0]
        logits, value = broadcast_all(self.logits, value)
        score = moka.log_softmax(logits - value * self.temperature, -1).sum(-1)
        return score + (math.lgamma(count) + (count - 1) * _log(self.temperature))


class RelaxedOneHotCategorical(TransformedDistribution):
    """Shares of the classes, closer to all for one class the smaller the temperature is."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True
    _expands: Any = {}
    base_dist: Any

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """How far from one class the draws are."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self.base_dist.probs


class ContinuousBernoulli(_Chance, ExponentialFamily):
    """Density proportional to probs^x (1 - probs)^(1 - x) in [0, 1].

    Loaiza-Ganem, Cunningham: The continuous Bernoulli, 2019. Within `lims`, around 1 / 2, where the formulas
    are 0 / 0, series are used.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _expands = {"probs": 0, "logits": 0, "_param": 0, "_lims": None}

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._set(probs, logits)
        if probs is not None:
            # Checked before it is clamped, so that the check sees what came.
            checked = self._validate_args if validate_args is None else validate_args
            if checked and fails(self.arg_constraints["probs"].check(self.probs)):
                raise ValueError("ContinuousBernoulli: The parameter probs has invalid values")
            self.probs = self._param = clamp_probs(self.probs)
        self._lims = lims
        super().__init__(self._param.shape, validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _away(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where the formulas hold, probabilities at which they do, and the distance from 1 / 2."""
        away = (self.probs <= self._lims[0]) | (self.probs > self._lims[1])
        return away, moka.where(away, self.probs, self._lims[0]), self.probs - 0.5

    def _log_normal(self) -> Tensor:
        """log of 2 artanh(1 - 2 p) / (1 - 2 p)."""
        away, p, d = self._away()
        low = moka.where(p <= 0.5, p, 0.0)
        high = moka.where(p >= 0.5, p, 1.0)
        width = moka.where(p <= 0.5, (-2 * low).log1p(), (2 * high - 1).log())
        exact = ((-p).log1p() - p.log()).abs().log() - width
        square = d.square()
        series = math.log(2) + (4 / 3 + 104 / 45 * square) * square
        return moka.where(away, exact, series)

    @property
    def mean(self) -> Tensor:
        away, p, d = self._away()
        exact = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return moka.where(away, exact, 0.5 + (1 / 3 + 16 / 45 * d.square()) * d)

    @property
    def variance(self) -> Tensor:
        away, p, d = self._away()
        exact = p * (p - 1) / (1 - 2 * p).square() + 1 / ((-p).log1p() - p.log()).square()
        square = d.square()
        return moka.where(away, exact, 1 / 12 - (1 / 15 - 128 / 945 * square) * square)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        return self.icdf(moka.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return self._log_normal() - binary_cross_entropy_with_logits(logits, value, reduction="none")

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        away, p, _ = self._away()
        exact = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        inside = moka.where(away, exact, value)
        return moka.where(value <= 0, 0.0, moka.where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        away, p, _ = self._away()
        exact = ((value * (2 * p - 1) - p).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return moka.where(away, exact, value)

    def entropy(self) -> Tensor:
        fail, succeed = (-self.probs).log1p(), self.probs.log()
        return self.mean * (fail - succeed) - self._log_normal() - fail

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        """log((exp(x) - 1) / x), by its series around 0."""
        low, high = (math.log(limit / (1 - limit)) for limit in self._lims)
        away = (x <= low) | (x > high)
        cut = moka.where(away, x, low)
        exact = (cut.exp() - 1).abs().log() - cut.abs().log()
        return moka.where(away, exact, 0.5 * x + x.square() / 24 - x.square().square() / 2880)
