"""Windows with torch.signal.windows' names: weights that fall off towards the ends of a frame."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C
from .._C import Tensor

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _window(name: str, M: int, formula: Callable[[Tensor], Tensor], options: dict[str, Any]) -> Tensor:
    """formula(x) at the M places x = 0, 1, ..."""
    requires_grad = options.pop("requires_grad", False)
    options.pop("layout", None)
    dtype, device = options.pop("dtype", None) or _C.get_default_dtype(), options.pop("device", None)
    if options:
        raise TypeError(f"{name}(): got an unexpected keyword argument {next(iter(options))!r}")
    if not dtype.is_floating_point or dtype not in (_C.float32, _C.float64):
        raise ValueError(f"{name}: expects float32 or float64 dtypes, got: {dtype}")
    if M < 0:
        raise ValueError(f"{name}: requires non-negative window length, got M={M}")
    if M <= 1:
        values = _C.ones((M,), dtype=dtype, device=device)
    else:
        values = formula(_C.arange(0, M, 1, dtype=_C.float64, device=device)).to(dtype)
    return values.requires_grad_(requires_grad)


def _last(M: int, sym: bool) -> int:
    return max(M - 1 if sym else M, 1)


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """a[0] - a[1] cos(x) + a[2] cos(2 x) - ..., x from 0 to 2 pi."""
    weights = list(a)
    if not weights:
        raise ValueError("general_cosine: Coefficients cannot be empty")

    def formula(places: Tensor) -> Tensor:
        x = places * (2 * math.pi / _last(M, sym))
        terms = [_C.cos(x * k) * (w if k % 2 == 0 else -w) for k, w in enumerate(weights)]
        return _C.stack(terms).sum(0)

    return _window("general_cosine", M, formula, options)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """alpha - (1 - alpha) cos(x)."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.54 - 0.46 cos(x)."""
    return general_hamming(M, sym=sym, **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.5 - 0.5 cos(x)."""
    return general_hamming(M, alpha=0.5, sym=sym, **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.42 - 0.5 cos(x) + 0.08 cos(2 x)."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's four terms of lowest side lobes."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, **options)


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """A triangle."""
    return _window("bartlett", M, lambda x: 1 - (x * (2 / _last(M, sym)) - 1).abs(), options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Half a sine."""
    return _window("cosine", M, lambda x: _C.sin((x + 0.5) * (math.pi / (M if sym else M + 1))), options)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(-|x - center| / tau)."""
    if tau <= 0:
        raise ValueError(f"exponential: Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("exponential: Center must be None for symmetric windows")
    middle = _last(M, sym) / 2 if center is None else center
    return _window("exponential", M, lambda x: _C.exp((x - middle).abs() * (-1 / tau)), options)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(-((x - middle) / std)^2 / 2)."""
    if std <= 0:
        raise ValueError(f"gaussian: Standard deviation must be positive, got: {std} instead.")
    middle = _last(M, sym) / 2
    return _window("gaussian", M, lambda x: _C.exp(_C.square((x - middle) / std) * -0.5), options)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window, of a modified Bessel function."""
    if beta < 0:
        raise ValueError(f"kaiser: beta must be non-negative, got: {beta} instead.")
    window = lambda x: _C.kaiser_window(M, not sym, beta, dtype=_C.float64)
    return _window("kaiser", M, window, options)
