"""torch._foreach_*: one operator over lists of tensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import moka
from moka._C import Tensor

__all__: list[str] = []

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 "
    "neg reciprocal "
    "round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
).split()
_BINARY = "add sub mul div pow".split()
_LIMITS = {"maximum": "maximum", "minimum": "minimum", "clamp_min": "maximum", "clamp_max": "minimum"}


def _spread(name: str, value: Any, count: int) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise RuntimeError(
            f"{name}: the lists must have the same number of tensors, but have {count} and {len(value)}"
        )
    return value


def _both(name: str, one: Callable[..., Tensor]) -> None:
    """Add _foreach_name and _foreach_name_, which calls `one` on the tensors of the lists in the same
    places.
    """

    def new(self: Sequence[Tensor], *others: Any, **options: Any) -> list[Tensor]:
        lists = [_spread(f"_foreach_{name}", other, len(self)) for other in others]
        return [one(*values, **options) for values in zip(self, *lists, strict=True)]

    def in_place(self: Sequence[Tensor], *others: Any, **options: Any) -> None:
        lists = [_spread(f"_foreach_{name}_", other, len(self)) for other in others]
        for target, *values in zip(self, *lists, strict=True):
            target.copy_(one(target, *values, **options))

    new.__name__, in_place.__name__ = f"_foreach_{name}", f"_foreach_{name}_"
    new.__doc__ = f"torch.{name} of every tensor."
    in_place.__doc__ = f"torch.{name} of every tensor, in place."
    globals()[new.__name__], globals()[in_place.__name__] = new, in_place


def _limit(name: str) -> Callable[..., Tensor]:
    two, least = getattr(moka, name), name == "maximum"
    return lambda tensor, other: (
        two(tensor, other)
        if isinstance(other, Tensor)
        else tensor.clamp(min=other)
        if least
        else tensor.clamp(max=other)
    )


for _name in _UNARY:
    _both(_name, getattr(moka, _name))
for _name in _BINARY:
    _both(_name, getattr(moka, _name))
for _name, _two in _LIMITS.items():
    _both(_name, _limit(_two))
_both("lerp", lambda tensor, end, weight: moka.lerp(tensor, end, weight))
_both("addcmul", lambda tensor, a, b, value=1: tensor + a * b * value)
_both("addcdiv", lambda tensor, a, b, value=1: tensor + a / b * value)


def _foreach_norm(self: Sequence[Tensor], ord: float = 2, dtype: Any = None) -> list[Tensor]:
    """The norm of every tensor."""
    return [moka.linalg.vector_norm(tensor, ord, dtype=dtype) for tensor in self]


def _foreach_zero_(self: Sequence[Tensor]) -> None:
    """Zeros in every tensor."""
    for tensor in self:
        tensor.zero_()


def _foreach_copy_(self: Sequence[Tensor], src: Sequence[Tensor], non_blocking: bool = False) -> None:
    """Copy every tensor of `src` into the one in its place."""
    for target, source in zip(self, src, strict=True):
        target.copy_(source)
