"""MixtureSameFamily: draws of one of several distributions of the same kind."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka import Size, Tensor

from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """The last batch dimension of component_distribution are the components; a Categorical chooses one.

    >>> MixtureSameFamily(Categorical(moka.ones(5)), Normal(moka.randn(5), moka.rand(5)))
    """

    arg_constraints: Any = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        name = "MixtureSameFamily"
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                f"{name}: The Mixture distribution needs to be an instance of Categorical, but is "
                f"{type(mixture_distribution).__name__}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                f"{name}: The Component distribution need to be an instance of Distribution, but is "
                f"{type(component_distribution).__name__}"
            )
        chosen, batch = mixture_distribution.batch_shape, component_distribution.batch_shape
        for a, b in zip(reversed(chosen), reversed(batch[:-1])):  # noqa: B905
            if a != b and 1 not in (a, b):
                raise ValueError(
                    f"{name}: `mixture_distribution.batch_shape` ({chosen}) is not compatible with "
                    f"`component_distribution.batch_shape` ({batch[:-1]})"
                )
        count = mixture_distribution.param_shape[-1]
        if tuple(batch[-1:]) != (count,):
            raise ValueError(
                f"{name}: `mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({list(batch)})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with a larger batch."""
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        new._component_distribution = self._component_distribution.expand(
            Size((*batch_shape, self._num_component))
        )
        new._mixture_distribution = self._mixture_distribution.expand(Size(batch_shape))
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        return self._finish(new, batch_shape, self._event_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _shares(self) -> Tensor:
        """Probabilities of the components, with dimensions for the event."""
        probs = self._mixture_distribution.probs
        return probs.reshape((*probs.shape, *(1,) * self._event_ndims))

    def _over_components(self, values: Tensor) -> Tensor:
        return values.sum(-1 - self._event_ndims)

    def _for_each(self, value: Tensor) -> Tensor:
        return value.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._over_components(self._shares() * self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means."""
        away = self._component_distribution.mean - self._for_each(self.mean)
        return self._over_components(
            self._shares() * (self._component_distribution.variance + away.square())
        )

    def cdf(self, x: Tensor) -> Tensor:
        shares = self._component_distribution.cdf(self._for_each(x))
        return (shares * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(x)
        log = self._component_distribution.log_prob(self._for_each(x))
        return (log + moka.log_softmax(self._mixture_distribution.logits, -1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            sample_shape = Size(sample_shape)
            choice = self._mixture_distribution.sample(sample_shape)
            draws = self._component_distribution.sample(sample_shape)
            dim = len(sample_shape) + len(self._batch_shape)
            index = choice.reshape((*choice.shape, *(1,) * (1 + self._event_ndims)))
            index = index.expand((*draws.shape[:dim], 1, *self._event_shape))
            return draws.gather(dim, index).squeeze(dim)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
