"""TransformedDistribution: draws of a distribution after transforms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka import Size, Tensor

from . import constraints
from .distribution import Distribution
from .independent import Independent
from .transforms import ComposeTransform, Transform
from .utils import sum_last

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """y = t(x) of a draw x: log p(y) = log p_base(x) - log |det dy/dx|.

    Args:
        transforms: one transform or a list of them, applied in this order.
    """

    arg_constraints: Any = {}
    _expands: Any = {}

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(
            isinstance(t, Transform) for t in self.transforms
        ):
            raise ValueError(
                f"TransformedDistribution: transforms must be a Transform or list, but is {transforms}"
            )
        base = base_distribution
        shape = Size((*base.batch_shape, *base.event_shape))
        own = len(base.event_shape)
        whole = ComposeTransform(self.transforms)
        if len(shape) < whole.domain.event_dim:
            raise ValueError(
                f"TransformedDistribution: base_distribution needs to have shape with size at least "
                f"{whole.domain.event_dim}, but got {shape}."
            )
        image = whole.forward_shape(shape)
        wide = Size(whole.inverse_shape(image))
        if wide != shape:  # parameters of the transforms have a larger batch
            base = base.expand(wide[: len(wide) - own])
        if whole.domain.event_dim > own:
            base = Independent(base, whole.domain.event_dim - own)
        self.base_dist = base
        event = max(
            whole.codomain.event_dim, own + whole.codomain.event_dim - whole.domain.event_dim
        )
        split = len(image) - event
        super().__init__(image[:split], image[split:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with a larger batch."""
        owner = next(kind for kind in type(self).__mro__ if "_expands" in kind.__dict__)
        new = self._get_checked_instance(owner, _instance)
        shape: Any = Size((*batch_shape, *self._event_shape))
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        new.base_dist = self.base_dist.expand(Size(shape[: len(shape) - len(self.base_dist.event_shape)]))
        new.transforms = self.transforms
        self._expand_attributes(new, owner, Size(batch_shape))
        return self._finish(new, batch_shape, self._event_shape)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        extra = len(self._event_shape) - support.event_dim
        return constraints.independent(support, extra) if extra > 0 else support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws pass gradients."""
        return self.base_dist.has_rsample

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, value: Tensor) -> Tensor:
        for transform in self.transforms:
            value = transform(value)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        event_dim = len(self._event_shape)
        stretch: Any = 0.0
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            term = transform.log_abs_det_jacobian(before, value)
            stretch = stretch + sum_last(term, event_dim - transform.domain.event_dim)
            value = before
        base = self.base_dist.log_prob(value)
        return sum_last(base, event_dim - len(self.base_dist.event_shape)) - stretch

    def _rising(self, share: Tensor) -> Tensor:
        """1 - share where the transforms turn the order around."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return share
        return sign * (share - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._rising(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._rising(value)))
