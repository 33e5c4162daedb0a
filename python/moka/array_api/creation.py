"""New tensors in the standard's forms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import builtins
from typing import Any

import moka
from moka import Tensor

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def _sizes(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... below stop; from 0 to start where stop is not given."""
    if stop is None:
        start, stop = 0, start
    if (step > 0 and start >= stop) or (step < 0 and start <= stop):
        whole = all(isinstance(v, int) for v in (start, stop, step))
        natural = moka.int64 if whole else moka.get_default_dtype()
        return moka.empty(0, dtype=dtype or natural, device=device)
    return moka.arange(start, stop, step, dtype=dtype, device=device)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor with this data; ValueError if `copy` is False and the data cannot be shared."""
    if isinstance(obj, Tensor):
        moves = (dtype is not None and dtype != obj.dtype) or (
            device is not None and moka.device(device) != obj.device
        )
        if copy is False and moves:
            raise ValueError("asarray: copy=False, but another type or device needs a copy")
        result = obj.to(device or obj.device, dtype or obj.dtype)
        return result.clone() if copy and not moves else result
    if copy is False and not (hasattr(obj, "__dlpack__") or hasattr(obj, "__array_interface__")):
        raise ValueError(f"asarray: copy=False, but {type(obj).__name__} cannot share its memory")
    if copy is not True and hasattr(obj, "__array_interface__") and dtype is None:
        return moka.as_tensor(obj, device=device)
    if isinstance(obj, (builtins.bool, int)) and not isinstance(obj, builtins.bool) and dtype is None:
        if not -(2**63) <= obj < 2**63:
            return moka.tensor(obj, dtype=moka.uint64, device=device)
    return moka.tensor(obj, dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Memory as it is found."""
    return moka.empty(_sizes(shape), dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Memory as it is found, in the shape of x."""
    return moka.empty_like(x, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    n_cols = n_rows if n_cols is None else n_cols
    result = moka.zeros((n_rows, n_cols), dtype=dtype, device=device)
    if -n_rows < k < n_cols:
        result.diagonal(k).fill_(1)
    return result


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of any object with __dlpack__."""
    result = moka.from_dlpack(x)
    if device is not None and moka.device(device) != result.device:
        if copy is False:
            raise ValueError("from_dlpack: copy=False, but another device needs a copy")
        return result.to(device)
    return result.clone() if copy else result


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One value everywhere."""
    return moka.full(_sizes(shape), fill_value, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One value everywhere, in the shape of x."""
    return moka.full_like(x, fill_value, dtype=dtype, device=device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """num values at equal distances from start to stop, which is left out without `endpoint`."""
    if isinstance(start, complex) or isinstance(stop, complex):
        parts = [
            linspace(getattr(complex(start), part), getattr(complex(stop), part), num, endpoint=endpoint)
            for part in ("real", "imag")
        ]
        result = moka.complex(*parts).to(device) if device is not None else moka.complex(*parts)
        return result if dtype is None else result.to(dtype)
    wide = None if dtype is None or not dtype.is_floating_point else dtype
    if endpoint:
        values = moka.linspace(start, stop, num, dtype=wide, device=device)
    else:
        values = moka.linspace(start, stop, num + 1, dtype=wide, device=device)[:-1]
    return values.to(dtype or moka.get_default_dtype())


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of a grid: one tensor for each axis."""
    if len(arrays) < 2:
        return arrays
    return tuple(moka.meshgrid(*arrays, indexing=indexing))


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones."""
    return moka.ones(_sizes(shape), dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones in the shape of x."""
    return moka.ones_like(x, dtype=dtype, device=device)


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The entries on and below the k-th diagonal."""
    return moka.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The entries on and above the k-th diagonal."""
    return moka.triu(x, k)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros."""
    return moka.zeros(_sizes(shape), dtype=dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros in the shape of x."""
    return moka.zeros_like(x, dtype=dtype, device=device)
