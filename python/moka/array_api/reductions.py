"""Statistics, searches, sorting and sets."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any, NamedTuple

import moka
from moka import Tensor

from .dtypes import isdtype, together

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "searchsorted",
    "sort",
    "std",
    "sum",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "var",
    "where",
]

Axes = int | tuple[int, ...] | None


def _dims(x: Tensor, axis: Any) -> list[int]:
    if axis is None:
        return list(range(x.dim()))
    axes = [axis] if isinstance(axis, int) else list(axis)
    for one in axes:
        if not -x.dim() <= one < x.dim():
            raise IndexError(f"axis {one} does not exist in shape {list(x.shape)}")
    return [one % x.dim() for one in axes]


def _sum_type(x: Tensor, dtype: Any) -> Any:
    """Of sums: 64-bit integers of the same sign, floating types as they are."""
    if dtype is not None:
        return dtype
    if isdtype(x.dtype, "unsigned integer"):
        return moka.uint64
    return moka.int64 if isdtype(x.dtype, ("bool", "signed integer")) else x.dtype


def _flat(x: Tensor, axis: Any, keepdims: bool) -> tuple[Tensor, Any]:
    """x with its reduced dimensions as the last one, and the shape of the result."""
    dims = _dims(x, axis)
    left = [d for d in range(x.dim()) if d not in dims]
    kept = [1 if d in dims else size for d, size in enumerate(x.shape)]
    shape = kept if keepdims else [x.shape[d] for d in left]
    count = 1
    for d in dims:
        count *= x.shape[d]
    moved = x.permute([*left, *dims]) if dims else x.unsqueeze(-1)
    return moved.reshape([*(x.shape[d] for d in left), count]), shape


def _wrapped(x: Tensor, dtype: Any) -> tuple[Tensor, Any]:
    """Sums of uint64 are those of int64 modulo 2^64."""
    return (x.to(moka.int64), moka.int64) if dtype == moka.uint64 else (x.to(dtype), dtype)


def sum(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes."""
    dtype = _sum_type(x, dtype)
    flat, shape = _flat(x, axis, keepdims)
    flat, inner = _wrapped(flat, dtype)
    return moka.sum(flat, -1, dtype=inner).reshape(shape).to(dtype)


