"""torch.sparse: functions of sparse tensors, which moka.sparse makes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka.layouts import layout
from moka.sparse import sparse_coo, sparse_coo_tensor, sparse_csr, sparse_csr_tensor

from .refusing import refused_function

__all__ = [
    "sparse_coo",
    "sparse_coo_tensor",
    "sparse_csr",
    "sparse_csr_tensor",
    "addmm",
    "log_softmax",
    "mm",
    "softmax",
    "sum",
]

_NONE = "Moka has sparse tensors of coordinates and of compressed rows"

jagged = layout("jagged")
sparse_csc, sparse_bsr, sparse_bsc = (layout(f"sparse_{kind}") for kind in ("csc", "bsr", "bsc"))
ROOT = "sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor sparse_compressed_tensor sspaddmm".split()
for _name in ROOT:
    globals()[_name] = refused_function(f"torch.{_name}", _NONE)

softmax, log_softmax = moka.softmax, moka.log_softmax


def mm(mat1: Any, mat2: Any, reduce: str = "sum") -> Any:
    """The product of two matrices, either of which may be sparse."""
    if reduce != "sum":
        raise NotImplementedError(f"torch.sparse.mm: reduce={reduce!r}: there is sum")
    return moka.mm(mat1, mat2)


smm = spmm = dsmm = hsmm = mm


def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * mat + alpha * mat1 @ mat2."""
    return moka.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of all elements, or over dimensions."""
    options = {} if dtype is None else {"dtype": dtype}
    return input.sum(**options) if dim is None else input.sum(dim, **options)


_REFUSED = ("as_sparse_gradcheck check_sparse_tensor_invariants sampled_addmm spdiags spsolve").split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.sparse.{_name}", _NONE)
__all__ += _REFUSED
