"""Distribution, the base of all: shapes, checks of parameters and values, larger batches."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import moka
from moka import Size, Tensor

from . import constraints
from .utils import fails, lazy_property

__all__ = ["Distribution"]


class Distribution:
    """A batch of distributions: `batch_shape` of them, each over values of `event_shape`.

    Args:
        validate_args: whether parameters and values are checked; by default they are, unless Python runs
            with -O or set_default_validate_args says otherwise.
    """

    has_rsample: Any = False
    has_enumerate_support = False
    _validate_args = __debug__
    # What `expand` does with an attribute: tensors keep this many last dimensions and get the new batch
    # shape before them, distributions are expanded, and None stands for: the same object.
    _expands: ClassVar[dict[str, int | None]] = {}

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked where validate_args is not given."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expected True or False, but got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()  # a further base class may be a Module

    def _check_parameters(self) -> None:
        try:
            rules = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`: set `arg_constraints = {{}}`, or pass "
                f"`validate_args=False` to check nothing",
                stacklevel=3,
            )
            return
        for name, rule in rules.items():
            if constraints.is_dependent(rule):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property):
                continue  # computed from another parameter
            value = getattr(self, name)
            if fails(rule.check(value)):
                raise ValueError(
                    f"Expected parameter {name} ({_described(value)}) of distribution {self!r} to satisfy "
                    f"the constraint {rule!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with a larger batch; parameters are expanded, not copied.

        Subclasses with parameters of their own call it with the new instance, or name them in `_expands`.
        """
        owner = next((kind for kind in type(self).__mro__ if "_expands" in kind.__dict__), Distribution)
        if owner is Distribution:
            raise NotImplementedError(f"{type(self).__name__} has no expand")
        new = self._get_checked_instance(owner, _instance)
        self._expand_attributes(new, owner, Size(batch_shape))
        return self._finish(new, batch_shape, self._event_shape)

    def _expand_attributes(self, new: Any, owner: type, batch_shape: Any) -> None:
        for name, own in owner._expands.items():  # type: ignore[attr-defined]
            value = self.__dict__.get(name)
            if isinstance(value, Tensor) and own is not None:
                value = value.expand((*batch_shape, *value.shape[value.dim() - own :]))
            elif isinstance(value, Distribution):
                value = value.expand(batch_shape)
            if name in self.__dict__:
                new.__dict__[name] = value

    def _finish(self, new: Any, batch_shape: Any, event_shape: Any) -> Any:
        """The new instance with its shapes, checked as this one is."""
        Distribution.__init__(new, batch_shape, event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is not None:
            return _instance
        if type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method "
                f"must also define a custom .expand() method."
            )
        return type(self).__new__(type(self))

    @property
    def batch_shape(self) -> Any:
        """Shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """Shape of one value."""
        return self._event_shape

    @property
    def arg_constraints(self) -> Any:
        """Names of parameters and the constraints that they satisfy."""
        raise NotImplementedError(f"{type(self).__name__} has no arg_constraints")

    @property
    def support(self) -> Any:
        """The constraint that values satisfy."""
        raise NotImplementedError(f"{type(self).__name__} has no support")

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of shape sample_shape + batch_shape + event_shape, constants to gradients."""
        with moka.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws that pass gradients to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} cannot pass gradients through its draws")

    def sample_n(self, n: int) -> Tensor:
        """The same as sample((n,)), under its older name."""
        warnings.warn("`sample_n(n)` is deprecated: use `sample((n,))`", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density (or probability) at `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value below which this share lies."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension.

        The other batch dimensions have size 1 if `expand` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} has no enumerate_support")

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        """Shape of draws: sample_shape + batch_shape + event_shape."""
        return Size((*Size(sample_shape), *self._batch_shape, *self._event_shape))

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        """Values [n] (or [n, event]) along a first dimension before the batch's."""
        ones = (1,) * len(self._batch_shape)
        values = values.reshape((values.shape[0], *ones, *values.shape[1:]))
        return values.expand((-1, *self._batch_shape, *self._event_shape)) if expand else values

    def _validate_sample(self, value: Any) -> None:
        """ValueError unless `value` has the event's shape, fits the batch and lies in the support."""
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{type(self).__name__}: The value argument to log_prob must be a Tensor, but is "
                f"{type(value).__name__}"
            )
        event = len(self._event_shape)
        if tuple(value.shape[value.dim() - event :]) != tuple(self._event_shape) or value.dim() < event:
            raise ValueError(
                f"{type(self).__name__}: The right-most size of value must match event_shape: "
                f"{value.shape} vs {self._event_shape}."
            )
        expected = Size((*self._batch_shape, *self._event_shape))
        for come, wanted in zip(reversed(value.shape), reversed(expected)):  # noqa: B905
            if come != wanted and 1 not in (come, wanted):
                raise ValueError(
                    f"{type(self).__name__}: Value is not broadcastable with batch_shape+event_shape: "
                    f"{value.shape} vs {expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support`: pass `validate_args=False` to check no values",
                stacklevel=3,
            )
            return
        assert support is not None
        if fails(support.check(value)):
            raise ValueError(
                f"Expected value argument ({_described(value)}) to be within the support ({support!r}) of "
                f"the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        parts = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if value is not None:
                parts.append(f"{name}: {value if value.numel() == 1 else value.shape}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _described(value: Any) -> str:
    return f"{type(value).__name__} of shape {tuple(value.shape)}"
