"""The operators of torchvision's and torchaudio's compiled extensions, written with Moka's."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import moka
from moka import _C
from moka._C import Tensor
from moka.nn import functional as F

__all__ = ["operators_of"]


def _nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The places of the boxes [N, 4] that overlap no better one by more than iou_threshold, best first."""
    if dets.dim() != 2 or dets.shape[1] != 4:
        raise RuntimeError(f"boxes should be a 2d tensor of shape [N, 4], got {tuple(dets.shape)}")
    if scores.dim() != 1 or len(scores) != len(dets):
        raise RuntimeError(
            f"boxes and scores should have same number of elements in dimension 0, got {len(dets)} and "
            f"{tuple(scores.shape)}"
        )
    if not len(dets):
        return moka.empty(0, dtype=moka.int64)
    order = moka.argsort(scores, descending=True, stable=True)
    rank = moka.arange(len(order), 0, -1, dtype=moka.float64)  # equal scores keep their order
    found = _C._operators["non_max_suppression"](
        dets.detach()[order][None].double(), rank[None, None], len(order), float(iou_threshold)
    )
    return order[found[:, 2]]


def _roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Bins of the regions (image, left, top, right, bottom), means of sampled places."""
    return _C._operators["roi_align"](
        input,
        rois[:, 1:],
        rois[:, 0].long(),
        (pooled_height, pooled_width),
        float(spatial_scale),
        max(sampling_ratio, 0),
        bool(aligned),
    )


def _own_channels(whole: Tensor, height: int, width: int) -> Tensor:
    """Of bins of all channels those that read channels of their own: [K, C / bins, height, width]."""
    count, channels = whole.shape[:2]
    if channels % (height * width):
        raise RuntimeError(f"the channels of input, {channels}, must be a multiple of {height} * {width}")
    parts = whole.reshape(count, -1, height * width, height * width)
    return parts.diagonal(dim1=2, dim2=3).reshape(count, -1, height, width)


def _ps_roi_align(
    input: Tensor, rois: Tensor, spatial_scale: float, height: int, width: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    bins = _roi_align(input, rois, spatial_scale, height, width, sampling_ratio, True)
    return _own_channels(bins, height, width), moka.zeros(0, dtype=moka.int32)


def _bounds(first: float, size: float, count: int, limit: int) -> list[tuple[int, int]]:
    """Where the bins of one dimension start and end."""
    step = size / count
    starts = [math.floor(i * step + first) for i in range(count)]
    ends = [math.ceil((i + 1) * step + first) for i in range(count)]
    return [(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in zip(starts, ends, strict=True)]


def _pooled(input: Tensor, rois: Tensor, places: Any, height: int, width: int, read: Any) -> Tensor:
    results = []
    for image, left, top, right, bottom in rois.detach().tolist():
        rows, columns = places(left, top, right, bottom)
        plane = input[int(image)]
        bins = [read(plane[:, a:b, c:d]) for a, b in rows for c, d in columns]
        results.append(moka.stack(bins, 1).reshape(len(plane), height, width))
    return moka.stack(results) if results else input.new_zeros((0, input.shape[1], height, width))


def _round(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def _roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, height: int, width: int
) -> tuple[Tensor, Tensor]:
    def places(*edges: float) -> Any:
        left, top, right, bottom = (_round(edge * spatial_scale) for edge in edges)
        return (
            _bounds(top, max(bottom - top + 1, 1), height, input.shape[2]),
            _bounds(left, max(right - left + 1, 1), width, input.shape[3]),
        )

    def largest(part: Tensor) -> Tensor:
        return part.amax((1, 2)) if part.numel() else part.new_zeros(len(part))

    return _pooled(input, rois, places, height, width, largest), moka.zeros(0, dtype=moka.int32)


def _ps_roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, height: int, width: int
) -> tuple[Tensor, Tensor]:
    def places(left: float, top: float, right: float, bottom: float) -> Any:
        first, start, end, below = (_round(edge * spatial_scale) for edge in (left, top, right, bottom))
        return (
            _bounds(start, max(below - start, 1), height, input.shape[2] - 1),
            _bounds(first, max(end - first, 1), width, input.shape[3] - 1),
        )

    def mean(part: Tensor) -> Tensor:
        return part.mean((1, 2)) if part.numel() else part.new_zeros(len(part))

    bins = _pooled(input, rois, places, height, width, mean)
    return _own_channels(bins, height, width), moka.zeros(0, dtype=moka.int32)


def _deform_conv2d(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Tensor:
    """A convolution whose taps lie beside the grid by offset [batch, 2 * offset_groups * taps, ...]."""
    batch, channels, height, width = input.shape
    rows, columns = weight.shape[2:]
    taps = rows * columns
    out_h = (height + 2 * pad_h - dilation_h * (rows - 1) - 1) // stride_h + 1
    out_w = (width + 2 * pad_w - dilation_w * (columns - 1) - 1) // stride_w + 1
    shape = (batch, offset_groups, taps, 2, out_h, out_w)
    if offset.numel() != math.prod(shape):
        raise RuntimeError(f"offset of shape {tuple(offset.shape)} does not fit, expected {shape}")
    moves = offset.reshape(shape)
    like = {"dtype": input.dtype}
    row = moka.arange(rows, **like).repeat_interleave(columns) * dilation_h - pad_h
    column = moka.arange(columns, **like).repeat(rows) * dilation_w - pad_w
    y = row[:, None, None] + (moka.arange(out_h, **like) * stride_h)[:, None] + moves[:, :, :, 0]
    x = column[:, None, None] + moka.arange(out_w, **like) * stride_w + moves[:, :, :, 1]
    # Between -1 and 1 from edge to edge, as grid_sample counts.
    grid = moka.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    grid = grid.reshape(batch * offset_groups, taps * out_h, out_w, 2)
    planes = input.reshape(batch * offset_groups, channels // offset_groups, height, width)
    read = F.grid_sample(planes, grid, align_corners=False)
    read = read.reshape(batch, offset_groups, channels // offset_groups, taps, out_h, out_w)
    if use_mask:
        read = read * mask.reshape(batch, offset_groups, 1, taps, out_h, out_w)
    read = read.reshape(batch, groups, channels // groups * taps, out_h * out_w)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    return (kernels @ read).reshape(batch, -1, out_h, out_w) + bias[:, None, None]


def _filter_loop(windows: Tensor, coefficients: Tensor, padded: Tensor) -> None:
    """Each output is its input less the ones before it, weighted; written into `padded`."""
    source, weights, out = (x.detach().numpy() for x in (windows, coefficients, padded))
    order = weights.shape[1]
    for i in range(source.shape[2]):
        value = source[:, :, i] - (out[:, :, i : i + order] * weights).sum(axis=2)
        out[:, :, i + order - 1] = value


def _overdrive_loop(
    waveform: Tensor, temp: Tensor, last_in: Tensor, last_out: Tensor, output_waveform: Tensor
) -> None:
    """Takes the constant part of `temp` out and mixes the rest with the waveform."""
    wave, shaped, before, after, out = (
        x.detach().numpy() for x in (waveform, temp, last_in, last_out, output_waveform)
    )
    for i in range(wave.shape[1]):
        after[:] = shaped[:, i] - before + 0.995 * after
        before[:] = shaped[:, i]
        out[:, i] = wave[:, i] * 0.5 + after * 0.75


_KNOWN: dict[str, dict[str, Callable[..., Any]]] = {
    "torchvision": {
        "torchvision::nms": _nms,
        "torchvision::roi_align": _roi_align,
        "torchvision::roi_pool": _roi_pool,
        "torchvision::ps_roi_align": _ps_roi_align,
        "torchvision::ps_roi_pool": _ps_roi_pool,
        "torchvision::deform_conv2d": _deform_conv2d,
        "torchvision::_cuda_version": lambda: -1,
    },
    "torchaudio": {
        "_torchaudio::cuda_version": lambda: None,
        "_torchaudio::is_align_available": lambda: False,
        "torchaudio::_lfilter_core_loop": _filter_loop,
        "torchaudio::_overdrive_core_loop": _overdrive_loop,
    },
}


def operators_of(path: str) -> dict[str, Callable[..., Any]] | None:
    """The operators of the package in whose folder the extension lies; None for others."""
    parts = path.replace("\\", "/").split("/")
    return next((_KNOWN[part] for part in reversed(parts) if part in _KNOWN), None)
