"""Functions of one element at a time: operators after the standard's promotion."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moka
from moka import Tensor

from .dtypes import isdtype, together

# name here: the operator's name
_UNARY = {
    **{name: name for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp")},
    **{name: name for name in ("expm1", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2")},
    **{name: name for name in ("logical_not", "reciprocal", "signbit", "sin", "sinh", "sqrt", "tan", "tanh")},
    "abs": "abs",
    "bitwise_invert": "bitwise_not",
    "negative": "neg",
    "square": "square",
}
_BINARY = {
    **{name: name for name in ("add", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "copysign")},
    **{name: name for name in ("floor_divide", "hypot", "logaddexp", "logical_and", "logical_or")},
    **{name: name for name in ("logical_xor", "maximum", "minimum", "nextafter", "pow", "remainder")},
    "bitwise_left_shift": "bitwise_left_shift",
    "bitwise_right_shift": "bitwise_right_shift",
    "divide": "div",
    "equal": "eq",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "not_equal": "ne",
    "subtract": "sub",
}
_ROUNDING = ("ceil", "floor", "round", "trunc")

__all__ = [
    *_UNARY,
    *_BINARY,
    *_ROUNDING,
    *("clip", "conj", "imag", "positive", "real", "sign"),
]


def _unary(name: str, operator: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def function(x: Tensor, /) -> Tensor:
        return operator(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name} of every element."
    return function


def _binary(name: str, operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def function(x1: Any, x2: Any, /) -> Tensor:
        return operator(*together(x1, x2))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name} of pairs of elements; one of the two may be a number."
    return function


def _rounding(name: str, operator: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def function(x: Tensor, /) -> Tensor:
        if x.is_complex():
            return moka.complex(operator(x.real), operator(x.imag))
        return x.clone() if isdtype(x.dtype, "integral") else operator(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name} of every element; integers stay as they are."
    return function


globals().update({name: _unary(name, getattr(moka, op)) for name, op in _UNARY.items()})
globals().update({name: _binary(name, getattr(moka, op)) for name, op in _BINARY.items()})
globals().update({name: _rounding(name, getattr(moka, name)) for name in _ROUNDING})


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """x within [min, max], in the type of x; the bounds may be numbers or tensors."""
    result = x.clone()
    for bound, limit in ((min, moka.maximum), (max, moka.minimum)):
        if bound is not None:
            if not isinstance(bound, Tensor):
                bound = moka.tensor(bound, dtype=x.dtype, device=x.device)
            result = limit(result, bound.to(x.dtype))
    return result


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate."""
    return moka.conj(x).resolve_conj() if x.is_complex() else x.clone()


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part, zero for real numbers."""
    return moka.imag(x).clone() if x.is_complex() else moka.zeros_like(x)


def positive(x: Tensor, /) -> Tensor:
    """A copy."""
    return x.clone()


def real(x: Tensor, /) -> Tensor:
    """The real part."""
    return moka.real(x).clone() if x.is_complex() else x.clone()


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1, not-a-number for itself; x / |x| of complex numbers."""
    if x.is_complex():
        return moka.sgn(x)
    signs = moka.sign(x)
    return moka.where(moka.isnan(x), x, signs) if isdtype(x.dtype, "real floating") else signs
