"""Padding layers."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from moka._C import Tensor

from . import functional as F
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    rank: int
    mode: str
    value: float = 0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        pads = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        if len(pads) != 2 * self.rank:
            raise ValueError(
                f"{type(self).__name__}: padding must be an int or {2 * self.rank} ints, (before, "
                f"after) from "
                f"the last dimension on, got {padding}"
            )
        self.padding = pads

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    mode = "constant"


class _Reflection(_Pad):
    mode = "reflect"


class _Replication(_Pad):
    mode = "replicate"


class _Circular(_Pad):
    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """Pads the last dimension with a value."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two dimensions with a value."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three dimensions with a value."""

    rank = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last dimension with zeros."""

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two dimensions with zeros."""

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three dimensions with zeros."""

    rank = 3


class ReflectionPad1d(_Reflection):
    """Pads the last dimension with its reflection."""

    rank = 1


class ReflectionPad2d(_Reflection):
    """Pads the last two dimensions with their reflection."""

    rank = 2


class ReflectionPad3d(_Reflection):
    """Pads the last three dimensions with their reflection."""

    rank = 3


class ReplicationPad1d(_Replication):
    """Pads the last dimension with its outer elements."""

    rank = 1


class ReplicationPad2d(_Replication):
    """Pads the last two dimensions with their outer elements."""

    rank = 2


class ReplicationPad3d(_Replication):
    """Pads the last three dimensions with their outer elements."""

    rank = 3


class CircularPad1d(_Circular):
    """Pads the last dimension from its other end."""

    rank = 1


class CircularPad2d(_Circular):
    """Pads the last two dimensions from their other end."""

    rank = 2


class CircularPad3d(_Circular):
    """Pads the last three dimensions from their other end."""

    rank = 3
