"""Sparse tensors: coordinates or compressed rows, and values; a subclass of Tensor, which operators ask.

The layout stands on dense operators: values carry the gradient, products gather and add rows. `tensor` has
the class, `functions` and `shapes` what functions do with it, each in one entry of one table, `factories`
makes it.
"""
# SPDX-License-Identifier: Apache-2.0

from . import functions, shapes  # noqa: F401  (they enter themselves in the table)
from .factories import (
    create,
    sampled_addmm,
    sparse_coo_tensor,
    sparse_csr_tensor,
    sparse_mask,
    spdiags,
    to_sparse,
    to_sparse_csr,
)
from .tensor import SparseTensor, sparse_coo, sparse_csr

__all__ = [
    "SparseTensor",
    "create",
    "sampled_addmm",
    "sparse_coo",
    "sparse_coo_tensor",
    "sparse_csr",
    "sparse_csr_tensor",
    "sparse_mask",
    "spdiags",
    "to_sparse",
    "to_sparse_csr",
]
