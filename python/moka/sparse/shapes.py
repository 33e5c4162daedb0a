"""What functions and methods do with the dimensions of sparse tensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from .. import _C
from .._C import Tensor
from ..call_forms import broadcast_shapes
from .tensor import SparseTensor, entry


def _axis(what: str, x: SparseTensor, dim: int, more: int = 0) -> int:
    count = x.dim() + more
    if not -count <= dim < count:
        raise IndexError(
            f"{what}: Dimension out of range: expected one of {-count} to {count - 1} for shape "
            f"{list(x.shape)}, got {dim}"
        )
    return dim % count


def _hits(x: SparseTensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    kept = hit.nonzero().reshape(-1)
    return x._places[:, kept], x._numbers[kept]


@entry("permute")
def permute(x: SparseTensor, *order: Any, dims: Any = None) -> SparseTensor:
    """The dimensions in another order; sparse ones stay before dense ones."""
    order = order if dims is None else (dims,)
    order = list(order[0]) if len(order) == 1 and not isinstance(order[0], int) else list(order)
    if len(order) != x.dim():
        raise RuntimeError(
            f"permute: {len(order)} dimensions are given, which does not match the length of shape "
            f"{list(x.shape)}"
        )
    order = [_axis("permute", x, d) for d in order]
    if len(set(order)) != len(order):
        raise RuntimeError(f"permute: duplicate dims are not allowed: {order}")
    count = x.sparse_dim()
    if sorted(order[:count]) != list(range(count)):
        raise RuntimeError(f"permute: a sparse dimension cannot be exchanged with a dense one: {order}")
    inner = [0, *[d - count + 1 for d in order[count:]]]
    numbers = x._numbers if inner == list(range(len(inner))) else x._numbers.permute(inner)
    sizes = [x.shape[d] for d in order]
    same = order[:count] == list(range(count)) or x._nnz() < 2
    return x.as_before(SparseTensor(x._places[order[:count]], numbers, sizes, x._coalesced and same))


@entry("transpose", "swapaxes", "swapdims")
def transpose(x: SparseTensor, dim0: int, dim1: int) -> SparseTensor:
    """Two dimensions exchanged, both sparse or both dense."""
    a, b = _axis("transpose", x, dim0), _axis("transpose", x, dim1)
    order = list(range(x.dim()))
    order[a], order[b] = order[b], order[a]
    return permute(x, order)


@entry("t")
def t(x: SparseTensor) -> SparseTensor:
    """The matrix with rows and columns exchanged; a vector or a number itself."""
    if x.dim() > 2:
        raise RuntimeError(f"t: expected a tensor of at most 2 dimensions, got shape {list(x.shape)}")
    return transpose(x, 0, 1) if x.dim() == 2 else x


@entry("unsqueeze")
def unsqueeze(x: SparseTensor, dim: int) -> SparseTensor:
    """One more dimension of size 1."""
    at = _axis("unsqueeze", x, dim, 1)
    sizes = [*x.shape[:at], 1, *x.shape[at:]]
    if at > x.sparse_dim():
        return SparseTensor(x._places, x._numbers.unsqueeze(at - x.sparse_dim() + 1), sizes, x._coalesced)
    row = _C.zeros((1, x._nnz()), dtype=_C.int64)
    return SparseTensor(_C.cat([x._places[:at], row, x._places[at:]]), x._numbers, sizes, x._coalesced)


@entry("squeeze")
def squeeze(x: SparseTensor, dim: Any = None) -> SparseTensor:
    """Without dimensions of size 1."""
    asked = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {d for d in (_axis("squeeze", x, d) for d in asked) if x.shape[d] == 1}
    kept = [d for d in range(x.sparse_dim()) if d not in gone]
    inner = [n for d, n in enumerate(x.shape) if d >= x.sparse_dim() and d not in gone]
    sizes = [n for d, n in enumerate(x.shape) if d not in gone]
    return SparseTensor(x._places[kept], x._numbers.reshape(x._nnz(), *inner), sizes, x._coalesced)


@entry("select")
def select(x: SparseTensor, dim: int, index: int) -> Any:
    """The part at one index of a dimension; dense where no sparse dimension is left."""
    axis = _axis("select", x, dim)
    if not -x.shape[axis] <= index < x.shape[axis]:
        raise IndexError(f"select: index {index} out of range for dimension {axis} of shape {list(x.shape)}")
    index %= x.shape[axis]
    sizes = [*x.shape[:axis], *x.shape[axis + 1 :]]
    if axis >= x.sparse_dim():
        inner = x._numbers.select(axis - x.sparse_dim() + 1, index)
        return SparseTensor(x._places, inner, sizes, x._coalesced)
    places, numbers = _hits(x, x._places[axis] == index)
    if x.sparse_dim() == 1:
        return numbers.sum(0, dtype=x.dtype)
    return SparseTensor(_C.cat([places[:axis], places[axis + 1 :]]), numbers, sizes, x._coalesced)


@entry("narrow", "narrow_copy")
def narrow(x: SparseTensor, dim: int, start: int, length: int) -> SparseTensor:
    """`length` indices of a dimension from `start` on."""
    axis = _axis("narrow", x, dim)
    start = start + x.shape[axis] if start < 0 else start
    if length < 0 or start < 0 or start + length > x.shape[axis]:
        raise RuntimeError(
            f"narrow: start ({start}) + length ({length}) exceeds dimension size ({x.shape[axis]})"
        )
    sizes = [*x.shape[:axis], length, *x.shape[axis + 1 :]]
    if axis >= x.sparse_dim():
        inner = axis - x.sparse_dim() + 1
        return SparseTensor(x._places, x._numbers.narrow(inner, start, length), sizes, x._coalesced)
    row = x._places[axis]
    places, numbers = _hits(x, (row >= start) & (row < start + length))
    moved = _C.cat([places[:axis], places[axis : axis + 1] - start, places[axis + 1 :]])
    return SparseTensor(moved, numbers, sizes, x._coalesced)


@entry("index_select")
def index_select(x: SparseTensor, dim: int, index: Tensor) -> SparseTensor:
    """The parts at some indices of a dimension, in their order."""
    axis = _axis("index_select", x, dim)
    if index.dim() > 1:
        raise IndexError(f"index_select: index must be a vector, got shape {list(index.shape)}")
    index = index.reshape(-1).long()
    count, size = index.numel(), x.shape[axis]
    if count and not (-size <= int(index.min()) and int(index.max()) < size):
        raise IndexError(f"index_select: index {index.tolist()[:9]} out of range for size {size}")
    index = _C.where(index < 0, index + size, index)
    sizes = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    if axis >= x.sparse_dim():
        inner = axis - x.sparse_dim() + 1
        return SparseTensor(x._places, x._numbers.index_select(inner, index), sizes, x._coalesced)
    # The stored elements by their index along the axis: those of index i stand from starts[i] on.
    order = x._places[axis].argsort(stable=True)
    counts = _C.bincount(x._places[axis], minlength=size)
    starts = counts.cumsum(0) - counts
    taken = counts[index]
    new = _C.repeat_interleave(_C.arange(0, count), taken)
    ahead = taken.cumsum(0) - taken
    from_ = order[(starts[index] - ahead)[new] + _C.arange(0, new.numel())]
    places = x._places[:, from_]
    moved = _C.cat([places[:axis], new.unsqueeze(0), places[axis + 1 :]])
    return SparseTensor(moved, x._numbers[from_], sizes, x._coalesced and axis == 0)


@entry("__getitem__")
def item_of(x: SparseTensor, key: Any) -> Any:
    """x[key] by numbers, slices of step 1, None, ... and vectors of indices."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        used = sum(part is not None for part in parts) - 1
        parts[at : at + 1] = [slice(None)] * (x.dim() - used)
    result: Any = x
    axis = 0
    for part in parts:
        if part is None:
            result, axis = result.unsqueeze(axis), axis + 1
        elif isinstance(part, int):
            result = result.select(axis, part)
        elif isinstance(part, slice):
            start, stop, step = part.indices(result.shape[axis])
            if step == 1:
                result = result.narrow(axis, start, max(stop - start, 0)) if part != slice(None) else result
            else:
                result = result.index_select(axis, _C.tensor(list(range(start, stop, step)), dtype=_C.int64))
            axis += 1
        else:
            index = part if isinstance(part, Tensor) else _C.tensor(part)
            index = index.nonzero().reshape(-1) if index.dtype == _C.bool else index
            result, axis = result.index_select(axis, index), axis + 1
    return result