def prod(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes."""
    dtype = _sum_type(x, dtype)
    flat, shape = _flat(x, axis, keepdims)
    flat, inner = _wrapped(flat, dtype)
    return moka.prod(flat, -1, dtype=inner).reshape(shape).to(dtype)


def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over axes."""
    flat, shape = _flat(x, axis, keepdims)
    return flat.mean(-1).reshape(shape)


def var(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over axes: squares of differences from the mean over n - correction."""
    flat, shape = _flat(x, axis, keepdims)
    squares = (flat - flat.mean(-1, keepdim=True)).square().sum(-1)
    return (squares / moka.full_like(squares, flat.shape[-1] - correction)).reshape(shape)


def std(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The root of var."""
    return var(x, axis=axis, correction=correction, keepdims=keepdims).sqrt()


def max(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes."""
    flat, shape = _flat(x, axis, keepdims)
    return moka.amax(flat, -1).reshape(shape)


def min(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes."""
    flat, shape = _flat(x, axis, keepdims)
    return moka.amin(flat, -1).reshape(shape)


def all(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether no element over axes is zero."""
    flat, shape = _flat(x != 0, axis, keepdims)
    return flat.all(-1).reshape(shape)


def any(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether some element over axes is not zero."""
    flat, shape = _flat(x != 0, axis, keepdims)
    return flat.any(-1).reshape(shape)


def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many elements over axes are not zero."""
    flat, shape = _flat(x != 0, axis, keepdims)
    return flat.sum(-1).reshape(shape)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element."""
    flat, shape = _flat(x, axis, keepdims)
    return flat.argmax(-1).reshape(shape)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element."""
    flat, shape = _flat(x, axis, keepdims)
    return flat.argmin(-1).reshape(shape)


def _one_axis(name: str, x: Tensor, axis: int | None) -> int:
    if axis is None:
        if x.dim() > 1:
            raise ValueError(f"{name}: axis is needed for {x.dim()} dimensions")
        return 0
    return _dims(x, axis)[0]


def _cumulative(name: str, x: Tensor, axis: Any, dtype: Any, first: int | None) -> Tensor:
    axis = _one_axis(name, x, axis)
    dtype = _sum_type(x, dtype)
    inside, inner = _wrapped(x, dtype)
    result = (moka.cumsum if name == "cumulative_sum" else moka.cumprod)(inside, axis, dtype=inner)
    if first is not None:
        size = list(x.shape)
        size[axis] = 1
        result = moka.cat([moka.full(size, first, dtype=inner, device=x.device), result], axis)
    return result.to(dtype)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running sums, after a 0 with include_initial."""
    return _cumulative("cumulative_sum", x, axis, dtype, 0 if include_initial else None)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running products, after a 1 with include_initial."""
    return _cumulative("cumulative_prod", x, axis, dtype, 1 if include_initial else None)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Differences of neighbours, n times."""
    return moka.diff(x, n=n, dim=axis, prepend=prepend, append=append)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Indices of elements that are not zero, one tensor for each dimension."""
    if x.dim() == 0:
        raise ValueError("nonzero: a tensor of at least one dimension is needed")
    return tuple(moka.nonzero(x, as_tuple=True))


def searchsorted(
    x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None
) -> Tensor:
    """Where each x2 would be put into the sorted x1."""
    x1, x2 = together(x1, x2)
    return moka.searchsorted(x1 if sorter is None else x1[sorter], x2.contiguous(), right=side == "right")


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """x1 where the condition holds, else x2."""
    if not isinstance(x1, Tensor) and not isinstance(x2, Tensor):
        x1 = moka.tensor(x1, device=condition.device)
    return moka.where(condition, *together(x1, x2))


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Indices that sort along an axis."""
    return moka.sort(x, dim=axis, descending=descending, stable=stable)[1]


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Sorted along an axis."""
    return moka.sort(x, dim=axis, descending=descending, stable=stable)[0]


class UniqueAllResult(NamedTuple):
    """What unique_all gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """What unique_counts gives."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """What unique_inverse gives."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAllResult:
    """Values that differ, the first index of each, the value's number of every element, and counts.

    Every not-a-number counts as a value of its own.
    """
    flat = x.reshape(-1)
    if flat.numel() == 0:
        none = moka.empty(0, dtype=moka.int64, device=x.device)
        return UniqueAllResult(flat.clone(), none, none.reshape(x.shape), none)
    # Sorted and stable, so that the first of equal values has the smallest index.
    if x.is_complex():
        order = moka.sort(flat.imag, stable=True)[1]
        order = order[moka.sort(flat.real[order], stable=True)[1]]
        ordered = flat[order]
    else:
        ordered, order = moka.sort(flat, stable=True)
    starts = moka.ones(flat.numel(), dtype=moka.bool, device=x.device)
    starts[1:] = ordered[1:] != ordered[:-1]
    number = moka.cumsum(starts.to(moka.int64), 0) - 1
    inverse = moka.empty_like(order)
    inverse[order] = number
    first = moka.nonzero(starts).reshape(-1)
    ends = moka.cat([first[1:], moka.tensor([flat.numel()], device=x.device)])
    return UniqueAllResult(ordered[first], order[first], inverse.reshape(x.shape), ends - first)


def unique_counts(x: Tensor, /) -> UniqueCountsResult:
    """Values that differ, and how often each comes."""
    found = unique_all(x)
    return UniqueCountsResult(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverseResult:
    """Values that differ, and the value's number of every element."""
    found = unique_all(x)
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Values that differ."""
    return unique_all(x).values
