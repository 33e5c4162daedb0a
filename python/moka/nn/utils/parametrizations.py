"""Ready parametrizations: weight_norm, spectral_norm, orthogonal."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

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
    """Matrices with orthonormal columns (rows, where they are wide), made of a skew-symmetric matrix A by its
    exponential or the Cayley map, or of Householder's reflections; times an orthogonal base.
    """

    base: Tensor | None

    def __init__(self, kind: str, with_base: bool) -> None:
        super().__init__()
        self.orthogonal_map = kind
        self.with_base = with_base
        if with_base:
            self.register_buffer("base", None)

    def forward(self, original: Tensor) -> Tensor:
        wide = original.shape[-2] < original.shape[-1]
        x = original.mT if wide else original
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            below = x.tril(-1)
            q = _C.linalg_householder_product(below, 2.0 / (1.0 + (below * below).sum(-2)))
            q = q * x.diagonal(0, -2, -1).detach().unsqueeze(-2)
        else:
            below = x.tril()
            if k < n:
                below = _C.cat([below, below.new_zeros(*below.shape[:-1], n - k)], -1)
            skew = below - below.mH
            if self.orthogonal_map == "matrix_exp":
                q = _C.linalg_matrix_exp(skew)
            else:
                identity = _C.eye(n, dtype=skew.dtype)
                q = _C.linalg_solve(identity - skew / 2, identity + skew / 2)
            q = q[..., :k]
        if self.with_base and self.base is not None:
            q = _C.matmul(self.base, q)
        return q.mT if wide else q

    @no_grad()
    def right_inverse(self, value: Tensor) -> Tensor:
        """A parameter whose matrix is the orthogonal one nearest to `value`: kept as the base, where there is
        one.
        """
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        n, k = q.shape[-2:]
        if not self.with_base:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"orthogonal: a weight can be assigned only with use_trivialization=True or "
                    f"orthogonal_map='householder', not with {self.orthogonal_map!r}"
                )
            a, tau = _C.geqrf(q)
            sign = _C.where(tau == 0, -a.diagonal(0, -2, -1).sign(), a.diagonal(0, -2, -1).sign())
            a.diagonal(0, -2, -1).copy_(sign)
            return a.mT if wide else a
        if k < n:
            q = _orthonormal(_C.cat([q, _C.randn(*q.shape[:-1], n - k, dtype=q.dtype)], -1))
        else:
            q = q.clone() if _is_orthonormal(q) else _orthonormal(q)
        self.base = q
        start = _C.zeros_like(value)
        start.diagonal(0, -2, -1).fill_(-1.0)  # all maps make the identity of it
        return start


def _is_orthonormal(q: Tensor) -> bool:
    from ...numeric_types import finfo

    eps = 10 * q.shape[-2] * finfo(q.dtype).eps
    identity = _C.eye(q.shape[-1], dtype=q.dtype)
    return bool(((_C.matmul(q.mH, q) - identity).abs() <= eps).all().item())


def _orthonormal(x: Tensor) -> Tensor:
    """Q of the QR factorization whose R has a positive diagonal."""
    a, tau = _C.geqrf(x)
    return _C.linalg_householder_product(a, tau) * a.diagonal(0, -2, -1).sgn().unsqueeze(-2)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """weight has orthonormal columns (or rows, where it is wide).

    Args:
        orthogonal_map: "matrix_exp" or "cayley" of a skew-symmetric matrix, or "householder" for products of
            reflections; "matrix_exp" for square and complex weights unless given, else "householder".
        use_trivialization: the map is taken around the orthogonal matrix nearest to the first weight, and
            weights can be assigned.
    """
    weight = getattr(module, name)
    if not isinstance(weight, Tensor):
        raise ValueError(f"orthogonal: {name!r} of {type(module).__name__} is no parameter or buffer")
    if weight.dim() < 2:
        raise ValueError(f"orthogonal: {name!r} must be a matrix or a batch of matrices")
    square = weight.shape[-2] == weight.shape[-1]
    kind = orthogonal_map or ("matrix_exp" if square or weight.is_complex() else "householder")
    if kind not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            f"orthogonal: orthogonal_map must be 'matrix_exp', 'cayley' or 'householder', not {kind!r}"
        )
    if kind == "householder" and weight.is_complex():
        raise ValueError("orthogonal: the householder map is for real weights")
    return register_parametrization(module, name, _Orthogonal(kind, use_trivialization), unsafe=True)
