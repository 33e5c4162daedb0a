"""Distributions over matrices: Wishart (covariances) and LKJCholesky (factors of correlations)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

import moka
from moka import Size, Tensor

from . import constraints
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .gamma import Beta, Chi2
from .multivariate_normal import diagonal, factor_of_inverse, half_log_det
from .utils import broadcast_all, fails, lazy_property

__all__ = ["LKJCholesky", "Wishart"]


def multivariate_digamma(x: Tensor, size: int) -> Tensor:
    """The derivative of log of the multivariate gamma function."""
    steps = moka.arange(size, dtype=x.dtype, device=x.device) / 2
    return moka.digamma(x.unsqueeze(-1) - steps).sum(-1)


class Wishart(ExponentialFamily):
    """The sum of x x^T over df normal vectors x; df may be any number above n - 1.

    Args:
        df: [...]
        covariance_matrix, precision_matrix, scale_tril: [..., n, n]: the vectors' covariances, their inverse,
            or their Cholesky factor
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _expands = {
        "df": 0,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": None,
    }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        came = [name for name, value in matrices.items() if value is not None]
        if len(came) != 1:
            raise AssertionError(
                f"Wishart: Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                f"specified, but {len(came)} came"
            )
        given = came[0]
        matrix: Any = matrices[given]
        if matrix.dim() < 2:
            raise ValueError(f"Wishart: {given} must be at least two-dimensional.")
        size = matrix.shape[-1]
        if isinstance(df, Number):
            batch = matrix.shape[:-2]
            df = moka.tensor(df, dtype=matrix.dtype, device=matrix.device)
        else:
            batch = moka.broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df = df.expand(batch)
        if fails(self.df > size - 1):
            raise ValueError(f"Wishart: Value of df={df} expected to be greater than ndim - 1 = {size - 1}.")
        if fails(self.df >= size):
            warnings.warn(
                "Wishart: low df values detected: singular samples are likely for ndim - 1 < df < ndim",
                stacklevel=2,
            )
        self.__dict__[given] = matrix.expand((*batch, -1, -1))
        super().__init__(batch, matrix.shape[-2:], validate_args=validate_args)
        if given == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif given == "covariance_matrix":
            self._unbroadcasted_scale_tril = moka.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = factor_of_inverse(matrix)

    @property
    def arg_constraints(self) -> Any:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self._event_shape[-1] - 1),
        }

    def _wide(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape))

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
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """(df - n - 1) times the covariances, not-a-number where that is not positive."""
        factor = self.df - self._event_shape[-1] - 1
        factor = moka.where(factor > 0, factor, math.nan)
        return factor[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        own = diagonal(self.covariance_matrix)
        products = own.unsqueeze(-1) * own.unsqueeze(-2)
        return self.df[..., None, None] * (self.covariance_matrix.square() + products)

    def _draw(self, sample_shape: Any) -> Tensor:
        # Smith, Hocking: Wishart variate generator (Applied Statistics 21, 1972), after Bartlett: a triangle
        # of normals whose diagonal holds roots of chi-squared numbers.
        size = self._event_shape[-1]
        steps = moka.arange(size, dtype=self.df.dtype, device=self.df.device)
        roots = Chi2(self.df.unsqueeze(-1) - steps, validate_args=False).rsample(sample_shape).sqrt()
        roots = roots.clamp(min=moka.finfo(roots.dtype).eps)
        noise = moka.randn((*roots.shape, size), dtype=roots.dtype, device=roots.device).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (noise + roots.diag_embed())
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """Draws that pass gradients; singular ones are drawn again, max_try_correction times at most (10)."""
        sample_shape = Size(sample_shape)
        draws = self._draw(sample_shape)
        singular = ~self.support.check(draws)
        if fails(~singular):
            warnings.warn("Wishart: singular sample detected", stacklevel=2)
            for _ in range(10 if max_try_correction is None else max_try_correction):
                draws = moka.where(singular[..., None, None], self._draw(sample_shape), draws)
                singular = ~self.support.check(draws)
                if not fails(~singular):
                    break
        return draws

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        size, factor = self._event_shape[-1], self._unbroadcasted_scale_tril
        constant = self.df * (size * math.log(2) / 2 + half_log_det(factor)) + moka.mvlgamma(
            self.df / 2, p=size
        )
        trace = diagonal(moka.cholesky_solve(value, factor)).sum(-1)
        return (self.df - size - 1) / 2 * moka.linalg.slogdet(value)[1] - trace / 2 - constant

    def entropy(self) -> Tensor:
        size = self._event_shape[-1]
        spread = (size + 1) * (size * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
        half = self.df / 2
        slope = (self.df - size - 1) / 2 * multivariate_digamma(half, size)
        return spread + moka.mvlgamma(half, p=size) - slope + half * size

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        size = self._event_shape[-1]
        half = y + (size + 1) / 2
        return half * (size * math.log(2) - moka.linalg.slogdet(-2 * x)[1]) + moka.mvlgamma(half, p=size)


class LKJCholesky(Distribution):
    """Cholesky factors L of correlation matrices of size dim, with density det(L L^T)^(concentration - 1).

    Lewandowski, Kurowicka, Joe: Generating random correlation matrices based on vines and extended onion
    method, 2009, section 3.2. A concentration of 1 makes all correlation matrices alike likely.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(
                f"LKJCholesky: Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length that row i leaves to its off-diagonal entries is Beta(i / 2, concentration +
        # (dim - 1 - i) / 2); row 0 has none, and draws for it are not used.
        row = moka.arange(dim, dtype=self.concentration.dtype, device=self.concentration.device)
        free = (row - 1).clamp(min=0) / 2
        self._beta = Beta(free + 0.5, self.concentration.unsqueeze(-1) + (dim - 2) / 2 - free)
        super().__init__(self.concentration.shape, Size((dim, dim)), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with a larger batch."""
        new = self._get_checked_instance(LKJCholesky, _instance)
        new.dim = self.dim
        new.concentration = self.concentration.expand(batch_shape)
        new._beta = self._beta.expand(Size((*batch_shape, self.dim)))
        return self._finish(new, batch_shape, self._event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with moka.no_grad():
            lengths = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = tuple(self._extended_shape(sample_shape))
            noise = moka.randn(shape, dtype=lengths.dtype, device=lengths.device).tril(-1)
            norm = noise.square().sum(-1, keepdim=True).sqrt()
            direction = noise / moka.where(norm > 0, norm, 1.0)  # row 0 stays zero
            below = lengths.sqrt() * direction
            rest = 1 - below.square().sum(-1)
            return below + rest.clamp(min=moka.finfo(rest.dtype).tiny).sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        eta, free = self.concentration, self.dim - 1
        # det(L L^T)^(eta - 1) and the Jacobian of L -> L L^T: powers of the diagonal
        rows = moka.arange(2, self.dim + 1, device=eta.device)
        powers = 2 * (eta - 1).unsqueeze(-1) + self.dim - rows
        density = (powers * diagonal(value)[..., 1:].log()).sum(-1)
        alpha = eta + 0.5 * free
        log_constant = 0.5 * free * math.log(math.pi) + moka.mvlgamma(alpha - 0.5, free)
        return density - log_constant + free * moka.lgamma(alpha)
