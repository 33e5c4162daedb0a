"""Linear algebra of the standard."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any, NamedTuple

import moka
from moka import Tensor

from .dtypes import finfo, together
from .reductions import _flat
from .reductions import sum as _sum

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


class EighResult(NamedTuple):
    """What eigh gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """What qr gives."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """What slogdet gives."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """What svd gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """L with x = L L^H, or U with x = U^H U."""
    return moka.linalg.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The vector product along an axis of size 3."""
    return moka.linalg.cross(*together(x1, x2), dim=axis)


def det(x: Tensor, /) -> Tensor:
    """The determinant."""
    return moka.linalg.det(x)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """Diagonals of matrices."""
    return moka.diagonal(x, offset, -2, -1)


def eigh(x: Tensor, /) -> EighResult:
    """Eigenvalues and eigenvectors of Hermitian matrices."""
    return EighResult(*moka.linalg.eigh(x))


def eigvalsh(x: Tensor, /) -> Tensor:
    """Eigenvalues of Hermitian matrices."""
    return moka.linalg.eigvalsh(x)


def inv(x: Tensor, /) -> Tensor:
    """The inverse."""
    return moka.linalg.inv(x)


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The matrix product."""
    return moka.matmul(*together(x1, x2))


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of matrices."""
    return moka.linalg.matrix_norm(x, ord, (-2, -1), keepdims)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """x times itself n times."""
    return moka.linalg.matrix_power(x, n)


def _relative(x: Tensor, rtol: Any) -> Any:
    if rtol is None:
        return max(x.shape[-2:]) * finfo(x.dtype).eps
    return rtol.unsqueeze(-1) if isinstance(rtol, Tensor) and rtol.dim() else rtol


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values exceed rtol times the largest."""
    if x.dim() < 2:
        raise ValueError(f"matrix_rank: matrices are needed, but the shape is {list(x.shape)}")
    values = moka.linalg.svdvals(x)
    if values.shape[-1] == 0:
        return values.sum(-1).to(moka.int64)
    return (values > _relative(x, rtol) * moka.amax(values, -1, keepdim=True)).sum(-1)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged."""
    if x.dim() < 2:
        raise ValueError(f"matrix_transpose: matrices are needed, but the shape is {list(x.shape)}")
    return x.transpose(-2, -1)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """All products of the elements of two vectors."""
    return moka.outer(*together(x1, x2))


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The pseudoinverse."""
    return moka.linalg.pinv(x, rtol=max(x.shape[-2:]) * finfo(x.dtype).eps if rtol is None else rtol)


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """An orthogonal matrix and a triangle whose product is x."""
    return QRResult(*moka.linalg.qr(x, mode))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """Sign and logarithm of the determinant."""
    return SlogdetResult(*moka.linalg.slogdet(x))


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """y with x1 y = x2; x2 is a vector only if it has one dimension."""
    x1, x2 = together(x1, x2)
    if x2.dim() == 1:
        return moka.linalg.solve(x1, x2.unsqueeze(-1)).squeeze(-1)
    batch = moka.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    return moka.linalg.solve(x1.expand((*batch, -1, -1)), x2.expand((*batch, -1, -1)))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular vectors and values."""
    return SVDResult(*moka.linalg.svd(x, full_matrices=full_matrices))


def svdvals(x: Tensor, /) -> Tensor:
    """Singular values."""
    return moka.linalg.svdvals(x)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    """Products summed over axes of both."""
    return moka.tensordot(*together(x1, x2), dims=axes if isinstance(axes, int) else [list(a) for a in axes])


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of each diagonal."""
    return _sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The products of elements along an axis summed, the first conjugated."""
    x1, x2 = together(x1, x2)
    if x1.shape[axis] != x2.shape[axis]:
        raise ValueError(f"vecdot: axis {axis} has the sizes {x1.shape[axis]} and {x2.shape[axis]}")
    product = (x1.conj() if x1.is_complex() else x1) * x2
    return product.sum(axis, dtype=product.dtype)


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """A norm over axes, of all elements by default."""
    flat, shape = _flat(x, axis, keepdims)
    if ord == 0:
        return (flat != 0).sum(-1).to(finfo(x.dtype).dtype).reshape(shape)
    if flat.shape[-1] == 0 and math.isinf(ord):
        raise ValueError("vector_norm: the infinity norm of no elements")
    return moka.linalg.vector_norm(flat, ord, -1).reshape(shape)
