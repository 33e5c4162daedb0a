"""What functions and methods do with sparse tensors: arithmetic, products, reductions."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from ..call_forms import broadcast_shapes
from ..numeric_types import promote_types, result_type
from ..statistics import unique
from .factories import sparse_coo_tensor
from .shapes import broadcast_to, index_select, t, transpose
from .tensor import SparseTensor, entry

# ---- element by element


def _each(name: str) -> None:
    def function(x: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
        whole = x.coalesce()
        return whole._with(getattr(whole._numbers, name)(*args, **kwargs))

    entry(name)(function)


for _name in (  # what leaves zero at zero
    "abs absolute angle arcsin arcsinh arctan arctanh asin asinh atan atanh ceil conj conj_physical deg2rad "
    "erf erfinv expm1 fix floor frac isinf isnan isneginf isposinf log1p nan_to_num neg negative pow "
    "positive rad2deg relu round sgn sign signbit sin sinh sqrt square tan tanh trunc"
).split():
    _each(_name)


def _converted(name: str, kind: str) -> None:
    entry(name)(lambda x: x.to(getattr(_C, kind)))


for _name, _kind in {
    **{"half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64", "bool": "bool"},
    **{"char": "int8", "byte": "uint8", "short": "int16", "int": "int32", "long": "int64"},
}.items():
    _converted(_name, _kind)
entry("cpu")(lambda x: x)


def dense(value: Any) -> Any:
    """A sparse tensor with all its elements; anything else itself."""
    return value.to_dense() if isinstance(value, SparseTensor) else value


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or not isinstance(value, SparseTensor) and value.dim() == 0


def _check_shapes(what: str, a: Tensor, b: Tensor) -> None:
    if tuple(a.shape) != tuple(b.shape):
        raise RuntimeError(
            f"{what}: sparse tensors are of one shape, but there are {list(a.shape)} and {list(b.shape)}"
        )


@entry("add")
def add(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    """a + alpha * b; dense where one of them is."""
    if not isinstance(a, SparseTensor):
        return _add_to_dense(a, b, alpha)
    if not isinstance(b, SparseTensor):
        return a.to_dense().add(b, alpha=alpha)
    _check_shapes("add", a, b)
    if a.dtype == b.dtype and 0 in (a._nnz(), b._nnz()):
        return a.clone() if b._nnz() == 0 else mul(b, alpha)
    if a.sparse_dim() != b.sparse_dim():
        b = b.to_sparse(a.sparse_dim())
    places, numbers = _C.cat([a._places, b._places], 1), _C.cat([a._numbers, b._numbers * alpha])
    total = SparseTensor(places, numbers, a.shape)
    return a.as_before(total.coalesce() if a._coalesced and b._coalesced else total)


def _add_to_dense(a: Any, b: SparseTensor, alpha: Any) -> Tensor:
    if b.sparse_dim() == 0 or tuple(a.shape) != tuple(b.shape):
        return a + b.to_dense() * alpha
    numbers = b._numbers * alpha
    kind = result_type(a, numbers)
    return a.to(kind).index_put(tuple(b._places), numbers.to(kind), accumulate=True)


@entry("add_")
def add_(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    """a += alpha * b, in a's memory."""
    if isinstance(a, SparseTensor):
        return a.take(add(a, b, alpha=alpha))
    _check_shapes("add_", a, b)
    if b.sparse_dim() == 0:
        return a.add_(b.to_dense(), alpha=alpha)
    return a.index_put_(tuple(b._places), (b._numbers * alpha).to(a.dtype), accumulate=True)


entry("sub", "subtract")(lambda a, b, *, alpha=1: add(a, b, alpha=-alpha))
entry("sub_", "subtract_")(lambda a, b, *, alpha=1: add_(a, b, alpha=-alpha))
entry("rsub")(lambda a, b, *, alpha=1: add(-a if alpha == 1 else mul(a, -alpha), b))


