"""Distributions over choices: Bernoulli (yes or no) and Categorical (one of several)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from .distribution import Distribution, together

__all__ = ["Bernoulli", "Categorical"]


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: give probs or logits, and not both")


class Bernoulli(Distribution):
    """1 with probability probs, else 0; logits = log(probs / (1 - probs))."""

    arg_constraints = {"probs": "in 0 to 1"}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of("Bernoulli", probs, logits)
        if probs is not None:
            (self.probs,) = together(probs)
            tiny = 2.0**-23 if self.probs.dtype == _C.float32 else 2.0**-52
            inside = self.probs.clamp_min(tiny).clamp_max(1 - tiny)
            self.logits = inside.log() - (-inside).log1p()
        else:
            (self.logits,) = together(logits)
            self.probs = self.logits.sigmoid()
        super().__init__(self.probs.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more likely value."""
        return (self.probs >= 0.5).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            draws = _C.rand(self._extended(sample_shape), dtype=self.probs.dtype)
            return (draws < self.probs).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        # x t - log(1 + exp(x)), without overflow
        x = self.logits
        return x * value - x.clamp_min(0.0) - (-x.abs()).exp().log1p()

    def entropy(self) -> Tensor:
        x = self.logits
        return x.clamp_min(0.0) + (-x.abs()).exp().log1p() - x * self.probs


class Categorical(Distribution):
    """One of the classes 0, 1, ..., the last dimension of probs (made to sum to one) or logits."""

    arg_constraints = {"probs": "in 0 to 1"}

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Categorical", probs, logits)
        given = probs if logits is None else logits
        if given is None or given.dim() < 1:
            raise ValueError("Categorical: the parameter needs a dimension of classes")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
            tiny = 2.0**-23 if probs.dtype == _C.float32 else 2.0**-52
            self.logits = self.probs.clamp_min(tiny).clamp_max(1 - tiny).log()
        else:
            self.logits = _C.log_softmax(given, -1)
            self.probs = self.logits.exp()
        self._num_events = given.shape[-1]
        super().__init__(tuple(given.shape)[:-1], (), validate_args)

    @property
    def param_shape(self) -> Any:
        """Shape of probs and logits."""
        return self.probs.shape

    @property
    def mode(self) -> Tensor:
        """The most likely class."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            count = 1
            for size in sample_shape:
                count *= size
            rows = self.probs.detach().reshape(-1, self._num_events)
            draws = _C.multinomial(rows, count, True).t()
            return draws.reshape(self._extended(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        value = value.long()
        shape = (self.logits.narrow(-1, 0, 1).squeeze(-1) + value).shape
        index = value.expand(shape).unsqueeze(-1)
        return self.logits.expand((*shape, self._num_events)).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All classes, one after the other in a new first dimension."""
        values = _C.arange(0, self._num_events).reshape((-1, *([1] * len(self._batch_shape))))
        return values.expand((-1, *self._batch_shape)) if expand else values
