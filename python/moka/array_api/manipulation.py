"""Shapes: joining, turning, repeating, choosing."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka import Tensor

from .dtypes import result_type

__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "take",
    "take_along_axis",
    "tile",
    "unstack",
]


def _alike(arrays: Any) -> list[Tensor]:
    dtype = result_type(*arrays)
    return [x.to(dtype) for x in arrays]


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """All in one shape."""
    return tuple(moka.broadcast_tensors(*arrays))


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """x in a larger shape."""
    return moka.broadcast_to(x, tuple(shape))


def concat(arrays: Any, /, *, axis: int | None = 0) -> Tensor:
    """Joined along an axis, flattened first for None."""
    arrays = _alike(arrays)
    if axis is None:
        return moka.cat([x.reshape(-1) for x in arrays], 0)
    return moka.cat(arrays, axis)


def expand_dims(x: Tensor, /, axis: int = 0) -> Tensor:
    """x with a dimension of size 1 at `axis`."""
    if not -x.dim() - 1 <= axis <= x.dim():
        raise IndexError(f"expand_dims: axis {axis} does not exist in a result of {x.dim() + 1} dimensions")
    return moka.unsqueeze(x, axis)


def flip(x: Tensor, /, *, axis: Any = None) -> Tensor:
    """The order along axes turned around, all axes by default."""
    axes = range(x.dim()) if axis is None else (axis,) if isinstance(axis, int) else axis
    return moka.flip(x, tuple(axes))


def moveaxis(x: Tensor, source: Any, destination: Any, /) -> Tensor:
    """Axes moved to other places."""
    return moka.movedim(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Axes in another order."""
    return moka.permute(x, tuple(axes))


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element several times, one after the other."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    if isinstance(repeats, Tensor) and repeats.dim() == 0:
        repeats = int(repeats.item())
    elif isinstance(repeats, Tensor):
        repeats = repeats.to(moka.int64).expand(x.shape[axis])
    return moka.repeat_interleave(x, repeats, dim=axis)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """The same elements in another shape; ValueError if `copy` is False and they would move."""
    shape = tuple(shape)
    if copy is False:
        try:
            return x.view(shape)
        except RuntimeError as error:
            raise ValueError(f"reshape: copy=False, but the elements must move ({error})") from error
    return moka.reshape(x.clone() if copy else x, shape)


def roll(x: Tensor, /, shift: Any, *, axis: Any = None) -> Tensor:
    """Shifted along axes, what leaves at the end comes in at the front; flattened for None."""
    if axis is not None and isinstance(shift, int) and not isinstance(axis, int):
        shift = (shift,) * len(axis)
    return moka.roll(x, shift) if axis is None else moka.roll(x, shift, axis)


def squeeze(x: Tensor, /, axis: Any) -> Tensor:
    """x without dimensions of size 1; ValueError if one has another size."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for one in axes:
        if not -x.dim() <= one < x.dim():
            raise IndexError(f"squeeze: axis {one} does not exist in shape {list(x.shape)}")
        if x.shape[one] != 1:
            raise ValueError(f"squeeze: axis {one} of shape {list(x.shape)} has not size 1")
    return moka.squeeze(x, axes) if axes else x


def stack(arrays: Any, /, *, axis: int = 0) -> Tensor:
    """Joined along a new axis."""
    return moka.stack(_alike(arrays), axis)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Elements at indices along an axis, which only 1-dimensional tensors may leave out."""
    if axis is None:
        if x.dim() != 1:
            raise ValueError(f"take: axis is needed for {x.dim()} dimensions")
        axis = 0
    indices = moka.where(indices < 0, indices + x.shape[axis], indices).to(moka.int64)
    return moka.index_select(x, axis, indices)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """For each place the element at its index along an axis."""
    indices = moka.where(indices < 0, indices + x.shape[axis], indices).to(moka.int64)
    return moka.take_along_dim(x, indices, axis)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """x several times along each axis."""
    return moka.tile(x, tuple(repetitions))


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along an axis."""
    if x.dim() == 0:
        raise ValueError("unstack: a tensor of at least one dimension is needed")
    return tuple(moka.unbind(x, axis))