@entry("mul", "multiply")
def mul(a: Any, b: Any) -> Any:
    """The product, element by element: what both store."""
    if not isinstance(a, SparseTensor):
        a, b = b, a
    if _is_number(b):
        return a._with(a._numbers * b)
    shape = broadcast_shapes(tuple(a.shape), tuple(b.shape))
    if tuple(a.shape) != tuple(shape):
        a = broadcast_to(a, shape)
    whole = a.coalesce()
    if not isinstance(b, SparseTensor):
        return whole._with(whole._numbers * b.expand(tuple(shape))[tuple(whole._places)])
    if tuple(b.shape) != tuple(shape):
        b = broadcast_to(b, shape)
    if a.sparse_dim() != b.sparse_dim():
        return mul(whole, b.to_dense())
    other = b.coalesce()
    there, found = other.find(whole.keys())
    kept = found.nonzero().reshape(-1)
    numbers = whole._numbers[kept] * other._numbers[there[kept]]
    return a.as_before(SparseTensor(whole._places[:, kept], numbers, whole.shape, True))


@entry("mul_", "multiply_")
def mul_(a: Any, b: Any) -> Any:
    """a *= b, in a's memory."""
    return a.take(mul(a, b)) if isinstance(a, SparseTensor) else a.copy_(mul(a, b).to_dense())


@entry("div", "divide", "true_divide")
def div(a: Any, b: Any, *, rounding_mode: Any = None) -> Any:
    """Divided by a number, or by dense elements."""
    if isinstance(b, SparseTensor):
        raise RuntimeError(
            "div: Sparse division requires a number or a dense tensor to divide by, as what is not stored is "
            "zero; use to_dense()"
        )
    whole = a.coalesce()
    if not _is_number(b):
        b = b.expand(tuple(a.shape))[tuple(whole._places)]
    return whole._with(whole._numbers.div(b, rounding_mode=rounding_mode))


entry("floor_divide")(lambda a, b: div(a, b, rounding_mode="floor"))


@entry("copy_")
def copy_(a: Any, b: Any, *_: Any) -> Any:
    """a = b, in a's memory."""
    _check_shapes("copy_", a, b)
    return a.take(b.to_sparse().clone()) if isinstance(a, SparseTensor) else a.copy_(b.to_dense())


@entry("zeros_like", "empty_like")
def zeros_like(
    a: SparseTensor, *, dtype: Any = None, layout: Any = None, memory_format: Any = None, **_: Any
) -> Any:
    """The same sizes, nothing being stored."""
    if layout is not None and not str.startswith(layout, "sparse"):
        return _C.zeros(tuple(a.shape), dtype=dtype or a.dtype)
    if memory_format is not None:
        raise RuntimeError("zeros_like: memory format option is only supported by strided tensors")
    numbers = a._numbers[:0].detach().to(dtype or a.dtype)
    return a.as_before(SparseTensor(a._places[:, :0], numbers, a.shape, True))


entry("zero_")(lambda a: a.take(zeros_like(a)))


@entry("zeros", "empty")
def zeros(*size: Any, **_: Any) -> SparseTensor:
    """What `zeros(..., out=sparse)` gives."""
    return sparse_coo_tensor(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)


entry("equal")(lambda a, b: _C.equal(dense(a), dense(b)))
entry("allclose")(lambda a, b, *rest, **named: _C.allclose(dense(a), dense(b), *rest, **named))
entry("isclose")(lambda a, b, *rest, **named: _C.isclose(dense(a), dense(b), *rest, **named))
entry("any")(lambda a: a.coalesce()._numbers.any())

# ---- products


def _sizes(a: Tensor) -> list[int]:
    return list(a.shape)


def _rows_times(a: SparseTensor, other: Tensor) -> Tensor:
    """A sparse matrix times a dense matrix: sums of rows."""
    kind = promote_types(a.dtype, other.dtype)
    other = other.to(kind)
    if kind.is_floating_point:
        whole = a.coalesce()
        held = _C.float64 if kind == _C.float64 else _C.float32  # half types are added up in float32
        numbers, table = whole._numbers.to(held), other.to(held)
        columns, starts = whole._places[1], whole.crow_indices()
        return _C.embedding_bag(table, columns, starts, "sum", numbers, True)[0].to(kind)
    products = a._numbers.to(kind).unsqueeze(1) * other[a._places[1]]
    return _C.zeros((a.shape[0], other.shape[1]), dtype=kind).index_add(0, a._places[0], products)


