"""Vectors of dependent normals: MultivariateNormal, and LowRankMultivariateNormal for few causes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import moka
from moka import Size, Tensor

from . import constraints
from .distribution import Distribution
from .utils import lazy_property, one_of_matrices, standard_normal

__all__ = ["LowRankMultivariateNormal", "MultivariateNormal"]


def diagonal(matrix: Tensor) -> Tensor:
    """The diagonals [..., n] of matrices [..., n, n]."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def half_log_det(factor: Tensor) -> Tensor:
    """log det(L L^T) / 2 of Cholesky factors L."""
    return diagonal(factor).log().sum(-1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrices [..., n, m] times vectors [..., m]."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def solve_vectors(factor: Tensor, vectors: Tensor) -> Tensor:
    """L^-1 v for lower triangles [*batch, n, n] and vectors [*sample, *batch, n].

    All samples are columns of one system, so that no triangle is copied for each of them.
    """
    batch = factor.dim() - 2
    missing = batch + 1 - vectors.dim()
    if missing > 0:
        vectors = vectors.reshape((*(1,) * missing, *vectors.shape))
    samples = vectors.dim() - batch - 1
    columns = vectors.permute([*range(samples, vectors.dim()), *range(samples)])
    columns = columns.reshape((*columns.shape[: batch + 1], -1))
    solved = moka.linalg.solve_triangular(factor, columns, upper=False)
    solved = solved.reshape((*solved.shape[:-1], *vectors.shape[:samples]))
    return solved.permute([*range(batch + 1, solved.dim()), *range(batch + 1)])


def mahalanobis(factor: Tensor, vectors: Tensor) -> Tensor:
    """v^T (L L^T)^-1 v for lower triangles [*batch, n, n] and vectors [*sample, *batch, n]."""
    return solve_vectors(factor, vectors).square().sum(-1)


def factor_of_inverse(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of a matrix, without the inverse."""
    # With the order of rows and columns turned around, P = U U^T; then P^-1 = U^-T U^-1.
    turned = moka.linalg.cholesky(precision.flip((-2, -1)))
    upper = turned.flip((-2, -1)).mT
    unit = moka.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return moka.linalg.solve_triangular(upper, unit, upper=False)


class MultivariateNormal(Distribution):
    """Vectors of mean loc whose entries have a covariance matrix, given in one of three forms.

    Args:
        loc: [..., n]
        covariance_matrix, precision_matrix, scale_tril: [..., n, n]: the covariances, their inverse, or their
            Cholesky factor, which costs nothing to use
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _expands = {
        "loc": 1,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": None,
    }

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("MultivariateNormal: loc must be at least one-dimensional.")
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = one_of_matrices("MultivariateNormal", **matrices)
        matrix: Any = matrices[given]
        if matrix.dim() < 2:
            raise ValueError(f"MultivariateNormal: {given} must be at least two-dimensional.")
        batch = moka.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand((*batch, -1))
        self.__dict__[given] = matrix.expand((*batch, -1, -1))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        if given == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif given == "covariance_matrix":
            self._unbroadcasted_scale_tril = moka.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = factor_of_inverse(matrix)

    def _wide(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        return self._wide(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self._wide(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return self._wide(moka.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        squares = self._unbroadcasted_scale_tril.square().sum(-1)
        return squares.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + _apply(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        constant = 0.5 * self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * distance - half_log_det(self._unbroadcasted_scale_tril) - constant

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
        return (constant + half_log_det(self._unbroadcasted_scale_tril)).expand(self._batch_shape)


class LowRankMultivariateNormal(Distribution):
    """Vectors of mean loc and covariance W W^T + diag(d); costs grow with the few columns of W, not with n^3.

    Args:
        loc: [..., n]
        cov_factor: W, [..., n, rank]
        cov_diag: d, [..., n]
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _expands = {
        "loc": 1,
        "cov_factor": 2,
        "cov_diag": 1,
        "_unbroadcasted_cov_factor": None,
        "_unbroadcasted_cov_diag": None,
        "_capacitance_tril": None,
    }

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:
        name = "LowRankMultivariateNormal"
        if loc.dim() < 1:
            raise ValueError(f"{name}: loc must be at least one-dimensional.")
        size = loc.shape[-1]
        if cov_factor.dim() < 2:
            raise ValueError(f"{name}: cov_factor must be at least two-dimensional.")
        if cov_factor.shape[-2] != size:
            raise ValueError(
                f"{name}: cov_factor must be a batch of matrices with shape {size} x m, but has shape "
                f"{list(cov_factor.shape)}"
            )
        if tuple(cov_diag.shape[-1:]) != (size,):
            raise ValueError(
                f"{name}: cov_diag must be a batch of vectors of size {size}, but has shape "
                f"{list(cov_diag.shape)}"
            )
        try:
            batch = moka.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"{name}: Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                f"cov_diag {cov_diag.shape}"
            ) from error
        self.loc, self.cov_diag = loc.expand((*batch, -1)), cov_diag.expand((*batch, -1))
        self.cov_factor = cov_factor.expand((*batch, -1, -1))
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        # The Cholesky factor of I + W^T D^-1 W, by which the matrix inversion lemma works in the small space.
        scaled = cov_factor.mT / cov_diag.unsqueeze(-2)
        inner = scaled @ cov_factor
        unit = moka.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
        self._capacitance_tril = moka.linalg.cholesky(inner + unit)
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)

    def _wide(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        squares = self._unbroadcasted_cov_factor.square().sum(-1) + self._unbroadcasted_cov_diag
        return squares.expand((*self._batch_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariances."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        inner = scaled @ scaled.mT
        unit = moka.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
        return self._wide(root * moka.linalg.cholesky(inner + unit))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """W W^T + diag(d)."""
        factor = self._unbroadcasted_cov_factor
        return self._wide(factor @ factor.mT + self._unbroadcasted_cov_diag.diag_embed())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariances."""
        scaled = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        half = moka.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._wide(self._unbroadcasted_cov_diag.reciprocal().diag_embed() - half.mT @ half)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        causes = standard_normal(Size((*shape[:-1], self.cov_factor.shape[-1])), self.loc)
        noise = standard_normal(shape, self.loc)
        common = _apply(self._unbroadcasted_cov_factor, causes)
        return self.loc + common + self._unbroadcasted_cov_diag.sqrt() * noise

    def _log_det(self) -> Tensor:
        return low_rank_log_det(self._unbroadcasted_cov_diag, self._capacitance_tril)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = low_rank_mahalanobis(
            self._unbroadcasted_cov_factor,
            self._unbroadcasted_cov_diag,
            value - self.loc,
            self._capacitance_tril,
        )
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._log_det() + distance)

    def entropy(self) -> Tensor:
        constant = self._event_shape[0] * (1 + math.log(2 * math.pi))
        return (0.5 * (constant + self._log_det())).expand(self._batch_shape)


def low_rank_log_det(diag: Tensor, capacitance: Tensor) -> Tensor:
    """log det(W W^T + diag(d)), with the factor of the capacitance I + W^T D^-1 W."""
    return 2 * half_log_det(capacitance) + diag.log().sum(-1)


def low_rank_mahalanobis(factor: Tensor, diag: Tensor, vectors: Tensor, capacitance: Tensor) -> Tensor:
    """v^T (W W^T + diag(d))^-1 v, by the matrix inversion lemma."""
    scaled = factor.mT / diag.unsqueeze(-2)
    inner = mahalanobis(capacitance, _apply(scaled, vectors))
    return (vectors.square() / diag).sum(-1) - inner
