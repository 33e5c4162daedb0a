"""Sparse tensors: coordinates or compressed rows, and values; a subclass of Tensor, which operators ask.

The layout stands on dense operators: values carry the gradient, products gather and add rows.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

from . import _C
from ._C import Tensor
from .dispatching import make_wrapper_subclass
from .layouts import layout
from .overrides import DisableTorchFunctionSubclass
from .statistics import unique

__all__ = [
    "SparseTensor",
    "sparse_coo_tensor",
    "sparse_csr_tensor",
    "sparse_mask",
    "to_sparse",
    "to_sparse_csr",
]

sparse_coo, sparse_csr = layout("sparse_coo"), layout("sparse_csr")


class SparseTensor(Tensor):
    """A tensor of which only some elements are stored, the others being zero.

    Args:
        indices: [sparse dimensions, stored], where the stored elements stand; equal places add up.
        values: [stored, ...]; further dimensions are dense.
        size: the sizes of all dimensions.
        coalesced: whether places are sorted, each standing there once.
        compressed: whether it shows itself as rows (CSR).
    """

    def __new__(cls, indices: Tensor, values: Tensor, size: Any, *_: Any, **__: Any) -> SparseTensor:
        return make_wrapper_subclass(cls, size, dtype=values.dtype, device=values.device)

    def __init__(
        self,
        indices: Tensor,
        values: Tensor,
        size: Any,
        coalesced: bool = False,
        compressed: bool = False,
    ) -> None:
        self._places, self._numbers = indices, values
        self._coalesced, self._compressed = coalesced or compressed, compressed

    # What it is

    @property
    def layout(self) -> Any:
        """sparse_coo or sparse_csr."""
        return sparse_csr if self._compressed else sparse_coo

    @property
    def is_sparse(self) -> bool:
        """Whether it is made of coordinates."""
        return not self._compressed

    @property
    def is_sparse_csr(self) -> bool:
        """Whether it is made of compressed rows."""
        return self._compressed

    @property
    def requires_grad(self) -> bool:
        """Whether its values take part in gradients."""
        return self._numbers.requires_grad

    @property
    def grad(self) -> SparseTensor | None:
        """The gradient of its values, in the same places."""
        found = self._numbers.grad
        return None if found is None else self._with(found)

    @property
    def grad_fn(self) -> Any:
        """What made its values."""
        return self._numbers.grad_fn

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made its values."""
        return self._numbers.is_leaf

    is_cuda = is_quantized = is_meta = is_nested = is_mkldnn = False

    def dim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The sizes, or one of them."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """How many elements there are, stored or zero."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def is_floating_point(self) -> bool:
        """Whether the elements are floating."""
        return bool(self.dtype.is_floating_point)

    def is_complex(self) -> bool:
        """Whether the elements are complex."""
        return bool(self.dtype.is_complex)

    def sparse_dim(self) -> int:
        """How many dimensions the places have."""
        return self._places.shape[0]

    def dense_dim(self) -> int:
        """How many dimensions each stored value has."""
        return self._numbers.dim() - 1

    def is_coalesced(self) -> bool:
        """Whether places are sorted, each standing there once."""
        return self._coalesced

    def _nnz(self) -> int:
        return self._numbers.shape[0]

    def _indices(self) -> Tensor:
        return self._places

    def _values(self) -> Tensor:
        return self._numbers

    def _needs(self, what: str) -> None:
        if not self._coalesced:
            raise RuntimeError(
                f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first (some places may "
                "stand there twice)"
            )

    def indices(self) -> Tensor:
        """The places, sorted; RuntimeError before coalesce()."""
        self._needs("indices")
        return self._places

    def values(self) -> Tensor:
        """The stored elements; RuntimeError before coalesce()."""
        self._needs("values")
        return self._numbers

    def crow_indices(self) -> Tensor:
        """Where each row begins among the values, and at last their number."""
        counts = _C.bincount(self._places[0], minlength=self.shape[0])
        return _C.cat([_C.zeros(1, dtype=_C.int64), counts.cumsum(0)])

    def col_indices(self) -> Tensor:
        """The column of each value."""
        return self._places[1]

    # Other forms

    def _with(self, values: Tensor) -> SparseTensor:
        return SparseTensor(self._places, values, self.shape, self._coalesced, self._compressed)

    def _apply(self, change: Callable[[Tensor], Tensor]) -> SparseTensor:
        return self.coalesce()._with(change(self.coalesce()._numbers))

    def coalesce(self) -> SparseTensor:
        """Places sorted, values of equal places added up."""
        if self._coalesced:
            return self
        flat = _C.zeros(self._nnz(), dtype=_C.int64)
        for d in range(self.sparse_dim()):
            flat = flat * self.shape[d] + self._places[d]
        places, into = unique(flat, sorted=True, return_inverse=True)
        total = _C.zeros((places.numel(), *self._numbers.shape[1:]), dtype=self.dtype)
        values = total.index_add(0, into, self._numbers)
        if self.sparse_dim() == 0:  # one place holds everything
            return SparseTensor(self._places[:, : places.numel()], values, self.shape, True)
        rows = []
        for size in reversed(self.shape[: self.sparse_dim()]):
            rows.append(places % size)
            places = _C.div(places, size, rounding_mode="floor")
        return SparseTensor(_C.stack(rows[::-1]), values, self.shape, True)

    def to_dense(self, dtype: Any = None, **_: Any) -> Tensor:
        """All elements, as a Tensor."""
        made = _C.zeros(tuple(self.shape), dtype=self.dtype)
        if not self.shape:
            dense = self._numbers.sum(0)
        else:
            dense = made.index_put(tuple(self._places), self._numbers, accumulate=True)
        return dense if dtype is None else dense.to(dtype)

    def to_sparse(self, *_: Any, layout: Any = None, **__: Any) -> SparseTensor:
        """The same as coordinates."""
        if layout == sparse_csr:
            return self.to_sparse_csr()
        return SparseTensor(self._places, self._numbers, self.shape, self._coalesced)

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, *_: Any) -> SparseTensor:
        """The same as compressed rows; a matrix is needed."""
        if self.dim() != 2:
            raise ValueError(f"to_sparse_csr: a matrix is needed, but the shape is {list(self.shape)}")
        whole = self.coalesce()
        return SparseTensor(whole._places, whole._numbers, self.shape, compressed=True)

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """Two sparse dimensions exchanged."""
        order = list(range(self.dim()))
        for dim in (dim0, dim1):
            if not -self.dim() <= dim < self.dim():
                raise IndexError(f"transpose: there is no dimension {dim} in shape {list(self.shape)}")
        order[dim0], order[dim1] = order[dim1], order[dim0]
        if order[self.sparse_dim() :] != list(range(self.sparse_dim(), self.dim())):
            raise RuntimeError("transpose: a sparse dimension cannot be exchanged with a dense one")
        sizes = [self.shape[d] for d in order]
        turned = SparseTensor(self._places[order[: self.sparse_dim()]], self._numbers, sizes)
        return turned.to_sparse_csr() if self._compressed else turned

    def t(self) -> SparseTensor:
        """The matrix with rows and columns exchanged; a vector or a number itself."""
        if self.dim() > 2:
            raise RuntimeError(f"t: expected at most 2 dimensions, got shape {list(self.shape)}")
        return self.transpose(0, 1) if self.dim() == 2 else self

    T = property(t)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Values of another type; the same tensor where nothing changes."""
        return self._with(self._numbers.to(*args, **kwargs))

    def detach(self) -> SparseTensor:
        """The same without history."""
        return self._with(self._numbers.detach())

    def detach_(self) -> SparseTensor:
        """This tensor itself without history."""
        self._numbers = self._numbers.detach()
        return self

    def clone(self, *_: Any, **__: Any) -> SparseTensor:
        """A copy."""
        return self._with(self._numbers.clone())

    def _become(self, other: Any) -> SparseTensor:
        if not isinstance(other, SparseTensor):
            raise RuntimeError(
                "a sparse tensor cannot take a dense result in place; exchange the operands, "
                "as in add(dense, sparse)"
            )
        self._places, self._numbers, self._coalesced = other._places, other._numbers, other._coalesced
        return self

    def _coalesced_(self, coalesced: bool) -> SparseTensor:
        self._coalesced = coalesced
        return self

    def __deepcopy__(self, memo: Any) -> SparseTensor:
        return self.clone()

    def __reduce_ex__(self, protocol: Any) -> Any:
        parts = self._places, self._numbers, tuple(self.shape), self._coalesced, self._compressed
        return SparseTensor, parts

    def is_contiguous(self, *_: Any, **__: Any) -> bool:
        """True."""
        return True

    def norm(self, p: Any = 2, *_: Any, **__: Any) -> Tensor:
        """The norm of all elements."""
        return self.coalesce()._numbers.norm(p)

    def sparse_mask(self, mask: SparseTensor) -> SparseTensor:
        """The elements at the places of `mask`."""
        return sparse_mask(self.to_dense(), mask)

    def resize_as_(self, other: SparseTensor) -> SparseTensor:
        """As many elements as `other`, where that has as many dimensions."""
        return self

    def item(self) -> Any:
        """The only element, as a number."""
        return self.to_dense().item()

    def tolist(self) -> Any:
        """All elements, as lists of numbers."""
        return self.to_dense().tolist()

    def softmax(self, dim: int, dtype: Any = None) -> SparseTensor:
        """The softmax along a dimension; elements that are not stored count as -inf."""
        return _softmax(self, dim, dtype, False)

    def log_softmax(self, dim: int, dtype: Any = None) -> SparseTensor:
        """The logarithm of softmax."""
        return _softmax(self, dim, dtype, True)

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Whether the values take part in gradients from now on."""
        self._numbers.requires_grad_(requires_grad)
        return self

    def cpu(self) -> SparseTensor:
        """The tensor: it is there."""
        return self

    def float(self) -> SparseTensor:
        """Values of float32."""
        return self.to(_C.float32)

    def double(self) -> SparseTensor:
        """Values of float64."""
        return self.to(_C.float64)

    # Calculating

    def sum(self, dim: Any = None, dtype: Any = None) -> Any:
        """The sum of all elements, or over some dimensions (a sparse tensor, while sparse ones are left)."""
        if dim is None:
            return self._numbers.sum(**({} if dtype is None else {"dtype": dtype}))
        gone = {d % self.dim() for d in ([dim] if isinstance(dim, int) else dim)}
        dense = [d - self.sparse_dim() + 1 for d in gone if d >= self.sparse_dim()]
        values = self._numbers.sum(dense) if dense else self._numbers
        kept = [d for d in range(self.sparse_dim()) if d not in gone]
        sizes = [n for d, n in enumerate(self.shape) if d not in gone]
        if not kept:
            return values.sum(0)
        return SparseTensor(self._places[kept], values, sizes).coalesce()

    def mm(self, other: Any) -> Any:
        """The product with a matrix, dense or sparse; the result is of that kind."""
        if isinstance(other, SparseTensor):
            return to_sparse(self.mm(other.to_dense()))
        if self.dim() != 2 or other.dim() not in (1, 2) or self.shape[1] != other.shape[0]:
            raise RuntimeError(
                f"mm: a sparse matrix of shape {list(self.shape)} and shape {list(other.shape)} cannot be "
                "multiplied"
            )
        values = self._numbers if other.dim() == 1 else self._numbers.unsqueeze(1)
        products = values * other[self._places[1]]
        return _C.zeros((self.shape[0], *other.shape[1:]), dtype=products.dtype).index_add(
            0, self._places[0], products
        )

    matmul = __matmul__ = mv = mm

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return self.t().mm(other.t() if other.dim() == 2 else other).t()

    def add(self, other: Any, *, alpha: Any = 1) -> Any:
        """The sum with another tensor; dense where that is dense."""
        if not isinstance(other, SparseTensor):
            return self.to_dense().add(other, alpha=alpha)
        if self.shape != other.shape:
            raise RuntimeError(f"add: sparse tensors of shapes {list(self.shape)} and {list(other.shape)}")
        places = _C.cat([self._places, other._places], 1)
        total = SparseTensor(places, _C.cat([self._numbers, other._numbers * alpha]), self.shape)
        return total.to_sparse_csr() if self._compressed else total

    def mul(self, other: Any) -> SparseTensor:
        """The product, element by element."""
        if isinstance(other, SparseTensor):
            return self.mul(other.to_dense())
        whole = self.coalesce()
        if isinstance(other, Tensor) and other.dim() > 0:
            other = other.expand(tuple(self.shape))[tuple(whole._places)]
        return whole._with(whole._numbers * other)

    def div(self, other: Any) -> SparseTensor:
        """Divided by a number, or by dense elements."""
        if isinstance(other, Tensor) and other.dim() > 0:
            return self.mul(1 / other)
        return self._apply(lambda values: values / other)

    def __add__(self, other: Any) -> Any:
        return self.add(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self.add(other, alpha=-1)

    def __neg__(self) -> SparseTensor:
        return self._with(-self._numbers)

    neg = __neg__

    def __mul__(self, other: Any) -> SparseTensor:
        return self.mul(other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return self.div(other)

    def __repr__(self) -> str:
        def part(name: str, value: Tensor) -> str:
            indent = " " * (len("tensor(") + len(name) + 1)
            return f"{name}=" + repr(value.detach()).replace("\n", "\n" + indent)

        rows = [part("indices", self._places)]
        if self._compressed:
            rows = [part("crow_indices", self.crow_indices()), part("col_indices", self.col_indices())]
        rows.append(part("values", self._numbers))
        last = f"size={tuple(self.shape)}, nnz={self._nnz()}, layout={self.layout!r}"
        end = ", requires_grad=True" if self.requires_grad else ""
        if self._compressed:
            return "tensor(" + (",\n       ".join(rows)) + f", {last}{end})"
        return "tensor(" + (",\n       ".join([*rows, last])) + f"{end})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        if name in ("__get__", "__set__") or name in _ABOUT:
            with DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        return _call(name, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(func.overloadpacket.__name__, args, kwargs or {})


# What is asked of any tensor, and needs no elements.
_ABOUT = frozenset(
    "size dim numel __len__ element_size is_floating_point is_complex is_signed register_hook retain_grad "
    "__hash__ data_ptr is_same_size type".split()
)


def _call(name: str, args: Any, kwargs: Any) -> Any:
    """What a function or method of this name does with sparse tensors among its arguments."""
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*args, **kwargs)
    if args and isinstance(args[0], SparseTensor):
        if name in _EACH:
            return args[0]._apply(lambda values: getattr(values, name)(*args[1:], **kwargs))
        own = SparseTensor.__dict__.get(name)
        if isinstance(own, FunctionType) and own.__globals__ is globals():
            return own(*args, **kwargs)
    raise NotImplementedError(
        f"Could not run '{name}' with arguments from the 'SparseCPU' backend: it is not defined for sparse "
        "tensors; use to_dense()"
    )


_EACH = frozenset(  # what leaves zero at zero
    "abs asin asinh atan ceil erf expm1 floor log1p relu round sgn sign sin sinh sqrt square tan tanh trunc "
    "pow".split()
)


def _product(a: Any, b: Any, *_: Any, **__: Any) -> Any:
    return a.mm(b) if isinstance(a, SparseTensor) else b.__rmatmul__(a)


def _sum_of(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    if isinstance(a, SparseTensor):
        return a.add(b, alpha=alpha)
    return a.index_put(tuple(b._places), b._numbers * alpha, accumulate=True)


def _add_to(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    """a += alpha * b."""
    if not isinstance(a, SparseTensor):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(
                f"add_: a sparse tensor of shape {list(b.shape)} cannot be added to {list(a.shape)}"
            )
        return a.index_put_(tuple(b._places), (b._numbers * alpha).to(a.dtype), accumulate=True)
    return a._become(a.add(b, alpha=alpha))


def _copied(a: Any, b: Any, *_: Any) -> Any:
    """a = b, in a's memory."""
    return a._become(b.clone()) if isinstance(a, SparseTensor) else a.copy_(b.to_dense())


def _replaced(a: Any, result: Any) -> Any:
    """a = result, in a's memory."""
    return a._become(result) if isinstance(a, SparseTensor) else a.copy_(_dense(result))


def _dense(value: Any) -> Tensor:
    return value.to_dense() if isinstance(value, SparseTensor) else value


def _product_and_sum(mat: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * mat + alpha * mat1 @ mat2."""
    return _product(mat1, mat2) * alpha + mat * beta


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("mm", "matmul", "spmm", "smm", "mv", "__matmul__"), _product),
    "add": _sum_of,
    "add_": _add_to,
    "sub_": lambda a, b, alpha=1: _add_to(a, b, alpha=-alpha),
    "copy_": _copied,
    "zero_": lambda a: a._become(SparseTensor(a._places[:, :0], a._numbers[:0], a.shape, True)),
    "mul_": lambda a, b: _replaced(a, _C.mul(a, b)),
    "div_": lambda a, b: _replaced(a, _C.div(a, b)),
    "empty_like": lambda a, **_: SparseTensor(a._places[:, :0], a._numbers[:0], a.shape, True),
    "equal": lambda a, b: _C.equal(_dense(a), _dense(b)),
    "allclose": lambda a, b, *rest, **named: _C.allclose(_dense(a), _dense(b), *rest, **named),
    "addmm": _product_and_sum,
    "sub": lambda a, b, alpha=1: _sum_of(a, b, alpha=-alpha),
    "mul": lambda a, b: a.mul(b) if isinstance(a, SparseTensor) else b.mul(a),
    "zeros_like": lambda a, **_: SparseTensor(a._places[:, :0], a._numbers[:0], a.shape, True),
}


def sparse_coo_tensor(
    indices: Any,
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
        size = _C.Size(indices if size is None else size)
        indices, values = _C.zeros(len(size), 0, dtype=_C.int64), _C.zeros(0, dtype=dtype or _C.float32)
    places = indices if isinstance(indices, Tensor) else _C.tensor(indices, dtype=_C.int64)
    numbers = values if isinstance(values, Tensor) else _C.tensor(values)
    if dtype is not None:
        numbers = numbers.to(dtype)
    if places.dim() != 2 or numbers.dim() == 0 or places.shape[1] != numbers.shape[0]:
        raise RuntimeError(
            f"sparse_coo_tensor: indices of shape {list(places.shape)} and values of shape "
            f"{list(numbers.shape)}: [dimensions, stored] and [stored, ...] are needed"
        )
    largest = places.max(1).values.tolist() if places.shape[1] else [-1] * places.shape[0]
    if size is None:
        size = [place + 1 for place in largest] + list(numbers.shape[1:])
    if len(size) != places.shape[0] + numbers.dim() - 1 or places.numel() and places.min() < 0:
        raise RuntimeError(f"sparse_coo_tensor: indices and values do not fit the size {list(size)}")
    if any(place >= int(n) for place, n in zip(largest, size, strict=False)):
        raise RuntimeError(
            f"sparse_coo_tensor: size is inconsistent with indices: {largest} lies outside of {list(size)}"
        )
    if requires_grad:
        numbers = numbers.detach().requires_grad_(True)
    return SparseTensor(places.long(), numbers, size, bool(is_coalesced))


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


def to_sparse(dense: Tensor, *_: Any, layout: Any = None, **__: Any) -> SparseTensor:
    """The elements of a dense tensor that are not zero, as coordinates (or rows, by `layout`)."""
    places = dense.detach().nonzero().t().contiguous()
    made = SparseTensor(places, dense[tuple(places)], dense.shape, True)
    return made.to_sparse_csr() if layout == sparse_csr else made


def sparse_mask(dense: Tensor, mask: SparseTensor) -> SparseTensor:
    """The elements of a dense tensor at the places of `mask`; the shapes must be equal."""
    if tuple(dense.shape) != tuple(mask.shape):
        raise RuntimeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(dense.shape)} but mask "
            f"has size {list(mask.shape)}"
        )
    return SparseTensor(mask._places, dense[tuple(mask._places)], mask.shape, mask._coalesced)


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


def to_sparse_csr(dense: Tensor, *_: Any) -> SparseTensor:
    """The elements of a dense matrix that are not zero, as compressed rows."""
    return to_sparse(dense).to_sparse_csr()
