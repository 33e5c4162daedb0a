"""What a tensor is: questions that torch asks as functions and as methods, and its complex types."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from types import ModuleType
from typing import Any

from . import _C
from ._C import Tensor

__all__ = ["adjoint", "is_conj", "is_neg", "is_nonzero", "is_same_size", "is_signed", "isreal"]
_UNSIGNED = {"bool", "uint8", "uint16", "uint32", "uint64"}


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    return input.mH


def isreal(input: Tensor) -> Tensor:
    """Where the imaginary part is zero: true for all real numbers."""
    return input.imag == 0 if input.is_complex() else _C.ones_like(input, dtype=_C.bool)


def is_signed(input: Tensor) -> bool:
    """Whether the element type has negative numbers."""
    return input.dtype.name not in _UNSIGNED


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return tuple(input.shape) == tuple(other.shape)


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero."""
    return bool(input)


def is_conj(input: Tensor) -> bool:
    """False: conjugates are numbers in memory, never marks."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: negatives are numbers in memory, never marks."""
    return False


def _cfloat(self: Tensor, memory_format: Any = None) -> Tensor:
    """The elements as complex64."""
    return self.to(_C.complex64, memory_format=memory_format)


def _chalf(self: Tensor, memory_format: Any = None) -> Tensor:
    """The elements as complex32."""
    return self.to(_C.complex32, memory_format=memory_format)


def _cdouble(self: Tensor, memory_format: Any = None) -> Tensor:
    """The elements as complex128."""
    return self.to(_C.complex128, memory_format=memory_format)


def install(module: ModuleType) -> None:
    """Add the functions to the module, and all of them to Tensor."""
    for name in __all__:
        setattr(module, name, globals()[name])
        setattr(Tensor, name, globals()[name])
    Tensor.cfloat = _cfloat
    Tensor.cdouble = _cdouble
    Tensor.chalf = _chalf
