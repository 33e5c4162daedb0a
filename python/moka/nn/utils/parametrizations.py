"""Ready parametrizations: weight_norm, spectral_norm, orthogonal."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from ..module import Module
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def norm_except(value: Tensor, dim: int) -> Tensor:
    """The norm of every slice along `dim` (all other dimensions kept as 1); of everything for -1."""
    if dim == -1:
        return (value * value).sum().sqrt()
    others = [i for i in range(value.dim()) if i != dim]
    squares = value * value
    return (squares.sum(others, keepdim=True) if others else squares).sqrt()


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, size: Tensor, direction: Tensor) -> Tensor:
        return direction * (size / norm_except(direction, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """weight = g * v / |v|: size (original0) and direction (original1) are trained apart, the norm taken of
    every slice along `dim`, or of everything for None (Salimans and Kingma 2016).
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(
                f"spectral_norm: n_power_iterations must be at least 1, but is {n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + weight.dim()
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.dim() > 1:
            matrix = self._matrix(weight.detach())
            rows, columns = matrix.shape
            self.register_buffer("_u", self._unit(_C.randn(rows, dtype=weight.dtype)))
            self.register_buffer("_v", self._unit(_C.randn(columns, dtype=weight.dtype)))
            self._iterate(matrix, 15)

    def _unit(self, vector: Tensor) -> Tensor:
        return vector / (vector * vector).sum().sqrt().clamp_min(self.eps)

    def _matrix(self, weight: Tensor) -> Tensor:
        if self.dim:
            weight = weight.transpose(0, self.dim)
        return weight.reshape(weight.shape[0], -1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(self._unit(_C.matmul(matrix, self._v)))
                self._v.copy_(self._unit(_C.matmul(matrix.t(), self._u)))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u * _C.matmul(matrix, v)).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """weight = original / its largest singular value, found by power iteration (Miyato and others 2018).

    Args:
        dim: the dimension of the outputs; 0 unless given, 1 for transposed convolutions.
    """
    weight = getattr(module, name)
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    function = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, function)


class _Orthogonal(Module):
    """Q of the Cayley map or the matrix exponential of a skew-symmetric matrix, times a fixed orthogonal
    base."""

    def __init__(self, weight: Tensor, kind: str, base: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("base", base)

    def forward(self, original: Tensor) -> Tensor:
        rows, columns = original.shape[-2], original.shape[-1]
        tall = rows >= columns
        x = original if tall else original.transpose(-2, -1)
        n, k = x.shape[-2], x.shape[-1]
        below = _C.tensor([[1.0 if i > j else 0.0 for j in range(k)] for i in range(n)], dtype=x.dtype)
        skew = x * below
        if k < n:
            skew = _C.cat([skew, _C.zeros((*x.shape[:-1], n - k), dtype=x.dtype)], -1)
        skew = skew - skew.transpose(-2, -1)
        q = _exponential(skew) if self.kind == "matrix_exp" else _cayley(skew)
        q = _C.matmul(self.base, q)[..., :k]
        return q if tall else q.transpose(-2, -1)


def _identity(like: Tensor) -> Tensor:
    return _C.eye(like.shape[-1], dtype=like.dtype)


def _exponential(matrix: Tensor) -> Tensor:
    """exp by scaling and squaring of its series (Moler and Van Loan 2003, method 3)."""
    size = matrix.detach().abs().sum(-1).max().item()
    halvings = max(0, math.ceil(math.log2(size)) + 1) if size > 0 else 0
    small = matrix / 2.0**halvings
    result = term = _identity(matrix).expand(matrix.shape)
    for i in range(1, 19 if matrix.dtype == _C.float64 else 12):
        term = _C.matmul(term, small) / i
        result = result + term
    for _ in range(halvings):
        result = _C.matmul(result, result)
    return result


def _cayley(matrix: Tensor) -> Tensor:
    """(I - A/2)^-1 (I + A/2), the inverse by Newton's iteration X = X (2 I - M X)."""
    identity = _identity(matrix)
    m = identity - matrix / 2
    # M M^T = I - A^2 / 4 is at least I, so this start converges.
    x = m.transpose(-2, -1) / (m.detach() * m.detach()).sum().item()
    for _ in range(60):
        x = _C.matmul(x, 2 * identity - _C.matmul(m, x))
    return _C.matmul(x, identity + matrix / 2)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """weight has orthonormal columns (or rows, where it is wide): weight = B exp(A) with A skew-symmetric.

    Args:
        orthogonal_map: "matrix_exp" or "cayley" ("matrix_exp" unless given).
        use_trivialization: B is the orthogonal matrix nearest to the first weight; else the identity.
    """
    weight = getattr(module, name)
    if not isinstance(weight, Tensor) or weight.dim() < 2:
        raise ValueError(f"orthogonal: {name!r} must be a matrix or a batch of matrices")
    kind = orthogonal_map or "matrix_exp"
    if kind not in ("matrix_exp", "cayley"):
        raise ValueError(f"orthogonal: orthogonal_map must be 'matrix_exp' or 'cayley', not {kind!r}")
    n = max(weight.shape[-2:])
    base: Any = _C.eye(n, dtype=weight.dtype)
    if use_trivialization:
        import numpy as np

        values = weight.detach().numpy()
        values = values if weight.shape[-2] >= weight.shape[-1] else np.swapaxes(values, -2, -1)
        q, r = np.linalg.qr(values, mode="complete")
        sign = np.ones(q.shape[:-2] + (n,), dtype=q.dtype)
        diagonal = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
        sign[..., : diagonal.shape[-1]] = np.where(diagonal == 0, 1, diagonal)
        base = _C.from_numpy(np.ascontiguousarray(q * sign[..., None, :]))
    with no_grad():
        weight.zero_()
    return register_parametrization(module, name, _Orthogonal(weight, kind, base))
