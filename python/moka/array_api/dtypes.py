"""Types of the standard: kinds, promotion without regard to the number of dimensions, limits."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import builtins
from typing import Any, NamedTuple

import moka
from moka import Tensor

__all__ = ["astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]

_SIGNED = ("int8", "int16", "int32", "int64")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
KINDS = {
    "bool": ("bool",),
    "signed integer": _SIGNED,
    "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED,
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
    "numeric": (*_SIGNED, *_UNSIGNED, "float32", "float64", "complex64", "complex128"),
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a type is of a kind: a name of one, a type, or any of a tuple of them."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"isdtype: unknown kind {kind!r}; there are {', '.join(KINDS)}")
        return dtype.name in KINDS[kind]
    return dtype == kind


def promote(a: Any, b: Any) -> Any:
    """The type that two types promote to; TypeError where the standard has none."""
    if a == b:
        return a
    signed, unsigned = (a, b) if a.name in _SIGNED else (b, a)
    if signed.name in _SIGNED and unsigned.name in _UNSIGNED:
        bits = max(int(signed.name[3:]), 2 * int(unsigned.name[4:]))
        if bits > 64:
            raise TypeError(f"result_type: {a.name} and {b.name} promote to no integer type")
        return getattr(moka, f"int{bits}")
    if a.name in _UNSIGNED and b.name in _UNSIGNED:
        return a if int(a.name[4:]) > int(b.name[4:]) else b
    return moka.promote_types(a, b)


def _with_number(dtype: Any, value: Any) -> Any:
    """The type of a tensor with a Python number, which only its kind counts for."""
    if isinstance(value, builtins.bool) or isdtype(dtype, "complex floating"):
        return dtype
    if isinstance(value, int):
        return moka.int64 if dtype == moka.bool else dtype
    floating = dtype if not isdtype(dtype, ("bool", "integral")) else moka.get_default_dtype()
    if isinstance(value, complex):
        return moka.complex128 if floating == moka.float64 else moka.complex64
    return floating


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The type that tensors, types and Python numbers promote to; at least one is no number."""
    numbers = [v for v in arrays_and_dtypes if isinstance(v, (builtins.bool, int, float, complex))]
    others = [v for v in arrays_and_dtypes if not isinstance(v, (int, float, complex))]
    types = [v.dtype if isinstance(v, Tensor) else v for v in others]
    if not types:
        raise ValueError("result_type: at least one tensor or type is needed")
    result = types[0]
    for one in types[1:]:
        result = promote(result, one)
    for number in numbers:
        result = _with_number(result, number)
    return result


def together(*values: Any) -> list[Tensor]:
    """Tensors and numbers as tensors of one type, the one that they promote to."""
    dtype = result_type(*values)
    device = next(v.device for v in values if isinstance(v, Tensor))
    return [
        v.to(dtype) if isinstance(v, Tensor) else moka.tensor(v, dtype=dtype, device=device) for v in values
    ]


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another type, always new memory if `copy`."""
    return x.to(device or x.device, dtype, copy=copy)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a tensor or type promotes to a type by the standard's rules."""
    source = from_.dtype if isinstance(from_, Tensor) else from_
    try:
        return promote(source, to) == to
    except TypeError:
        return False


class FloatInfo(NamedTuple):
    """Limits of a floating type."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


class IntInfo(NamedTuple):
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: Any


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating type, of the parts of a complex one."""
    dtype = type.dtype if isinstance(type, Tensor) else type
    dtype = {"complex64": moka.float32, "complex128": moka.float64}.get(dtype.name, dtype)
    info = moka.finfo(dtype)
    return FloatInfo(info.bits, info.eps, info.max, info.min, info.tiny, dtype)


def iinfo(type: Any, /) -> IntInfo:
    """Limits of an integer type."""
    dtype = type.dtype if isinstance(type, Tensor) else type
    info = moka.iinfo(dtype)
    return IntInfo(info.bits, info.max, info.min, dtype)
