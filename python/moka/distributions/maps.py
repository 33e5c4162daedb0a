"""The maps themselves: exponential, sigmoid, affine, softmax, Cholesky factors and others."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from numbers import Number
from typing import Any

import moka
from moka import Size, Tensor
from moka.nn.functional import logsigmoid, pad, softplus

from . import constraints
from .transforms import Transform
from .utils import broadcast_all, lazy_property, sum_last, tril_matrix_to_vec, vec_to_tril_matrix

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "TanhTransform",
]


class _Plain(Transform):
    """A map without parameters: all of one type are equal."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)


class ExpTransform(_Plain):
    """y = exp(x)."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """y = x ** exponent of positive x."""

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if cache_size == self._cache_size else PowerTransform(self.exponent, cache_size)

    @lazy_property
    def sign(self) -> Any:  # type: ignore[override]
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and self.exponent.eq(other.exponent).all().item()

    def _call(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return moka.broadcast_shapes(shape, self.exponent.shape)

    def inverse_shape(self, shape: Any) -> Any:
        return moka.broadcast_shapes(shape, self.exponent.shape)


def _sigmoid_inside(x: Tensor) -> Tensor:
    """sigmoid(x), but neither 0 nor 1."""
    limits = moka.finfo(x.dtype)
    return x.sigmoid().clamp(min=limits.tiny, max=1 - limits.eps)


class SigmoidTransform(_Plain):
    """y = 1 / (1 + exp(-x)), and x = log(y / (1 - y))."""

    domain = constraints.real
    codomain = constraints.unit_interval
    bijective = True
    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return _sigmoid_inside(x)

    def _inverse(self, y: Tensor) -> Tensor:
        limits = moka.finfo(y.dtype)
        y = y.clamp(min=limits.tiny, max=1 - limits.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


class SoftplusTransform(_Plain):
    """y = log(1 + exp(x))."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y + (-(-y).expm1()).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class TanhTransform(_Plain):
    """y = tanh(x)."""

    domain = constraints.real
    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()  # not clamped, so that the inverse of values outside shows

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # log(1 - tanh(x)^2) = log 4 - 2 x - 2 log(1 + exp(-2 x)), without cancellation
        return 2 * (math.log(2) - x - softplus(-2 * x))


