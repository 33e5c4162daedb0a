"""Sparse tensors from places and values, from rows, from diagonals, and from dense tensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from .. import _C
from .._C import Tensor
from .tensor import SparseTensor, sparse_csr


def sparse_coo_tensor(
    indices: Any = None,
    values: Any = None,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    is_coalesced: bool | None = None,
    check_invariants: bool | None = None,
    **_: Any,
) -> SparseTensor:
    """A sparse tensor of places and values; sizes that are not given fit the largest places.

    Raises RuntimeError where places and values do not fit, or lie outside of the sizes.
    """
    if values is None:  # sizes alone: nothing is stored
        size = [int(n) for n in (indices if size is None else size)]
        indices, values = _C.zeros(len(size), 0, dtype=_C.int64), _C.zeros(0, dtype=dtype)
    places = (indices if isinstance(indices, Tensor) else _C.tensor(indices)).long()
    numbers = values if isinstance(values, Tensor) else _C.tensor(values, dtype=dtype)
    if dtype is not None:
        numbers = numbers.to(dtype)
    if numbers.dim() == 0:
        numbers = numbers.unsqueeze(0)
    if places.dim() != 2 or places.shape[1] != numbers.shape[0]:
        raise RuntimeError(
            f"sparse_coo_tensor: indices of shape {list(places.shape)} and values of shape "
            f"{list(numbers.shape)}: [dimensions, stored] and [stored, ...] are needed: indices and values "
            "must have same nnz"
        )
    count = places.shape[0]
    largest = places.max(1).values.tolist() if places.numel() else [-1] * count
    if size is None:
        if places.shape[1] == 0 and count:
            size = [0] * count + list(numbers.shape[1:])
        else:
            size = [place + 1 for place in largest] + list(numbers.shape[1:])
    size = [int(n) for n in size]
    if any(n < 0 for n in size):
        raise RuntimeError(f"sparse_coo_tensor: negative size in {size}")
    if len(size) != count + numbers.dim() - 1:
        raise RuntimeError(
            f"sparse_coo_tensor: indices and values do not fit the size {size}: number of dimensions must be "
            f"sparse_dim ({count}) + dense_dim ({numbers.dim() - 1}), but got {len(size)}"
        )
    if places.numel() and int(places.min()) < 0:
        raise RuntimeError(f"sparse_coo_tensor: found negative index {int(places.min())} in indices")
    if any(place >= n for place, n in zip(largest, size, strict=False)):
        raise RuntimeError(
            f"sparse_coo_tensor: size is inconsistent with indices: {largest} lies outside of {size}"
        )
    if size[count:] != list(numbers.shape[1:]):
        raise RuntimeError(
            f"sparse_coo_tensor: values has incorrect size, expected {[places.shape[1], *size[count:]]}, got "
            f"{list(numbers.shape)}"
        )
    if requires_grad:
        numbers = numbers.detach().requires_grad_(True)
    return SparseTensor(places, numbers, size, places.shape[1] < 2 or bool(is_coalesced))


def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, **options: Any
) -> SparseTensor:
    """A sparse matrix of compressed rows: row i has the values crow_indices[i] to crow_indices[i + 1] - 1."""
    starts, columns = (
        given if isinstance(given, Tensor) else _C.tensor(given, dtype=_C.int64)
        for given in (crow_indices, col_indices)
    )
    counts = starts[1:] - starts[:-1]
    if starts.dim() != 1 or (counts < 0).any() or int(starts[-1]) != columns.numel():
        raise RuntimeError(
            f"sparse_csr_tensor: crow_indices {starts.tolist()} do not count the {columns.numel()} columns"
        )
    rows = _C.repeat_interleave(_C.arange(0, counts.numel()), counts.long())
    if size is None:
        size = (counts.numel(), int(columns.max()) + 1 if columns.numel() else 0)
    places = _C.stack([rows, columns.long()])
    made = sparse_coo_tensor(places, values, size, dtype=dtype, **options)
    return SparseTensor(places, made._numbers, made.shape, compressed=True)


def to_sparse(dense: Tensor, sparse_dim: int | None = None, *, layout: Any = None, **_: Any) -> SparseTensor:
    """The elements of a dense tensor that are not zero, as coordinates (or rows, by `layout`).

    With `sparse_dim` the dimensions behind those are dense: what is stored has an element that is not zero.
    """
    count = dense.dim() if sparse_dim is None else sparse_dim
    if not 0 <= count <= dense.dim() or count == 0 < dense.dim():
        raise IndexError(f"to_sparse: sparse_dim {sparse_dim} for a tensor of shape {list(dense.shape)}")
    stored = dense.detach() != 0
    if count < dense.dim():
        stored = stored.reshape(*dense.shape[:count], -1).any(-1)
    places = stored.nonzero().t().contiguous()
    values = dense[tuple(places)] if count else dense.reshape(1)[: places.shape[1]]
    made = SparseTensor(places, values, dense.shape, True)
    return made.to_sparse_csr() if layout == sparse_csr else made


def to_sparse_csr(dense: Tensor, *_: Any) -> SparseTensor:
    """The elements of a dense matrix that are not zero, as compressed rows."""
    return to_sparse(dense).to_sparse_csr()


def sparse_mask(dense: Tensor, mask: SparseTensor) -> SparseTensor:
    """The elements of a dense or sparse tensor at the places of `mask`; the shapes must be equal."""
    if tuple(dense.shape) != tuple(mask.shape):
        raise RuntimeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(dense.shape)} but mask "
            f"has size {list(mask.shape)}"
        )
    if isinstance(dense, SparseTensor):
        values = dense.to_sparse(mask.sparse_dim()).values_at(mask._places)
    else:
        values = dense[tuple(mask._places)] if mask.sparse_dim() else dense.expand(mask._numbers.shape)
    return SparseTensor(mask._places, values, mask.shape, mask._coalesced, mask._compressed)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> SparseTensor:
    """A sparse matrix of diagonals: element j of row i of `diagonals` stands in column j, offsets[i] right.

    Args:
        diagonals: [diagonals, columns], or one diagonal.
        offsets: which ones they are, each once; above the main diagonal they are positive.
        shape: of the matrix.
        layout: sparse_coo (as without it) or sparse_csr.
    """
    rows = diagonals if diagonals.dim() == 2 else diagonals.unsqueeze(0)
    offsets = offsets.reshape(-1)
    if diagonals.dim() not in (1, 2) or offsets.numel() != rows.shape[0]:
        raise RuntimeError(
            f"spdiags: Number of diagonals ({rows.shape[0]}) does not match the number of offsets "
            f"({offsets.numel()})"
        )
    if offsets.unique().numel() != offsets.numel():
        raise RuntimeError(f"spdiags: Offset tensor contains duplicate values: {offsets.tolist()}")
    if len(shape) != 2:
        raise RuntimeError(f"spdiags: Output shape must be 2d, got {list(shape)}")
    columns = _C.arange(0, rows.shape[1]).unsqueeze(0).expand(tuple(rows.shape))
    lines = columns - offsets.long().unsqueeze(1)
    inside = (lines >= 0) & (lines < shape[0]) & (columns < shape[1])
    places = _C.stack([lines[inside], columns[inside]])
    made = SparseTensor(places, rows[inside], shape)
    return made.to_sparse_csr() if layout == sparse_csr else made


def sampled_addmm(input: Any, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> SparseTensor:
    """beta * input + alpha * (mat1 @ mat2), of which only the places of `input` are calculated."""
    if mat1.dim() != 2 or mat2.dim() != 2 or mat1.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"sampled_addmm: shapes {list(mat1.shape)} and {list(mat2.shape)} cannot be multiplied"
        )
    if tuple(input.shape) != (mat1.shape[0], mat2.shape[1]):
        raise RuntimeError(
            f"sampled_addmm: input has shape {list(input.shape)}, the product "
            f"{[mat1.shape[0], mat2.shape[1]]}"
        )
    rows, columns = input._places
    products = (mat1[rows] * mat2.t()[columns]).sum(-1)
    return input._with(input._numbers * beta + products * alpha)


def create(name: str, args: tuple, kwargs: dict[str, Any]) -> SparseTensor:
    """zeros, empty and their like with a sparse `layout`: nothing is stored."""
    layout, dtype = kwargs.pop("layout"), kwargs.pop("dtype", None)
    kwargs.pop("device", None)
    like = args[0] if args and isinstance(args[0], Tensor) else None
    if name in ("zeros", "empty"):
        alone = len(args) == 1 and not isinstance(args[0], int)
        size = kwargs.pop("size", None) or (args[0] if alone else args)
    elif name in ("zeros_like", "empty_like") and like is not None:
        size = like.shape
    elif name in ("new_zeros", "new_empty") and like is not None:
        size = args[1] if len(args) == 2 and not isinstance(args[1], int) else args[1:]
    else:
        raise NotImplementedError(
            f"{name}: layout={layout!r}: zeros and empty are made sparse; for other values make it dense and "
            "call .to_sparse()"
        )
    if like is not None and dtype is None:
        dtype = like.dtype
    made = sparse_coo_tensor(size, dtype=dtype, requires_grad=bool(kwargs.get("requires_grad")))
    return made.to_sparse_csr() if layout == sparse_csr else made
