"""Approximations of low rank by random projections (Halko, Martinsson, Tropp 2011), and the nuclear norm."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from . import _C
from ._C import Tensor

__all__ = ["nuclear_norm", "pca_lowrank", "svd_lowrank"]


def _range_of(a: Tensor, q: int, niter: int) -> Tensor:
    """Orthonormal columns whose span nearly holds the range of `a`: random columns, `niter` power steps."""
    basis = _C.linalg_qr(a @ _C.randn(a.shape[-1], q, dtype=a.dtype))[0]
    for _ in range(niter):
        basis = _C.linalg_qr(a.mH @ basis)[0]
        basis = _C.linalg_qr(a @ basis)[0]
    return basis


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V with A - M close to U diag(S) V^H, of rank `q` or less.

    Args:
        A: [..., m, n], floating or complex.
        q: how many singular values; a little more than are needed.
        niter: power steps, which sharpen the result where singular values fall slowly.
        M: a mean to take away first, [..., m, n] or what broadcasts to it.
    """
    a = A if M is None else A - M
    rows, columns = a.shape[-2:]
    count = 6 if q is None else q
    steps = 2 if niter is None else niter
    if not 0 <= count <= min(rows, columns):
        raise ValueError(f"svd_lowrank: q(={count}) must be between 0 and min(m, n)={min(rows, columns)}")
    if steps < 0:
        raise ValueError(f"svd_lowrank: niter(={steps}) must be non-negative integer")
    if rows < columns:
        basis = _range_of(a.mH, count, steps)
        left, values, right = _C.linalg_svd(a @ basis, False)
        return left, values, basis @ right.mH
    basis = _range_of(a, count, steps)
    left, values, right = _C.linalg_svd(basis.mH @ a, False)
    return basis @ left, values, right.mH


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """The principal components of the rows of A, [..., m, n]: svd_lowrank of A less the mean of its columns.

    `q` is min(6, m, n) where not given; without `center` no mean is taken away.
    """
    if not A.is_floating_point() and not A.is_complex():
        raise ValueError(f"pca_lowrank: input tensor must be floating or complex, got {A.dtype}")
    count = min(6, *A.shape[-2:]) if q is None else q
    if not 0 <= count <= min(A.shape[-2:]):
        raise ValueError(
            f"pca_lowrank: q(={count}) must be non-negative integer and not greater than min(m, n)="
            f"{min(A.shape[-2:])}"
        )
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, count, niter)


def nuclear_norm(
    input: Tensor,
    dim: tuple[int, int] | None = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The sum of the singular values of matrices in the two dimensions `dim`, the last two when None."""
    result = _C.linalg_matrix_norm(input, "nuc", [-2, -1] if dim is None else list(dim), keepdim)
    return result if out is None else out.resize_(result.shape).copy_(result)