class AbsTransform(_Plain):
    """y = |x|; the inverse is the positive one."""

    domain = constraints.real
    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = loc + scale * x; one value has `event_dim` dimensions."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    def _space(self) -> Any:
        real = constraints.real
        return constraints.independent(real, self._event_dim) if self._event_dim else real

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        return self._space()

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        return self._space()

    def with_cache(self, cache_size: int = 1) -> Transform:
        if cache_size == self._cache_size:
            return self
        return AffineTransform(self.loc, self.scale, self._event_dim, cache_size)

    def __eq__(self, other: object) -> bool:
        def same(a: Any, b: Any) -> bool:
            result = a == b
            return bool(result.all().item()) if isinstance(result, Tensor) else bool(result)

        return isinstance(other, AffineTransform) and (
            same(self.loc, other.loc) and same(self.scale, other.scale)
        )

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, Number):
            return (self.scale > 0) - (self.scale < 0)  # type: ignore[operator]
        return self.scale.sign()

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, Number):
            stretch = moka.full_like(x, math.log(abs(self.scale)))  # type: ignore[arg-type]
        else:
            stretch = self.scale.abs().log()
        if self._event_dim:
            ones = (1,) * max(0, self._event_dim - stretch.dim())
            stretch = stretch.reshape(ones + tuple(stretch.shape))
            left = stretch.dim() - self._event_dim
            stretch = stretch.expand((*stretch.shape[:left], *x.shape[x.dim() - self._event_dim :]))
            stretch = sum_last(stretch, self._event_dim)
        return stretch.expand(tuple(x.shape[: x.dim() - self._event_dim]))

    def _with_parameters(self, shape: Any) -> Any:
        own = [v.shape for v in (self.loc, self.scale) if isinstance(v, Tensor)]
        return moka.broadcast_shapes(shape, *own)

    def forward_shape(self, shape: Any) -> Any:
        return self._with_parameters(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._with_parameters(shape)


class SoftmaxTransform(_Plain):
    """y = softmax(x) over the last dimension, and x = log(y): not one to one."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return moka.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def _vector(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ValueError("SoftmaxTransform: Too few dimensions on input: a vector is needed")
        return shape

    def forward_shape(self, shape: Any) -> Any:
        return self._vector(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._vector(shape)


class StickBreakingTransform(_Plain):
    """n numbers to n + 1 shares of a stick: each takes a part of what the earlier ones left."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    @staticmethod
    def _pieces_left(count: int, like: Tensor) -> Tensor:
        """count, count - 1, ..., 1: with them x = 0 gives equal shares."""
        return moka.arange(count, 0, -1, dtype=like.dtype, device=like.device)

    def _call(self, x: Tensor) -> Tensor:
        share = _sigmoid_inside(x - self._pieces_left(x.shape[-1], x).log())
        rest = (1 - share).cumprod(-1)
        return pad(share, [0, 1], value=1.0) * pad(rest, [1, 0], value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        head = y[..., :-1]
        rest = (1 - head.cumsum(-1)).clamp(min=moka.finfo(y.dtype).tiny)
        return head.log() - rest.log() + self._pieces_left(head.shape[-1], y).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - self._pieces_left(x.shape[-1], x).log()
        return (logsigmoid(x) - x + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ValueError("StickBreakingTransform: Too few dimensions on input: a vector is needed")
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ValueError("StickBreakingTransform: Too few dimensions on input: a vector is needed")
        return Size((*shape[:-1], shape[-1] - 1))


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1)


class LowerCholeskyTransform(_Plain):
    """Any square matrix to a lower triangle whose diagonal is positive: exp of the given one."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + _diagonal(x).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + _diagonal(y).log().diag_embed()


class PositiveDefiniteTransform(_Plain):
    """Any square matrix to a positive definite one: L L^T with L of LowerCholeskyTransform."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(moka.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the Cholesky factor of a correlation matrix of size n.

    tanh(x) are the canonical partial correlations, row after row (Lewandowski, Kurowicka, Joe: Generating
    random correlation matrices based on vines and extended onion method, 2009).
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        step = moka.finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=step - 1, max=1 - step), diag=-1)
        rest = (1 - partial.square()).sqrt().cumprod(-1)  # the length that earlier columns leave to a row
        unit = moka.eye(partial.shape[-1], dtype=x.dtype, device=x.device)
        return (partial + unit) * pad(rest[..., :-1], [1, 0], value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        rest = pad((1 - y.square().cumsum(-1))[..., :-1], [1, 0], value=1.0)
        partial = tril_matrix_to_vec(y, -1) / tril_matrix_to_vec(rest, -1).sqrt()
        return (partial.log1p() - (-partial).log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor, intermediates: Any = None) -> Tensor:
        rest = tril_matrix_to_vec(1 - y.square().cumsum(-1), diag=-2)
        tanh_part = 2 * (math.log(2) - x - softplus(-2 * x))
        return 0.5 * rest.log().sum(-1) + tanh_part.sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ValueError("CorrCholeskyTransform: Too few dimensions on input: a vector is needed")
        count = shape[-1]
        size = (1 + math.isqrt(1 + 8 * count)) // 2
        if size * (size - 1) // 2 != count:
            raise ValueError(
                f"CorrCholeskyTransform: Input is not a flattened lower-diagonal number: {count} entries"
            )
        return Size((*shape[:-1], size, size))

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 2:
            raise ValueError("CorrCholeskyTransform: Too few dimensions on input: a matrix is needed")
        if shape[-2] != shape[-1]:
            raise ValueError(f"CorrCholeskyTransform: Input is not square: shape {list(shape)}")
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


class CumulativeDistributionTransform(Transform):
    """y = distribution.cdf(x), and x = distribution.icdf(y)."""

    bijective = True
    codomain = constraints.unit_interval
    sign = 1  # type: ignore[assignment]

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self.distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if cache_size == self._cache_size:
            return self
        return CumulativeDistributionTransform(self.distribution, cache_size)
