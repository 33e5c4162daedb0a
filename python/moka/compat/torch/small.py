"""Names of several small torch modules: torch.types, torch.autograd.variable, torch.nn.modules.utils."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import once_differentiable

__all__ = ["Device", "Number", "Variable", "once_differentiable"]

Number = int | float | bool
Device = Any
_size = Sequence[int]
_dtype = _C.dtype
_device = _C.device


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """The tensor itself, as since torch 0.4."""
    return data.requires_grad_(True) if requires_grad else data


def _ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    def spread(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, Iterable) else tuple(repeat(value, count))

    return spread


_single, _pair, _triple, _quadruple = (_ntuple(count) for count in (1, 2, 3, 4))
