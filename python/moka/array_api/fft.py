"""Fourier transforms of the standard."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moka
from moka import Tensor

_ONE = ("fft", "hfft", "ifft", "ihfft", "irfft", "rfft")
_MANY = ("fftn", "ifftn", "irfftn", "rfftn")

__all__ = [*_ONE, *_MANY, "fftfreq", "fftshift", "ifftshift", "rfftfreq"]


def _one(name: str) -> Callable[..., Tensor]:
    operator = getattr(moka.fft, name)

    def function(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
        return operator(x, n=n, dim=axis, norm=norm)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name} along one axis."
    return function


def _many(name: str) -> Callable[..., Tensor]:
    operator = getattr(moka.fft, name)

    def function(x: Tensor, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
        return operator(x, s=s, dim=axes, norm=norm)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name} over axes, all by default."
    return function


globals().update({name: _one(name) for name in _ONE})
globals().update({name: _many(name) for name in _MANY})


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the parts of fft."""
    return moka.fft.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the parts of rfft."""
    return moka.fft.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """The frequency 0 in the middle."""
    return moka.fft.fftshift(x, dim=axes)


def ifftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """fftshift taken back."""
    return moka.fft.ifftshift(x, dim=axes)
