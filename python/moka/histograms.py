"""Histograms: counts, or sums of weights, of values and of points in boxes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import _C
from ._C import Tensor

__all__ = ["histogram", "histogramdd"]


class Histogram(NamedTuple):
    """What histogram returns."""

    hist: Tensor
    bin_edges: Tensor


class HistogramDD(NamedTuple):
    """What histogramdd returns."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> Histogram:
    """How many elements lie in each bin, the last one with its right edge.

    bins is the number of equal bins over `range` (smallest to largest element when None), or their edges.
    With weight, of input's shape, the sums of weights; with density divided by the total and the width.
    """
    x = input.reshape(-1, 1)
    result = _count("histogram", x, [bins], range, weight, density)
    if out is None:
        return Histogram(result.hist, result.bin_edges[0])
    for to, part in zip(out, (result.hist, result.bin_edges[0]), strict=True):
        (to if to.shape == part.shape else to.resize_(part.shape)).copy_(part)
    return Histogram(*out)


def histogramdd(
    input: Tensor,
    bins: int | Sequence[int] | Sequence[Tensor],
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> HistogramDD:
    """The histogram of points: input is [..., n], its result has n dimensions, one for each coordinate.

    bins and range as for histogram, for each coordinate; one number of bins serves all.
    """
    if input.dim() < 2:
        raise RuntimeError(f"histogramdd: input must have 2 or more dimensions, got {list(input.shape)}")
    n = input.shape[-1]
    each = [bins] * n if isinstance(bins, int) else list(bins)
    if len(each) != n:
        raise RuntimeError(f"histogramdd: expected {n} sequences of bin edges, got {len(each)}")
    result = _count("histogramdd", input.reshape(-1, n), each, range, weight, density)
    if out is None:
        return result
    for to, part in zip((out[0], *out[1]), (result.hist, *result.bin_edges), strict=True):
        (to if to.shape == part.shape else to.resize_(part.shape)).copy_(part)
    return HistogramDD(*out)


def _edges(name: str, x: Tensor, bins: Any, limits: Sequence[float] | None) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.dim() != 1 or bins.numel() < 1:
            raise RuntimeError(f"{name}: edges must be a vector with elements, got shape {list(bins.shape)}")
        if bins.dtype != x.dtype:
            raise RuntimeError(f"{name}: bins must have input's type {x.dtype}, got {bins.dtype}")
        return bins.clone()
    if bins <= 0:
        raise RuntimeError(f"{name}: bins must be > 0, got {bins}")
    if limits is not None:
        low, high = (float(v) for v in limits)
    elif x.numel():
        low, high = float(x.min()), float(x.max())
    else:
        low, high = 0.0, 1.0
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: min should not exceed max, but got min {low} max {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _C.linspace(low, high, bins + 1, dtype=x.dtype)


def _count(
    name: str,
    points: Tensor,
    bins: list,
    limits: Sequence[float] | None,
    weight: Tensor | None,
    density: bool,
) -> HistogramDD:
    x = points.detach()
    if x.dtype not in (_C.float32, _C.float64):
        raise NotImplementedError(f"{name}: input must be float32 or float64, got {x.dtype}")
    if limits is not None and len(limits) != 2 * len(bins):
        raise RuntimeError(f"{name}: range should have {2 * len(bins)} elements, but got {len(limits)}")
    if weight is not None:
        if weight.numel() != x.shape[0]:
            raise RuntimeError(f"{name}: weight must have {x.shape[0]} elements, got {weight.numel()}")
        if weight.dtype != x.dtype:
            raise RuntimeError(f"{name}: weight must have input's type {x.dtype}, got {weight.dtype}")
        weight = weight.detach().reshape(-1)
    place: Any = 0
    inside: Any = True
    edges = []
    for d, own in enumerate(bins):
        value = x[:, d].contiguous()
        edge = _edges(name, value, own, None if limits is None else limits[2 * d : 2 * d + 2])
        count = edge.numel() - 1
        at = _C.searchsorted(edge, value, right=True) - 1
        at = _C.where(value == edge[-1], count - 1, at)
        inside = (value >= edge[0]) & (value <= edge[-1]) & inside
        place = place * count + at
        edges.append(edge)
    sizes = [e.numel() - 1 for e in edges]
    cells = 1
    for s in sizes:
        cells *= s
    if cells:
        kept = place[inside]
        total = _C.bincount(kept, None if weight is None else weight[inside], minlength=cells)
    else:
        total = _C.zeros(0)
    hist = total.to(x.dtype).reshape(sizes)
    if density:
        hist = hist / hist.sum()
        for d, e in enumerate(edges):
            hist = hist / e.diff().reshape([-1] + [1] * (len(edges) - 1 - d))
    return HistogramDD(hist, tuple(edges))
