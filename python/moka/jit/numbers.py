"""Sizes inside a recording: ints that know which value of the graph they are."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .. import _C

__all__ = ["SizeNumber"]


class SizeNumber(int):
    """A size of a tensor, or a number computed from sizes, while a program is recorded.

    It is the int that it is. What +, -, *, // and % make of it is a computation of the graph too, and every
    comparison is kept as a condition under which the graph is right. Other operations give plain numbers.
    """

    value: Any

    def __new__(cls, number: int, value: Any = None) -> SizeNumber:
        self = super().__new__(cls, number)
        self.value = value
        return self

    __hash__ = int.__hash__

    def __bool__(self) -> bool:
        return self != 0

    def __neg__(self) -> int:
        return 0 - self

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


def _computing(name: str, function: Callable[[int, int], int], turned: bool) -> Callable[..., Any]:
    def method(self: SizeNumber, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        a, b = (other, self) if turned else (self, other)
        result = function(int(a), int(b))
        value = _C._compute_size(name, a, b, result)
        return result if value is None else SizeNumber(result, value)

    return method


def _asking(name: str, function: Callable[[int, int], bool]) -> Callable[..., Any]:
    def method(self: SizeNumber, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        result = function(int(self), int(other))
        _C._answer_size(name, self, other, result)
        return result

    return method


for _name, _function in (
    ("add", operator.add),
    ("sub", operator.sub),
    ("mul", operator.mul),
    ("floordiv", operator.floordiv),
    ("mod", operator.mod),
):
    setattr(SizeNumber, f"__{_name}__", _computing(_name, _function, turned=False))
    setattr(SizeNumber, f"__r{_name}__", _computing(_name, _function, turned=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(SizeNumber, f"__{_name}__", _asking(_name, getattr(operator, _name)))
_C._set_size_number(SizeNumber)