@entry("__setitem__")
def no_assignment(x: SparseTensor, key: Any, value: Any) -> None:
    """TypeError: places are not assigned."""
    raise TypeError(
        "Cannot assign to a sparse tensor; make one of other places and values, or use to_dense()"
    )


@entry("cat", "concat", "concatenate")
def cat(tensors: Any, dim: int = 0) -> SparseTensor:
    """Sparse tensors one after another along a dimension."""
    tensors = list(tensors)
    if not all(isinstance(x, SparseTensor) for x in tensors):
        raise RuntimeError("cat: sparse and dense tensors do not go together; convert one of them")
    first = tensors[0]
    axis = _axis("cat", first, dim)
    sizes = list(first.shape)
    for i, x in enumerate(tensors):
        rest = [n for d, n in enumerate(x.shape) if d != axis]
        if rest != [n for d, n in enumerate(sizes) if d != axis] or x.sparse_dim() != first.sparse_dim():
            raise RuntimeError(
                f"cat: Sizes of tensors must match except in dimension {axis}: tensor {i} has shape "
                f"{list(x.shape)} with {x.sparse_dim()} sparse dimensions, tensor 0 has {sizes} with "
                f"{first.sparse_dim()}"
            )
    total = sum(x.shape[axis] for x in tensors)
    places, numbers, at = [], [], 0
    for x in tensors:
        if axis < x.sparse_dim():
            shift = _C.zeros((x.sparse_dim(), 1), dtype=_C.int64)
            shift[axis] = at
            places.append(x._places + shift)
            numbers.append(x._numbers)
        else:
            inner = axis - x.sparse_dim() + 1
            around = []
            for n in (at, total - at - x.shape[axis]):
                shape = [*x._numbers.shape]
                shape[inner] = n
                around.append(_C.zeros(shape, dtype=x.dtype))
            places.append(x._places)
            numbers.append(_C.cat([around[0], x._numbers, around[1]], inner))
        at += x.shape[axis]
    sizes[axis] = total
    kept = axis == 0 and first.sparse_dim() > 0 and all(x._coalesced for x in tensors)
    return SparseTensor(_C.cat(places, 1), _C.cat(numbers), sizes, kept)


@entry("stack")
def stack(tensors: Any, dim: int = 0) -> SparseTensor:
    """Sparse tensors of one shape along a new dimension."""
    return cat([unsqueeze(x, _axis("stack", x, dim, 1)) for x in tensors], dim)


@entry("_sparse_broadcast_to")
def broadcast_to(x: SparseTensor, size: Any) -> SparseTensor:
    """Dimensions of size 1 repeated to `size`, new ones in front."""
    size = [int(n) for n in size]
    if broadcast_shapes(tuple(x.shape), tuple(size)) != tuple(size):
        raise RuntimeError(f"_sparse_broadcast_to: shape {list(x.shape)} does not broadcast to {size}")
    while x.dim() < len(size):
        x = unsqueeze(x, 0)
    inner = size[x.sparse_dim() :]
    numbers = x._numbers.expand(x._nnz(), *inner)
    x = SparseTensor(x._places, numbers, [*x.shape[: x.sparse_dim()], *inner], x._coalesced)
    for axis in range(x.sparse_dim()):
        if x.shape[axis] != size[axis]:
            x = index_select(x, axis, _C.zeros(size[axis], dtype=_C.int64))
    return x
