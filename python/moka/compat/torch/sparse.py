"""torch.sparse: functions of sparse tensors, which moka.sparse makes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka.layouts import layout
from moka.sparse import (
    SparseTensor,
    sampled_addmm,
    sparse_coo,
    sparse_coo_tensor,
    sparse_csr,
    sparse_csr_tensor,
    spdiags,
)
from moka.sparse.functions import reduced_product
from moka.sparse.tensor import TABLE

from .refusing import refused_function

__all__ = [
    "sparse_coo",
    "sparse_coo_tensor",
    "sparse_csr",
    "sparse_csr_tensor",
    "addmm",
    "log_softmax",
    "mm",
    "sampled_addmm",
    "softmax",
    "spdiags",
    "sum",
]

_NONE = "Moka has sparse tensors of coordinates and of compressed rows"

jagged = layout("jagged")
sparse_csc, sparse_bsr, sparse_bsc = (layout(f"sparse_{kind}") for kind in ("csc", "bsr", "bsc"))
ROOT = "sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor sparse_compressed_tensor".split()
for _name in ROOT:
    globals()[_name] = refused_function(f"torch.{_name}", _NONE)

softmax, log_softmax = moka.softmax, moka.log_softmax


def mm(mat1: Any, mat2: Any, reduce: str = "sum") -> Any:
    """The product of two matrices, either of which may be sparse; or the mean, amax, amin of what meets."""
    return moka.mm(mat1, mat2) if reduce == "sum" else reduced_product(mat1, mat2, reduce)


spmm = dsmm = mm
smm, hspmm, sspaddmm, saddmm = TABLE["smm"], TABLE["hspmm"], TABLE["sspaddmm"], TABLE["saddmm"]
hsmm = hspmm
_sparse_broadcast_to = TABLE["_sparse_broadcast_to"]


def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * mat + alpha * mat1 @ mat2."""
    return moka.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of all elements, or over dimensions."""
    options = {} if dtype is None else {"dtype": dtype}
    return input.sum(**options) if dim is None else input.sum(dim, **options)


class _TypedMeta(type):
    """isinstance(x, torch.sparse.FloatTensor) asks for the layout and the type of the elements."""

    dtype: Any

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, SparseTensor) and value.is_sparse and value.dtype == cls.dtype


class _Typed(metaclass=_TypedMeta):
    """Older constructors: (indices, values), (indices, values, size), or sizes of a tensor of zeros."""

    dtype: Any = None

    def __new__(cls, *args: Any) -> Any:
        if args and isinstance(args[0], moka.Tensor):
            return sparse_coo_tensor(*args)
        size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args or (0,)
        indices = moka.zeros((len(size), 0), dtype=moka.int64)
        return sparse_coo_tensor(indices, moka.zeros(0, dtype=cls.dtype), size)


for _name, _dtype in {
    **{"FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16"},
    **{"IntTensor": "int32", "LongTensor": "int64", "ShortTensor": "int16", "CharTensor": "int8"},
    **{"ByteTensor": "uint8", "BoolTensor": "bool", "BFloat16Tensor": "bfloat16"},
}.items():
    _body = {"dtype": getattr(moka, _dtype), "__module__": "torch.sparse", "__doc__": _Typed.__doc__}
    globals()[_name] = _TypedMeta(_name, (_Typed,), _body)

_REFUSED = ("as_sparse_gradcheck check_sparse_tensor_invariants spsolve").split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.sparse.{_name}", _NONE)
__all__ += _REFUSED
