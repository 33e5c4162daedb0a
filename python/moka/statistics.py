"""Functions made of operators: comparisons that answer, quantiles, covariance, differences, integrals.

`import moka` adds them to the module and, those that torch has there, to Tensor.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from . import _C
from ._C import Tensor

__all__ = [
    "allclose",
    "corrcoef",
    "cov",
    "cumulative_trapezoid",
    "diff",
    "dist",
    "equal",
    "gradient",
    "nanquantile",
    "norm",
    "quantile",
    "renorm",
    "trapezoid",
    "trapz",
    "unique",
    "unique_consecutive",
]
_METHODS = {*__all__} - {"cumulative_trapezoid", "gradient", "trapezoid", "trapz"}


def install(module: ModuleType) -> None:
    """Add the functions to the module and the methods to Tensor."""
    for name in __all__:
        setattr(module, name, globals()[name])
        if name in _METHODS:
            setattr(Tensor, name, globals()[name])
    Tensor.renorm_ = _renorm_


# ---- comparisons


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    if not isinstance(other, Tensor) or not isinstance(input, Tensor):
        raise TypeError(f"equal: takes two tensors, got {type(input).__name__} and {type(other).__name__}")
    return tuple(input.shape) == tuple(other.shape) and bool((input == other).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol * |other| everywhere."""
    return bool(_C.isclose(input, other, rtol, atol, equal_nan).all())


# ---- norms


def _norm_over(x: Tensor, p: float, dims: list[int] | None, keepdim: bool) -> Tensor:
    """(sum |x|^p)^(1/p); the gradient where the norm is 0 is 0."""
    size = x.abs()
    if p == float("inf"):
        return size.amax(dims, keepdim)
    if p == float("-inf"):
        return size.amin(dims, keepdim)
    if p == 0:
        return x.sign().abs().sum(dims, keepdim)
    if p == 1:
        return size.sum(dims, keepdim)
    total = (x * x if p == 2 else size**p).sum(dims, keepdim)
    positive = total > 0
    root = _C.where(positive, total, 1.0)
    root = root.sqrt() if p == 2 else root ** (1 / p)
    return _C.where(positive, root, _C.where(total == 0, 0.0 if p > 0 else float("inf"), total))


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: Any = None,
) -> Tensor:
    """The p-norm over the dimensions `dim`, all when None; 'fro' is p = 2, 'nuc' sums singular values."""
    return _C.norm(input, p, dim, keepdim, out=out, dtype=dtype)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return norm(input - other, p)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """Slices along `dim` whose p-norm exceeds maxnorm are scaled down to it."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input must have at least two dimensions, got shape {list(input.shape)}")
    if p <= 0:
        raise RuntimeError(f"renorm: p must be positive, got {p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    axis = dim + input.dim() if dim < 0 else dim
    if not -input.dim() <= dim < input.dim():
        raise IndexError(
            f"renorm: Dimension out of range: a {input.dim()}-d tensor has no dimension {dim}"
        )
    lengths = _norm_over(input, float(p), [d for d in range(input.dim()) if d != axis], True)
    long = lengths > maxnorm
    result = input * _C.where(long, maxnorm / (_C.where(long, lengths, 1.0) + 1e-7), 1.0)
    return result if out is None else out.copy_(result)


def _renorm_(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """renorm, in place."""
    return self.copy_(renorm(self, p, dim, maxnorm))


# ---- distinct values


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The distinct elements, or slices along `dim`, in order; where each went; how many of each."""
    return _picked(_C.unique_all(input, dim, False), return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensor | tuple[Tensor, ...]:
    """The first of each run of equal elements, or slices along `dim`; see unique."""
    return _picked(_C.unique_all(input, dim, True), return_inverse, return_counts)


def _picked(all_three: Sequence[Tensor], inverse: bool, counts: bool) -> Tensor | tuple[Tensor, ...]:
    values, places, numbers = all_three
    rest = ((places,) if inverse else ()) + ((numbers,) if counts else ())
    return (values, *rest) if rest else values


# ---- quantiles


def quantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The values below which the fractions q of the elements along `dim` lie (of all when None).

    Between two elements: 'linear', 'lower', 'higher', 'midpoint' or 'nearest'. NaN gives NaN.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out, False)


def nanquantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """quantile of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out, True)


def _quantile(
    name: str,
    input: Tensor,
    q: Tensor | float,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
    out: Tensor | None,
    ignore_nan: bool,
) -> Tensor:
    if not input.is_floating_point() or input.dtype not in (_C.float32, _C.float64):
        raise RuntimeError(f"{name}: input must be float32 or float64, got {input.dtype}")
    if input.numel() == 0:
        raise RuntimeError(f"{name}: input must have elements")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}: interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    fractions = q if isinstance(q, Tensor) else _C.tensor(float(q), dtype=input.dtype)
    if fractions.dim() > 1:
        raise RuntimeError(f"{name}: q must be a number or a vector, got shape {list(fractions.shape)}")
    if fractions.dtype != input.dtype:
        raise RuntimeError(f"{name}: q must have the type of input, {input.dtype}, got {fractions.dtype}")
    if fractions.numel() and not bool(((fractions >= 0) & (fractions <= 1)).all()):
        raise RuntimeError(f"{name}: q must be in 0 to 1, got {fractions.tolist()}")
    rank = input.dim()
    if dim is None:
        lines, last = input.reshape(-1), 0
    else:
        last = dim + rank if dim < 0 else dim
        if rank and not 0 <= last < rank:
            raise IndexError(f"{name}: dimension out of range: {dim} is not between {-rank} and {rank - 1}")
        lines = input.transpose(last, rank - 1) if rank else input.reshape(-1)
    ordered = lines.sort(-1)[0]
    size = ordered.shape[-1]
    missing = ordered.isnan()
    if ignore_nan:
        most = (size - 1 - missing.sum(-1, keepdim=True)).clamp_min(0).to(input.dtype)
        place = fractions.reshape(-1) * most
    else:
        place = (fractions.reshape(-1) * (size - 1)).expand([*ordered.shape[:-1], fractions.numel()])
        # NaN sorts last: it takes every place of its line.
        place = _C.where(missing.any(-1, keepdim=True), float(size - 1), place)
    low = place.detach().floor()
    if interpolation == "nearest":
        low = place.detach().round()
    elif interpolation == "higher":
        low = place.detach().ceil()
    result = ordered.gather(-1, low.long())
    if interpolation in ("linear", "midpoint"):
        high = ordered.gather(-1, place.detach().ceil().long())
        weight = place - low if interpolation == "linear" else _C.full_like(low, 0.5)
        result = _C.lerp(result, high, weight)
    # The fractions come first; the reduced dimension goes or stays as 1.
    result = result.movedim(-1, 0) if hasattr(result, "movedim") else _front(result)
    if dim is None:
        result = result.reshape([-1] + [1] * rank) if keepdim else result.reshape(-1)
    elif rank:
        # The line's old place holds what was last.
        result = result.unsqueeze(-1).transpose(last + 1, rank)
        if not keepdim:
            result = result.squeeze(last + 1)
    if fractions.dim() == 0:
        result = result.squeeze(0)
    if out is not None:
        return out.copy_(result)
    return result


def _front(t: Tensor) -> Tensor:
    last = t.dim() - 1
    return t.permute([last, *range(last)])


# ---- covariance


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariance matrix of variables (rows) over observations (columns); weights are frequencies and
    importances of observations.
    """
    if input.dim() > 2:
        raise RuntimeError(f"cov: input must have at most two dimensions, got shape {list(input.shape)}")
    if input.dtype == _C.bool:
        raise RuntimeError("cov: bool is not supported for input; convert with .float() first")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    count = x.shape[1]
    weight = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if given.dim() > 1:
            raise RuntimeError(f"cov: {name} must have at most one dimension, got shape {list(given.shape)}")
        if name == "fweights" and (given.is_floating_point() or given.dtype == _C.bool):
            raise RuntimeError(f"cov: fweights must be integers, got {given.dtype}")
        if name == "aweights" and not given.is_floating_point():
            raise RuntimeError(f"cov: aweights must be floating, got {given.dtype}")
        if given.numel() != count:
            raise RuntimeError(f"cov: {name} must have {count} elements, got {given.numel()}")
        if count and bool((given.detach() < 0).any()):
            raise RuntimeError(f"cov: {name} must not be negative")
        weight = given if weight is None else weight * given
    if not (x.is_floating_point() or x.is_complex()) and weight is None:
        x = x.to(_C.get_default_dtype()) if hasattr(_C, "get_default_dtype") else x.float()
    total: Any = count if weight is None else weight.sum()
    if weight is not None and count and float(total.detach()) == 0:
        raise RuntimeError("cov: weights sum to zero, can't be normalized")
    mean = (x if weight is None else x * weight).sum(1, keepdim=True) / total
    if weight is None or correction == 0:
        divisor = total - correction
    elif aweights is None:
        divisor = total - correction
    else:
        divisor = total - correction * (weight * aweights).sum() / total
    divisor = divisor.clamp(min=0) if isinstance(divisor, Tensor) else max(divisor, 0)
    centred = x - mean
    other = centred if weight is None else centred * weight
    if centred.dtype != other.dtype:
        centred = centred.to(other.dtype)
    product = centred @ other.conj().transpose(0, 1)
    result = product / (divisor if isinstance(divisor, Tensor) else float(divisor))
    return result.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The matrix of correlation coefficients of variables (rows) over observations (columns)."""
    if input.dim() > 2:
        raise RuntimeError(f"corrcoef: input must have at most two dimensions, got shape {list(input.shape)}")
    c = cov(input)
    if c.dim() == 0:
        return c / c
    deviation = c.diagonal().sqrt() if hasattr(c, "diagonal") else _diagonal(c).sqrt()
    c = c / deviation.unsqueeze(-1) / deviation.unsqueeze(0)
    return _C.complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1)) if c.is_complex() else c.clamp(-1, 1)


def _diagonal(c: Tensor) -> Tensor:
    n = c.shape[0]
    return c.reshape(-1)[_C.arange(0, n * n, n + 1)]


# ---- differences and integrals


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The differences of neighbours along `dim`, taken n times; of bool the exclusive disjunction."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    for name, edge in (("prepend", prepend), ("append", append)):
        if edge is not None and edge.dim() != input.dim():
            raise RuntimeError(
                "diff expects prepend or append to be the same dimension as input, but "
                f"{name} has shape {list(edge.shape)} and input {list(input.shape)}"
            )
        for d in range(input.dim() if edge is not None else 0):
            if d != dim % input.dim() and edge.shape[d] != input.shape[d]:  # type: ignore[union-attr]
                raise RuntimeError(
                    "diff expects the shape of tensor to prepend or append to match that of input except "
                    f"along the differencing dimension, but {name} has shape {list(edge.shape)} "  # type: ignore[union-attr]
                    f"and input {list(input.shape)}"
                )
    if n < 0:
        raise RuntimeError(f"diff: n must not be negative, got {n}")
    parts = [t for t in (prepend, input, append) if t is not None and (n or t is input)]
    x = _C.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        size = x.shape[dim] - 1
        after, before = x.narrow(dim, 1, size), x.narrow(dim, 0, size)
        x = after ^ before if x.dtype == _C.bool else after - before
    x = x.clone() if n == 0 else x
    return x if out is None else out.copy_(x)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The integral along `dim` by the trapezoidal rule, at the points x or with the spacing dx."""
    return _areas("trapezoid", y, x, dx, dim).sum(dim)


