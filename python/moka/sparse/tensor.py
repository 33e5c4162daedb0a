"""The sparse tensor itself: places, values, the forms that it takes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _C
from .._C import Tensor
from ..dispatching import make_wrapper_subclass
from ..layouts import layout
from ..overrides import DisableTorchFunctionSubclass
from ..statistics import unique

__all__ = ["TABLE", "SparseTensor", "entry", "sparse_coo", "sparse_csr"]

sparse_coo, sparse_csr = layout("sparse_coo"), layout("sparse_csr")

TABLE: dict[str, Callable[..., Any]] = {}  # what functions and methods of these names do with sparse tensors


def entry(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function answers for these names. Forms that write (`name_`, out=) follow from it."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return enter


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

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._numbers.requires_grad_(value)

    @property
    def grad(self) -> SparseTensor | None:
        """The gradient of its values, in the same places."""
        found = self._numbers.grad
        if found is None or self._coalesced:
            return None if found is None else self._with(found)
        # Values that add up have the gradient of their sum, each of them.
        keys, into = unique(self.keys(), sorted=True, return_inverse=True)
        first = _C.zeros_like(keys).index_put((into,), _C.arange(0, self._nnz()))
        return SparseTensor(self._places[:, first], found[first], self.shape, True)

    @grad.setter
    def grad(self, value: SparseTensor | None) -> None:
        self._numbers.grad = None if value is None else value.to_sparse().values_at(self._places)

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

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The sizes, or one of them."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """How many elements there are, stored or zero."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.to_dense())

    def is_nonzero(self) -> bool:
        """Whether the only element is not zero."""
        return bool(self)

    def is_floating_point(self) -> bool:
        """Whether the elements are floating."""
        return bool(self.dtype.is_floating_point)

    def is_complex(self) -> bool:
        """Whether the elements are complex."""
        return bool(self.dtype.is_complex)

    def is_contiguous(self, *_: Any, **__: Any) -> bool:
        """True."""
        return True

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

    def keys(self, places: Tensor | None = None) -> Tensor:
        """One number for each place (of this tensor, unless others are given), in the order of coalesce()."""
        places = self._places if places is None else places
        flat = _C.zeros(places.shape[1], dtype=_C.int64)
        for d in range(self.sparse_dim()):
            flat = flat * self.shape[d] + places[d]
        return flat

    def values_at(self, places: Tensor) -> Tensor:
        """The elements at other places: [places, ...], zero where none is stored."""
        whole = self.coalesce()
        there, found = whole.find(whole.keys(places))
        if whole._nnz() == 0:
            return _C.zeros((places.shape[1], *whole._numbers.shape[1:]), dtype=self.dtype)
        values = whole._numbers[there]
        return _C.where(found.reshape(-1, *[1] * self.dense_dim()), values, _C.zeros_like(values))

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """For each key the position among those of this coalesced tensor, and whether it stands there."""
        own = self.keys()
        if own.numel() == 0:
            return _C.zeros_like(keys), _C.zeros(keys.shape, dtype=_C.bool)
        there = _C.searchsorted(own, keys).clamp(max=own.numel() - 1)
        return there, own[there] == keys

    # Other forms

    def _with(self, values: Tensor) -> SparseTensor:
        return SparseTensor(self._places, values, self.shape, self._coalesced, self._compressed)

    def as_before(self, result: SparseTensor) -> SparseTensor:
        """A result as rows, where this tensor is made of rows."""
        return result.to_sparse_csr() if self._compressed else result

    def coalesce(self) -> SparseTensor:
        """Places sorted, values of equal places added up."""
        if self._coalesced:
            return self
        if self._nnz() < 2:
            return SparseTensor(self._places, self._numbers, self.shape, True)
        if self.dtype == _C.bool:
            return self._with(self._numbers.to(_C.uint8)).coalesce().to(_C.bool)
        keys, into = unique(self.keys(), sorted=True, return_inverse=True)
        total = _C.zeros((keys.numel(), *self._numbers.shape[1:]), dtype=self.dtype)
        values = total.index_add(0, into, self._numbers)
        if self.sparse_dim() == 0:  # one place holds everything
            return SparseTensor(self._places[:, :1], values, self.shape, True)
        rows = []
        for size in reversed(self.shape[: self.sparse_dim()]):
            rows.append(keys % size)
            keys = _C.div(keys, size, rounding_mode="floor")
        return SparseTensor(_C.stack(rows[::-1]), values, self.shape, True)

    def to_dense(self, dtype: Any = None, **_: Any) -> Tensor:
        """All elements, as a Tensor."""
        made = _C.zeros(tuple(self.shape), dtype=self.dtype)
        whole = self if self.dtype != _C.bool else self.coalesce()
        if self.sparse_dim() == 0:
            dense = made + whole._numbers.sum(0).to(self.dtype)
        elif self.numel() == 0:
            dense = made
        else:
            places = tuple(whole._places)
            dense = made.index_put(places, whole._numbers, accumulate=not whole._coalesced)
        return dense if dtype is None else dense.to(dtype)

    def to_sparse(self, sparse_dim: Any = None, *, layout: Any = None, **_: Any) -> SparseTensor:
        """The same as coordinates."""
        if layout == sparse_csr:
            return self.to_sparse_csr()
        if type(sparse_dim) is int and sparse_dim != self.sparse_dim():
            return self.to_dense().to_sparse(sparse_dim)
        return SparseTensor(self._places, self._numbers, self.shape, self._coalesced)

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, *_: Any) -> SparseTensor:
        """The same as compressed rows; a matrix is needed."""
        if self.dim() != 2 or self.dense_dim() > 0:
            raise ValueError(f"to_sparse_csr: a matrix is needed, but the shape is {list(self.shape)}")
        whole = self.coalesce()
        return SparseTensor(whole._places, whole._numbers, self.shape, compressed=True)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Values of another type; the same tensor where nothing changes."""
        kind = [value.dtype if isinstance(value, SparseTensor) else value for value in args]
        return self._with(self._numbers.to(*kind, **kwargs))

    def type_as(self, other: Tensor) -> SparseTensor:
        """Values of the type that another tensor has."""
        return self.to(other.dtype)

    def detach(self) -> SparseTensor:
        """The same without history."""
        return self._with(self._numbers.detach())

    def detach_(self) -> SparseTensor:
        """This tensor itself without history."""
        self._numbers = self._numbers.detach()
        return self

    def clone(self, *_: Any, **__: Any) -> SparseTensor:
        """A copy."""
        copied = self._with(self._numbers.clone())
        copied._places = self._places.clone()
        return copied

    def take(self, other: Any) -> SparseTensor:
        """This tensor becomes what `other` is, of its own type."""
        if not isinstance(other, SparseTensor):
            raise RuntimeError(
                "a sparse tensor cannot take a dense result in place; exchange the operands, "
                "as in add(dense, sparse)"
            )
        if tuple(other.shape) != tuple(self.shape):
            with DisableTorchFunctionSubclass():
                _C.Tensor.resize_(self, tuple(other.shape))
        self._places, self._coalesced = other._places, other._coalesced
        self._numbers = other._numbers.to(self.dtype)
        return self

    def _coalesced_(self, coalesced: bool) -> SparseTensor:
        self._coalesced = coalesced
        return self

    def sparse_resize_(self, size: Any, sparse_dim: int, dense_dim: int) -> SparseTensor:
        """Other sizes around what is stored; only an empty tensor may shrink or change what is sparse."""
        size = [int(n) for n in size]
        if sparse_dim + dense_dim != len(size):
            raise RuntimeError(
                f"sparse_resize_: {sparse_dim} sparse and {dense_dim} dense dimensions do not make {size}"
            )
        if self._nnz() == 0:
            return self.sparse_resize_and_clear_(size, sparse_dim, dense_dim)
        old = list(self.shape)
        if (sparse_dim, dense_dim) != (self.sparse_dim(), self.dense_dim()):
            raise RuntimeError(
                f"sparse_resize_: changing the number of sparse dimensions ({self.sparse_dim()} to "
                f"{sparse_dim}) or dense dimensions ({self.dense_dim()} to {dense_dim}) of a non-empty "
                "sparse tensor is not supported; sparse_resize_and_clear_ drops what is stored"
            )
        if any(n < m for n, m in zip(size, old, strict=True)):
            raise RuntimeError(
                f"sparse_resize_: shrinking the size of a non-empty sparse tensor from {old} to {size} is "
                "not supported; sparse_resize_and_clear_ drops what is stored"
            )
        values = self._numbers
        for d in range(dense_dim):
            more = [*values.shape]
            more[d + 1] = size[sparse_dim + d] - more[d + 1]
            values = _C.cat([values, _C.zeros(more, dtype=values.dtype)], d + 1)
        return self.take(SparseTensor(self._places, values, size, self._coalesced))

    def sparse_resize_and_clear_(self, size: Any, sparse_dim: int, dense_dim: int) -> SparseTensor:
        """Other sizes, nothing being stored any more."""
        size = [int(n) for n in size]
        if sparse_dim + dense_dim != len(size):
            raise RuntimeError(
                f"sparse_resize_and_clear_: {sparse_dim} sparse and {dense_dim} dense dimensions do not make "
                f"{size}"
            )
        values = _C.zeros((0, *size[sparse_dim:]), dtype=self.dtype)
        empty = SparseTensor(_C.zeros((sparse_dim, 0), dtype=_C.int64), values, size, True)
        return self.take(empty)

    def resize_as_(self, other: SparseTensor) -> SparseTensor:
        """The sizes of `other`."""
        return self.sparse_resize_(other.shape, other.sparse_dim(), other.dense_dim())

    def new(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """A sparse tensor of this type: of places and values, or of sizes."""
        from .factories import sparse_coo_tensor

        if not args:
            return sparse_coo_tensor((0,), dtype=self.dtype)
        if all(isinstance(value, int) for value in args):
            args = (args,)
        return sparse_coo_tensor(*args, dtype=self.dtype, **kwargs)

    def __deepcopy__(self, memo: Any) -> SparseTensor:
        if not self.is_leaf:
            raise RuntimeError(
                "deepcopy: the sparse tensor was calculated with gradients recorded; detach() it first"
            )
        copied = self._with(self._numbers.detach().clone().requires_grad_(self.requires_grad))
        copied._places = self._places.clone()
        if self._numbers.grad is not None:
            copied._numbers.grad = self._numbers.grad.clone()
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        parts = self._places, self._numbers, tuple(self.shape), self._coalesced, self._compressed
        return SparseTensor, parts

    def item(self) -> Any:
        """The only element, as a number."""
        return self.to_dense().item()

    def tolist(self) -> Any:
        """All elements, as lists of numbers."""
        return self.to_dense().tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        """TypeError: NumPy's arrays are dense."""
        raise TypeError(
            "can't convert a sparse tensor to numpy: arrays store every element; use to_dense() first"
        )

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Whether the values take part in gradients from now on."""
        self._numbers.requires_grad_(requires_grad)
        return self

    def backward(self, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
        """The gradients of what it was made of; `gradient` has its shape and is sparse or dense."""
        if gradient is not None:
            gradient = gradient.to_sparse(self.sparse_dim()).values_at(self._places)
        self._numbers.backward(gradient, *args, **kwargs)

    def __repr__(self) -> str:
        def part(name: str, value: Tensor) -> str:
            indent = " " * (len("tensor(") + len(name) + 1)
            if value.numel():
                plain = value.detach()
                text = repr(plain)
                text = text.removesuffix(f", dtype={plain.dtype!r})").removesuffix(")") + ")"
            else:
                text = f"tensor([], size={tuple(value.shape)})"
            return f"{name}=" + text.replace("\n", "\n" + indent)

        rows = [part("indices", self._places)]
        if self._compressed:
            rows = [part("crow_indices", self.crow_indices()), part("col_indices", self.col_indices())]
        rows.append(part("values", self._numbers))
        last = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        if self.dtype not in (_C.get_default_dtype(), _C.int64, _C.bool):
            last.append(f"dtype={self.dtype!r}")
        last.append(f"layout={self.layout!r}")
        if self.grad_fn is not None:
            last.append(f"grad_fn={self.grad_fn!r}")
        elif self.requires_grad:
            last.append("requires_grad=True")
        between = ", " if self._compressed else ",\n       "
        return "tensor(" + ",\n       ".join(rows) + between + ", ".join(last) + ")"

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
_OPERATORS = {  # what the language's operators are named
    **{f"__{name}__": name for name in "add sub mul neg abs pow matmul rmatmul rsub".split()},
    **{"__radd__": "add", "__rmul__": "mul", "__truediv__": "div", "__floordiv__": "floor_divide"},
    **{"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_"},
    **{"__itruediv__": "div_", "__ifloordiv__": "floor_divide_", "__ipow__": "pow_"},
}


def _call(name: str, args: Any, kwargs: Any) -> Any:
    """What a function or method of this name does with sparse tensors among its arguments."""
    name = _OPERATORS.get(name, name)
    if name in TABLE:
        out = kwargs.pop("out", None)
        result = TABLE[name](*args, **kwargs)
        if out is None:
            return result
        return out.take(result) if isinstance(out, SparseTensor) else out.copy_(result)
    if args and isinstance(args[0], SparseTensor):
        if name.endswith("_") and name[:-1] in TABLE:
            return args[0].take(TABLE[name[:-1]](*args, **kwargs))
        own = SparseTensor.__dict__.get(name)
        if own is not None and callable(own):
            return own(*args, **kwargs)
    raise NotImplementedError(
        f"Could not run '{name}' with arguments from the 'SparseCPU' backend: it is not defined for sparse "
        "tensors; use to_dense()"
    )
