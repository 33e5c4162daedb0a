"""Images in other sizes, at other places, with borders; channels and pixels exchanged."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from . import pooling

__all__ = [
    "affine_grid",
    "channel_shuffle",
    "grid_sample",
    "interpolate",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

channel_shuffle = _C.channel_shuffle
pixel_shuffle = _C.pixel_shuffle
pixel_unshuffle = _C.pixel_unshuffle

# What each mode is over every dimension, and the number of dimensions that it is named for (0: any).
_MODES = {
    "nearest": ("nearest", 0),
    "nearest-exact": ("nearest-exact", 0),
    "linear": ("linear", 1),
    "bilinear": ("linear", 2),
    "trilinear": ("linear", 3),
    "bicubic": ("cubic", 2),
    "lanczos": ("lanczos", 2),
    "area": ("", 0),
}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pads: `pad` lists (before, after) from the last dimension on, negative numbers remove. mode is
    "constant" (value, 0 by default), "reflect", "replicate" or "circular".
    """
    if mode == "constant":
        return _C.pad_constant(input, pad, 0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}")
    if mode != "circular":
        _check_border(input, len(pad) // 2)
    return _C.pad_border(input, pad, mode)


def _check_border(input: Tensor, axes: int) -> None:
    """Reflections and replications pad all but the channels and the batch, which alone may be empty."""
    if len(input.shape) not in (axes + 1, axes + 2):
        raise NotImplementedError(
            f"pad: Padding size {2 * axes} is not supported for {len(input.shape)}D input tensor: "
            f"reflections and replications take {axes + 1}D, or {axes + 2}D with a batch"
        )
    if 0 in input.shape[-axes - 1 :]:
        raise RuntimeError(
            f"pad: Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with possibly 0 batch size and "
            f"other non-zero dimensions for input, but got: {list(input.shape)}"
        )


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """[batch, channels, ...] in another size, given as `size` or by scale_factor; mode is "nearest",
    "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "lanczos" or "area"; see nn.Upsample.
    """
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"interpolate: align_corners is not for mode {mode!r}")
    kind, named_rank = _MODES[mode]
    rank = input.dim() - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if recompute_scale_factor and size is not None:
        raise ValueError("interpolate: recompute_scale_factor is not meaningful with size")
    given = size if size is not None else scale_factor
    values = list(given) if isinstance(given, list | tuple) else [given] * rank
    if len(values) != rank:
        raise ValueError(
            f"interpolate: {'size' if size is not None else 'scale_factor'} must have {rank} elements for an "
            f"input of shape {list(input.shape)}, got {given}"
        )
    scales = None
    if size is None:
        scales = [float(v) for v in values]
        values = [int(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
        if recompute_scale_factor or mode == "area":
            scales = None
    if antialias and not (kind in ("linear", "cubic", "lanczos") and rank == 2 and named_rank == 2):
        raise ValueError("interpolate: antialias is for modes bilinear, bicubic and lanczos over images")
    if rank not in (1, 2, 3) or (named_rank and rank != named_rank):
        raise NotImplementedError(
            f"interpolate: mode {mode!r} does not take an input of {input.dim()} dimensions"
        )
    if mode == "area":
        return getattr(pooling, f"adaptive_avg_pool{rank}d")(input, values)
    if kind == "lanczos" and not antialias:
        raise ValueError("interpolate: mode 'lanczos' needs antialias=True")
    if input.dtype == _C.uint8 and rank == 2 and kind in ("linear", "cubic", "lanczos"):
        return _resample_bytes(input, values, kind, bool(align_corners), scales, antialias)
    return _C.resample(input, values, kind, bool(align_corners), scales, antialias)


def _resample_bytes(
    input: Tensor,
    size: list[int],
    kind: str,
    align_corners: bool,
    scales: list[float] | None,
    antialias: bool,
) -> Tensor:
    """Rows first, then columns; what stands between is rounded to bytes, as image libraries do."""
    height, width = input.shape[2:]
    steps = [([height, size[1]], scales and [1.0, scales[1]]), (size, scales and [scales[0], 1.0])]
    result = input.float()
    for step, factors in steps:
        if list(result.shape[2:]) != list(step) or scales is not None:
            result = _C.resample(result, step, kind, align_corners, factors, antialias)
            result = (result + 0.5).floor().clamp(0, 255)
    return result.to(_C.uint8)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The same as interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "nearest"."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input read at the places of grid [batch, h, w, 2] (or [batch, d, h, w, 3]), x before y, -1 to 1 over
    the image.
    """
    return _C.grid_sample(input, grid, mode, padding_mode, bool(align_corners))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places to which the affine maps theta [batch, 2, 3] take the pixels of an image of `size`."""
    if theta.dtype not in (_C.float16, _C.bfloat16, _C.float32, _C.float64):
        raise ValueError(f"affine_grid: Expected theta to have floating point type, but got {theta.dtype}")
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(f"affine_grid only supports 4D and 5D sizes, but got {list(size)}")
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (rank, rank + 1):
        raise ValueError(
            f"affine_grid: Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{list(size)}, but got {list(theta.shape)}"
        )
    if min(size) <= 0:
        raise ValueError(f"affine_grid: Expected non-zero, positive output size, but got {list(size)}")
    if align_corners and 1 in list(size)[2:]:
        warnings.warn(
            f"affine_grid: with align_corners=True a dimension of one pixel (size {list(size)}) is "
            "sampled at its middle, 0, not at a corner. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    return _C.affine_grid(theta, list(size), bool(align_corners))