def _sparse_times(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Two sparse matrices: for each element of a the elements of b's row, of which equal places add up."""
    a = a.coalesce()
    rows = index_select(b, 0, a._places[1])
    numbers = a._numbers[rows._places[0]] * rows._numbers
    places = _C.stack([a._places[0][rows._places[0]], rows._places[1]])
    return a.as_before(SparseTensor(places, numbers, (a.shape[0], b.shape[1])).coalesce())


@entry("mm", "matmul", "spmm", "dsmm", "mv", "_sparse_mm")
def mm(a: Any, b: Any) -> Any:
    """The product of two matrices, or of a matrix and a vector; sparse where both are."""
    if a.dim() == 3 and b.dim() == 3:
        return bmm(a, b)
    if a.dim() not in (1, 2) or b.dim() not in (1, 2) or a.shape[-1] != b.shape[0] or a.dim() + b.dim() < 3:
        raise RuntimeError(f"mm: a sparse matrix: shapes {_sizes(a)} and {_sizes(b)} cannot be multiplied")
    if not isinstance(a, SparseTensor):
        turned = t(b)
        return mm(turned, a) if a.dim() == 1 else mm(turned, a.t()).t()
    if a.dense_dim() or isinstance(b, SparseTensor) and b.dense_dim():
        raise RuntimeError("mm: sparse matrices with dense dimensions cannot be multiplied; use to_dense()")
    if isinstance(b, SparseTensor):
        return mm(a, b.to_dense()) if b.dim() == 1 else _sparse_times(a, b)
    return _rows_times(a, b.unsqueeze(1)).squeeze(1) if b.dim() == 1 else _rows_times(a, b)


entry("rmatmul")(lambda a, b: mm(b, a))


@entry("bmm")
def bmm(a: Any, b: Any) -> Tensor:
    """The products of a batch of sparse matrices with dense ones."""
    if not isinstance(a, SparseTensor):
        return bmm(transpose(b, 1, 2), a.transpose(1, 2)).transpose(1, 2)
    if a.dim() != 3 or b.dim() != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(f"bmm: shapes {_sizes(a)} and {_sizes(b)} cannot be multiplied")
    b = dense(b)
    n, rows, columns = a.shape
    a = a if a.dense_dim() == 0 else a.to_sparse(3)
    places = _C.stack([a._places[0] * rows + a._places[1], a._places[0] * columns + a._places[2]])
    flat = SparseTensor(places, a._numbers, (n * rows, n * columns), a._coalesced)
    return _rows_times(flat, b.reshape(n * columns, b.shape[2])).reshape(n, rows, b.shape[2])


@entry("addmm", "sspaddmm", "saddmm", "addmv")
def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * mat + alpha * mat1 @ mat2; of mat's kind."""
    product = mm(mat1, mat2) * alpha
    if isinstance(mat, SparseTensor):
        product = product if isinstance(product, SparseTensor) else product.to_sparse()
        return add(mul(mat, beta), product)
    return product.to_dense() + mat * beta if isinstance(product, SparseTensor) else product + mat * beta


SparseTensor.sspaddmm = SparseTensor.saddmm = addmm  # which dense tensors do not have


@entry("smm")
def smm(a: SparseTensor, b: Any) -> SparseTensor:
    """A sparse matrix times a dense one, as a sparse matrix."""
    return mm(a, b).to_sparse()


SparseTensor.smm = smm

@entry("hspmm")
def hspmm(a: SparseTensor, b: Tensor) -> SparseTensor:
    """A sparse matrix times a dense one; of the result the rows are stored where `a` has elements."""
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0]:
        raise RuntimeError(f"hspmm: shapes {_sizes(a)} and {_sizes(b)} cannot be multiplied")
    rows, into = unique(a._places[0], sorted=True, return_inverse=True)
    few = SparseTensor(_C.stack([into, a._places[1]]), a._numbers, (rows.numel(), a.shape[1]))
    return SparseTensor(rows.unsqueeze(0), _rows_times(few, b), (a.shape[0], b.shape[1]), True)


