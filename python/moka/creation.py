"""Call forms of torch that one schema cannot say: arange(end), randint(high, size)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _C
from ._C import Tensor

__all__ = ["arange", "randint"]

Number = int | float


def arange(
    start: Number,
    end: Number | None = None,
    step: Number = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    out: Tensor | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; `arange(end)` starts at 0. int64, unless a float is among them."""
    if end is None:
        start, end = 0, start
    values = _C.arange(start, end, step, dtype=dtype if out is None else out.dtype, device=device)
    if out is not None:
        return (out if out.shape == values.shape else out.resize_(values.shape)).copy_(values)
    return values.requires_grad_() if requires_grad else values


def randint(
    low: int,
    high: int | Sequence[int],
    size: Sequence[int] | None = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    out: Tensor | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low to high - 1, drawn alike; `randint(high, size)` starts at 0."""
    if size is None:
        if isinstance(high, int):
            raise TypeError(
                "randint: give the size as a tuple: randint(high, (2, 3)) or randint(low, high, (2, 3))"
            )
        low, high, size = 0, low, high
    if out is not None:
        return _C.randint(low, high, tuple(size), generator=generator, dtype=out.dtype, out=out)
    values = _C.randint(low, high, tuple(size), generator=generator, dtype=dtype, device=device)
    return values.requires_grad_() if requires_grad else values
