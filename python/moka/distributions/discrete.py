"""Distributions over whole numbers: Bernoulli, Geometric, Binomial, NegativeBinomial, Poisson."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import moka
from moka import Tensor
from moka.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from . import constraints
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .gamma import Gamma
from .utils import broadcast_all, fails, lazy_property, logits_to_probs, one_of, probs_to_logits

__all__ = ["Bernoulli", "Binomial", "Geometric", "NegativeBinomial", "Poisson"]


class _Chance(Distribution):
    """With a probability, given as such (probs) or as log-odds (logits = log(probs / (1 - probs)))."""

    _param: Tensor

    def _set(self, probs: Any, logits: Any) -> None:
        """Keep the one that was given; the other is computed when it is first asked for."""
        given = one_of(type(self).__name__, probs, logits)
        (self._param,) = broadcast_all(probs if given else logits)
        self.__dict__["probs" if given else "logits"] = self._param

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self._param.shape


class Bernoulli(_Chance, ExponentialFamily):
    """1 with probability probs, else 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0
    _expands = {"probs": 0, "logits": 0, "_param": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more likely value, not-a-number where both are alike."""
        return moka.where(self.probs == 0.5, math.nan, (self.probs >= 0.5).to(self.probs.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            return moka.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = moka.arange(2, dtype=self._param.dtype, device=self._param.device)
        return self._enumerated(values, expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return moka.nn.functional.softplus(x)


class Geometric(_Chance):
    """How often a trial of probability probs fails before it succeeds."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    _expands = {"probs": 0, "logits": 0, "_param": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and fails(self.probs > 0):
            raise ValueError(
                f"Expected parameter probs (Tensor of shape {tuple(self.probs.shape)}) of distribution "
                f"{self!r} to be positive but found invalid values:\n{self.probs}"
            )

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return moka.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            draws = moka.empty(shape, dtype=self.probs.dtype, device=self.probs.device)
            draws.uniform_(moka.finfo(draws.dtype).tiny, 1)
            return (draws.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        # Certain success leaves 0 * log(0) for no failures.
        failing = moka.where((probs == 1) & (value == 0), 0.0, probs)
        return value * (-failing).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


def _softplus_exact(x: Tensor) -> Tensor:
    """log(1 + exp(x)) without overflow, whose gradient at 0 is 1 / 2."""
    positive = (x.clamp(min=0) + x - x.clamp(max=0)) / 2
    return positive + (-x.abs()).exp().log1p()


class Binomial(_Chance):
    """How many of total_count trials of probability probs succeed."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True
    _expands = {"total_count": 0, "probs": 0, "logits": 0, "_param": 0}

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        given = one_of("Binomial", probs, logits)
        self.total_count, self._param = broadcast_all(total_count, probs if given else logits)
        self.total_count = self.total_count.to(self._param.dtype)
        self.__dict__["probs" if given else "logits"] = self._param
        super().__init__(self._param.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return moka.minimum(((self.total_count + 1) * self.probs).floor(), self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            shape = self._extended_shape(sample_shape)
            return moka._C.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        ways = moka.lgamma(n + 1) - moka.lgamma(value + 1) - moka.lgamma(n - value + 1)
        return ways + value * self.logits - n * _softplus_exact(self.logits)

    def _count(self, what: str) -> int:
        most = int(self.total_count.max().item())
        if self.total_count.min().item() != most:
            raise NotImplementedError(f"Binomial: Inhomogeneous total count not supported by `{what}`.")
        return most

    def entropy(self) -> Tensor:
        self._count("entropy")
        log = self.log_prob(self.enumerate_support(False))
        return -(log.exp() * log).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = self._count("enumerate_support")
        values = moka.arange(count + 1, dtype=self._param.dtype, device=self._param.device)
        return self._enumerated(values, expand)


class NegativeBinomial(_Chance):
    """How many trials of probability probs succeed before total_count of them failed."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _expands = {"total_count": 0, "probs": 0, "logits": 0, "_param": 0}

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        given = one_of("NegativeBinomial", probs, logits)
        self.total_count, self._param = broadcast_all(total_count, probs if given else logits)
        self.total_count = self.total_count.to(self._param.dtype)
        self.__dict__["probs" if given else "logits"] = self._param
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / moka.sigmoid(-self.logits)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():  # a Poisson number whose rate is a gamma number
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return moka.poisson(rates.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        ways = moka.lgamma(n + value) - moka.lgamma(1 + value) - moka.lgamma(n)
        ways = ways.masked_fill(n + value == 0, 0.0)
        return n * logsigmoid(-self.logits) + value * logsigmoid(self.logits) + ways


class Poisson(ExponentialFamily):
    """How many events of the given rate happen: probability rate^k exp(-rate) / k!."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    _expands = {"rate": 0}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            return moka.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return moka.xlogy(value, rate) - rate - moka.lgamma(value + 1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, x: Any) -> Tensor:
        return x.exp()
