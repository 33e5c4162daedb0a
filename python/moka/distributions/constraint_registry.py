"""Which transform leads from all real numbers to a constraint: transform_to and, one to one, biject_to."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

from . import constraints
from .transforms import (
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StackTransform,
    StickBreakingTransform,
    Transform,
    identity_transform,
)

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """Transforms by the type of a constraint.

    >>> scale = transform_to(Normal.arg_constraints["scale"])(moka.zeros(2))  # positive
    """

    def __init__(self) -> None:
        self._registry: dict[type, Callable[[Any], Transform]] = {}

    def register(self, constraint: Any, factory: Any = None) -> Any:
        """Give a constraint's type a function that makes the transform; a decorator without `factory`."""
        if factory is None:
            return lambda function: self.register(constraint, function)
        kind = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, constraints.Constraint):
            raise TypeError(
                f"register: Expected constraint to be either a Constraint subclass or instance, but got "
                f"{constraint!r}"
            )
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Transform:
        """The transform from real numbers; NotImplementedError where none is registered."""
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _register(kinds: list[Any], factory: Callable[[Any], Transform], *registries: Any) -> None:
    for kind in kinds:
        for registry in registries or (biject_to, transform_to):
            registry.register(kind, factory)


def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, Number) and isinstance(high, Number) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


def _from_exp(bound: str, direction: int) -> Callable[[Any], Transform]:
    return lambda c: ComposeTransform([ExpTransform(), AffineTransform(getattr(c, bound), direction)])


_register([constraints.real], lambda c: identity_transform)
_register([constraints.greater_than, constraints.greater_than_eq], _from_exp("lower_bound", 1))
_register([constraints.less_than], _from_exp("upper_bound", -1))
_register([constraints.interval, constraints.half_open_interval], _between)
_register([constraints.simplex], lambda c: StickBreakingTransform(), biject_to)
_register([constraints.simplex], lambda c: SoftmaxTransform(), transform_to)
_register([constraints.lower_cholesky], lambda c: LowerCholeskyTransform(), transform_to)
_register(
    [constraints.positive_definite, constraints.positive_semidefinite],
    lambda c: PositiveDefiniteTransform(),
    transform_to,
)
_register([constraints.corr_cholesky], lambda c: CorrCholeskyTransform())
for _registry in (biject_to, transform_to):
    _register(
        [constraints.independent],
        lambda c, to=_registry: IndependentTransform(to(c.base_constraint), c.reinterpreted_batch_ndims),
        _registry,
    )
    _register(
        [constraints.cat],
        lambda c, to=_registry: CatTransform([to(part) for part in c.cseq], c.dim, c.lengths),
        _registry,
    )
    _register(
        [constraints.stack],
        lambda c, to=_registry: StackTransform([to(part) for part in c.cseq], c.dim),
        _registry,
    )