def trapz(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Another name of trapezoid."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1
) -> Tensor:
    """The integrals up to each point but the first, by the trapezoidal rule."""
    return _areas("cumulative_trapezoid", y, x, dx, dim).cumsum(dim)


def _areas(name: str, y: Tensor, x: Tensor | None, dx: float | None, dim: int) -> Tensor:
    if y.dtype == _C.bool or (x is not None and x.dtype == _C.bool):
        raise RuntimeError(f"{name}: received a bool input; convert it first")
    if x is not None and dx is not None:
        raise TypeError(f"{name}: give either x or dx")
    size = y.shape[dim]
    if size == 0:
        return y.to(_C.float32) if not y.is_floating_point() else y
    heights = y.narrow(dim, 1, size - 1) + y.narrow(dim, 0, size - 1)
    if x is None:
        return heights * (0.5 * (1.0 if dx is None else dx))
    if x.dim() == 1:
        if x.shape[0] != size:
            raise RuntimeError(f"{name}: there must be one x for each sample: {size}, got {x.shape[0]}")
        widths = x.narrow(0, 1, size - 1) - x.narrow(0, 0, size - 1)
        axis = dim + y.dim() if dim < 0 else dim
        widths = widths.reshape([-1] + [1] * (y.dim() - 1 - axis))
    else:
        points = x.shape[dim]
        widths = x.narrow(dim, 1, points - 1) - x.narrow(dim, 0, points - 1)
    return heights * widths * 0.5


