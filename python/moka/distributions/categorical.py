"""Distributions over classes: Categorical, OneHotCategorical, Multinomial."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import moka
from moka import Size, Tensor

from . import constraints
from .discrete import Binomial
from .distribution import Distribution
from .utils import lazy_property, logits_to_probs, one_of, probs_to_logits

__all__ = ["Categorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough"]


class Categorical(Distribution):
    """One of the classes 0, 1, ..., the last dimension of probs (made to sum to one) or logits."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _expands = {"probs": 1, "logits": 1, "_param": 1, "_num_events": None}

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        one_of("Categorical", probs, logits)
        if probs is not None:
            if probs.dim() < 1:
                raise ValueError("Categorical: `probs` parameter must be at least one-dimensional.")
            self.probs = self._param = probs / probs.sum(-1, keepdim=True)
        else:
            assert logits is not None
            if logits.dim() < 1:
                raise ValueError("Categorical: `logits` parameter must be at least one-dimensional.")
            self.logits = self._param = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = self._param.shape[-1]
        super().__init__(self._param.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self._param.shape

    def _no_number(self) -> Tensor:
        shape = tuple(self._extended_shape())
        return moka.full(shape, math.nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mean(self) -> Tensor:
        """Classes have no mean: not-a-number."""
        return self._no_number()

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return self._no_number()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            count = Size(sample_shape).numel()
            rows = self.probs.detach().reshape(-1, self._num_events)
            shape = tuple(self._extended_shape(sample_shape))
            if count == 0 or rows.shape[0] == 0:
                return moka.empty(shape, dtype=moka.int64, device=rows.device)
            return moka.multinomial(rows, count, True).t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index = value.long().unsqueeze(-1)
        index, logits = moka.broadcast_tensors(index, self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        # The smallest number stands for the logarithm of 0, so that 0 * log(0) is 0.
        logits = self.logits.clamp(min=moka.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(moka.arange(self._num_events, device=self._param.device), expand)


class OneHotCategorical(Distribution):
    """One of several classes as a vector that is 1 at the class and 0 elsewhere."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True
    _expands = {"_categorical": 1}

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        # The checks of the parameters are those of Categorical.
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(
            self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args
        )

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self._categorical.param_shape

    def _vector(self, index: Tensor) -> Tensor:
        return moka.nn.functional.one_hot(index, self._event_shape[0]).to(self.probs.dtype)

    @property
    def mean(self) -> Tensor:
        return self._categorical.probs

    @property
    def mode(self) -> Tensor:
        return self._vector(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self._categorical.probs * (1 - self._categorical.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._vector(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = moka.eye(self._event_shape[0], dtype=self._param.dtype, device=self._param.device)
        return self._enumerated(values, expand)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """OneHotCategorical whose draws pass gradients as if they were the probabilities.

    Bengio, Leonard, Courville: Estimating or propagating gradients through stochastic neurons, 2013.
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        probs = self._categorical.probs
        return self.sample(sample_shape) + (probs - probs.detach())


class Multinomial(Distribution):
    """How often each class came in total_count draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _expands = {"total_count": None, "_categorical": 1}
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("Multinomial: inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            if self.total_count > self._event_shape[0] and not moka._C._draws_as_torch():
                return self._class_after_class(shape)
            draws = self._categorical.sample((self.total_count, *Size(sample_shape)))
            draws = draws.movedim(0, -1)
            counts = self.probs.new_zeros(shape)
            return counts.scatter_add_(-1, draws, moka.ones_like(draws, dtype=counts.dtype))

    def _class_after_class(self, shape: Any) -> Tensor:
        """Of the draws that are left, each class takes a binomial number."""
        probs = self.probs.double()
        # What this class and the later ones have together
        rest = probs.flip(-1).cumsum(-1).flip(-1)
        share = moka.where(rest > 0, probs / rest, 1.0).clamp(max=1)
        share[..., -1] = 1
        share = share.expand(shape)
        left = moka.full(shape[:-1], float(self.total_count), dtype=moka.float64, device=probs.device)
        counts = []
        for index in range(shape[-1]):
            counts.append(moka._C.binomial(left, share[..., index]))
            left = left - counts[-1]
        return moka.stack(counts, -1).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = moka.broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0.0)
        ways = moka.lgamma(value.sum(-1) + 1) - moka.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = moka.tensor(float(self.total_count), dtype=self.probs.dtype, device=self.probs.device)
        # log n! is a constant; E log x! is a sum over the binomial number of every class.
        one = Binomial(total_count=self.total_count, probs=self.probs)
        counts = one.enumerate_support(expand=False)[1:]
        repeated = one.log_prob(counts).exp() * moka.lgamma(counts + 1)
        return n * self._categorical.entropy() - moka.lgamma(n + 1) + repeated.sum([0, -1])
