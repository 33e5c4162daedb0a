"""What element types hold and which of two wins: finfo, iinfo, promote_types, result_type, can_cast."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from . import _C
from ._C import Tensor, dtype

__all__ = ["can_cast", "finfo", "iinfo", "promote_types", "result_type"]

# Bits of exponent and of mantissa.
_FLOATS = {
    "float64": (11, 52),
    "float32": (8, 23),
    "float16": (5, 10),
    "bfloat16": (8, 7),
}
# Eight-bit floats have no infinity, or other special codes: largest, smallest normal, smallest, eps.
_SMALL_FLOATS = {
    "float8_e4m3fn": (448.0, 2.0**-6, 2.0**-9, 2.0**-3),
    "float8_e4m3fnuz": (240.0, 2.0**-7, 2.0**-10, 2.0**-3),
    "float8_e5m2": (57344.0, 2.0**-14, 2.0**-16, 2.0**-2),
    "float8_e5m2fnuz": (57344.0, 2.0**-15, 2.0**-17, 2.0**-2),
}
_PARTS = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}


class finfo:
    """The limits of a floating type: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: dtype | None = None) -> None:
        name = (type if type is not None else _C.get_default_dtype()).name
        name = _PARTS.get(name, name)
        if name in _FLOATS:
            exponent, mantissa = _FLOATS[name]
            bias = 2 ** (exponent - 1) - 1
            self.bits = 1 + exponent + mantissa
            self.eps = 2.0**-mantissa
            self.max = (2.0 - self.eps) * 2.0**bias
            self.tiny = 2.0 ** (1 - bias)
            self.smallest_subnormal = 2.0 ** (1 - bias - mantissa)
        elif name in _SMALL_FLOATS:
            self.bits = 8
            self.max, self.tiny, self.smallest_subnormal, self.eps = _SMALL_FLOATS[name]
        else:
            raise TypeError(f"finfo: {name} is not a floating type; use iinfo for integers")
        self.min = -self.max
        self.smallest_normal = self.tiny
        digits = len(str(int(1 / self.eps))) - 1
        self.resolution = 10.0**-digits
        self.dtype = name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


class iinfo:
    """The limits of an integer type: bits, max, min."""

    def __init__(self, type: dtype) -> None:
        name = type.name
        if not name.startswith(("int", "uint")):
            raise TypeError(f"iinfo: {name} is not an integer type; use finfo for floating types")
        self.bits = int(name.removeprefix("u").removeprefix("int"))
        signed = name.startswith("int")
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -(2 ** (self.bits - 1)) if signed else 0
        self.dtype = name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that holds the values of both."""
    return _C._promote_types(type1, type2)


def _category(type: dtype) -> int:
    if type.name == "bool":
        return 0
    return 3 if type.is_complex else 2 if type.is_floating_point else 1


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The type of an operation on both: tensors with dimensions win over 0-d ones, and those over numbers,
    unless the other is of a higher kind (bool, integer, floating, complex).
    """
    ranked: dict[int, dtype] = {}
    for value in (tensor1, tensor2):
        if isinstance(value, Tensor):
            rank, own = (2 if value.dim() else 1), value.dtype
        elif isinstance(value, bool):
            rank, own = 0, _C.bool
        elif isinstance(value, int):
            rank, own = 0, _C.int64
        elif isinstance(value, float):
            rank, own = 0, _C.get_default_dtype()
        elif isinstance(value, complex):
            rank, own = 0, _C.complex128 if _C.get_default_dtype() == _C.float64 else _C.complex64
        else:
            raise TypeError(f"result_type: expected a Tensor or a number, got {type(value).__name__}")
        ranked[rank] = promote_types(ranked[rank], own) if rank in ranked else own
    result = None
    for rank in sorted(ranked, reverse=True):
        own = ranked[rank]
        if result is None or _category(own) > _category(result):
            result = own if result is None else promote_types(result, own)
            if rank == 0 and len(ranked) > 1 and own.is_floating_point:
                result = own
    assert result is not None
    return result


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether torch's casting rules allow the conversion: never to a lower kind."""
    return _category(from_) <= _category(to)