def gradient(
    input: Tensor,
    *,
    spacing: float | Sequence[float | Tensor] | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> list[Tensor]:
    """Derivatives along dimensions by differences of second order inside, of `edge_order` at both ends."""
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    axes = [d + input.dim() if d < 0 else d for d in dims]
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"gradient: dim {dims} appears multiple times in the list of dims")
    if spacing is None or isinstance(spacing, int | float):
        steps: list[Any] = [1.0 if spacing is None else spacing] * len(dims)
    elif isinstance(spacing, Tensor):
        steps = [spacing]
    else:
        steps = list(spacing)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"gradient: spacing must have one entry for each of {len(dims)} dimensions, got {len(steps)}"
        )
    results = []
    for axis, step in zip(axes, steps, strict=True):
        size = input.shape[axis]
        if size < edge_order + 1:
            raise RuntimeError(
                f"gradient: each dimension must have at least edge_order + 1 = {edge_order + 1} elements, "
                f"but dimension {axis} has {size}"
            )
        results.append(_derivative(input, axis, step, edge_order))
    return results


def _derivative(x: Tensor, axis: int, step: float | Tensor, edge_order: int) -> Tensor:
    size = x.shape[axis]

    def at(start: int, length: int) -> Tensor:
        return x.narrow(axis, start, length)

    if not isinstance(step, Tensor):
        return _even_derivative(x, axis, step, edge_order)
    shape = [-1] + [1] * (x.dim() - 1 - axis)
    widths = (step.narrow(0, 1, size - 1) - step.narrow(0, 0, size - 1)).reshape(shape)

    def width(start: int, length: int) -> Tensor:
        return widths.narrow(0, start, length)

    parts = []
    a, b = width(0, 1), width(size - 2, 1)
    if edge_order == 1:
        first, last = (at(1, 1) - at(0, 1)) / a, (at(size - 1, 1) - at(size - 2, 1)) / b
    else:
        a2, b2 = width(1, 1), width(size - 3, 1)
        first = (
            at(0, 1) * (-(2 * a + a2) / (a * (a + a2)))
            + at(1, 1) * ((a + a2) / (a * a2))
            - at(2, 1) * (a / (a2 * (a + a2)))
        )
        last = (
            at(size - 3, 1) * (b / (b2 * (b2 + b)))
            - at(size - 2, 1) * ((b + b2) / (b * b2))
            + at(size - 1, 1) * ((2 * b + b2) / (b * (b + b2)))
        )
    parts.append(first)
    if size > 2:
        left, right = width(0, size - 2), width(1, size - 2)
        parts.append(
            at(0, size - 2) * (-right / (left * (left + right)))
            + at(1, size - 2) * ((right - left) / (left * right))
            + at(2, size - 2) * (left / (right * (left + right)))
        )
    parts.append(last)
    return _C.cat(parts, axis)


def _even_derivative(x: Tensor, axis: int, step: float, edge_order: int) -> Tensor:
    """As _derivative, of values at even steps; no value counts that has weight 0, which may be inf."""
    size = x.shape[axis]

    def at(start: int, length: int = 1) -> Tensor:
        return x.narrow(axis, start, length)

    if edge_order == 1:
        first, last = at(1) - at(0), at(size - 1) - at(size - 2)
    else:
        first = at(1) * 2 - at(0) * 1.5 - at(2) * 0.5
        last = at(size - 1) * 1.5 - at(size - 2) * 2 + at(size - 3) * 0.5
    inner = [(at(2, size - 2) - at(0, size - 2)) / (2 * step)] if size > 2 else []
    return _C.cat([first / step, *inner, last / step], axis)