def reduced_product(a: SparseTensor, b: Tensor, reduce: str) -> Tensor:
    """As mm, but of the products that meet the mean, the largest or the smallest; rows without any are 0."""
    names = ("sum", "mean", "amax", "amin")
    if reduce not in names:
        raise RuntimeError(f"torch.sparse.mm: reduce must be one of {', '.join(names)}, got {reduce!r}")
    products = a._numbers.unsqueeze(1) * b[a._places[1]]
    rows = a._places[0].unsqueeze(1).expand(products.shape)
    made = _C.zeros((a.shape[0], b.shape[1]), dtype=products.dtype)
    return made.scatter_reduce(0, rows, products, reduce, include_self=False)


# ---- reductions


@entry("sum")
def sum(x: SparseTensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum of all elements, or over some dimensions (a sparse tensor, while sparse ones are left)."""
    if dim is None or isinstance(dim, (list, tuple)) and not dim:
        return x._numbers.sum(**({} if dtype is None else {"dtype": dtype}))
    dims = [dim] if isinstance(dim, int) else list(dim)
    for d in dims:
        if not -x.dim() <= d < x.dim():
            raise IndexError(f"sum: there is no dimension {d} in shape {_sizes(x)}")
    gone = {d % x.dim() for d in dims}
    values = x._numbers if dtype is None else x._numbers.to(dtype)
    inner = [d - x.sparse_dim() + 1 for d in gone if d >= x.sparse_dim()]
    values = values.sum(inner) if inner else values
    kept = [d for d in range(x.sparse_dim()) if d not in gone]
    sizes = [n for d, n in enumerate(x.shape) if d not in gone]
    if kept or not x.sparse_dim():
        result = SparseTensor(x._places[kept], values, sizes, x._coalesced and len(kept) == x.sparse_dim())
        result = result.coalesce()
    else:
        result = values.sum(0)
    if not keepdim:
        return result
    for d in sorted(gone):
        result = result.unsqueeze(d)
    return result


@entry("norm")
def norm(
    x: SparseTensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The norm of all elements."""
    if dim is not None or keepdim or dtype is not None:
        raise RuntimeError(
            f"norm: of a sparse tensor there is the norm of all elements, but dim={dim}, keepdim={keepdim}, "
            f"dtype={dtype} were given; use to_dense()"
        )
    return x.coalesce()._numbers.reshape(-1).norm(2 if p in ("fro", None) else p)


@entry("softmax", "_sparse_softmax")
def softmax(x: SparseTensor, dim: int, dtype: Any = None) -> SparseTensor:
    """The softmax along a dimension; elements that are not stored count as -inf."""
    return _softmax(x, dim, dtype, False)


@entry("log_softmax", "_sparse_log_softmax")
def log_softmax(x: SparseTensor, dim: int, dtype: Any = None) -> SparseTensor:
    """The logarithm of softmax."""
    return _softmax(x, dim, dtype, True)


def _softmax(x: SparseTensor, dim: int, dtype: Any, logarithm: bool) -> SparseTensor:
    whole = x.coalesce()
    values = whole._numbers if dtype is None else whole._numbers.to(dtype)
    axis = dim % whole.dim()
    if axis >= whole.sparse_dim():  # within each stored value
        along = axis - whole.sparse_dim() + 1
        return whole._with(values.log_softmax(along) if logarithm else values.softmax(along))
    line = _C.zeros(whole._nnz(), dtype=_C.int64)
    for d in range(whole.sparse_dim()):
        if d != axis:
            line = line * whole.shape[d] + whole._places[d]
    lines, into = unique(line, sorted=True, return_inverse=True)
    count = (lines.numel(), *values.shape[1:])
    spread = into.reshape(-1, *[1] * (values.dim() - 1)).expand(values.shape)
    lowest = _C.full(count, -math.inf, dtype=values.dtype)
    largest = lowest.scatter_reduce(0, spread, values.detach(), "amax")
    moved = values - largest[into]
    total = _C.zeros(count, dtype=values.dtype).index_add(0, into, moved.exp())
    return whole._with(moved - total.log()[into] if logarithm else moved.exp() / total[into])
