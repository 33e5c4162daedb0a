"""torch.sparse: tensors here are dense; making a sparse one is refused."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka
from moka.layouts import layout

from .refusing import refused_function

__all__ = [
    "addmm",
    "log_softmax",
    "mm",
    "softmax",
    "sum",
]

_NONE = "tensors of Moka are dense"

jagged = layout("jagged")
sparse_coo, sparse_csr, sparse_csc, sparse_bsr, sparse_bsc = (
    layout(f"sparse_{kind}") for kind in ("coo", "csr", "csc", "bsr", "bsc")
)
ROOT = (
    "sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor "
    "sparse_compressed_tensor hsmm hspmm smm sspaddmm dsmm"
).split()
for _name in ROOT:
    globals()[_name] = refused_function(f"torch.{_name}", _NONE)

softmax, log_softmax = moka.softmax, moka.log_softmax


def mm(mat1: Any, mat2: Any, reduce: str = "sum") -> Any:
    """The product of two matrices, which are dense here."""
    if reduce != "sum":
        raise NotImplementedError(f"torch.sparse.mm: reduce={reduce!r} is for sparse matrices; {_NONE}")
    return moka.mm(mat1, mat2)


def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * mat + alpha * mat1 @ mat2, of dense matrices."""
    return moka.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum over dimensions, of a dense tensor."""
    options = {} if dtype is None else {"dtype": dtype}
    return input.sum(**options) if dim is None else input.sum(dim, **options)


_REFUSED = ("as_sparse_gradcheck check_sparse_tensor_invariants sampled_addmm spdiags spsolve").split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.sparse.{_name}", _NONE)
__all__ += _REFUSED
