"""Dropout of elements and of whole channels."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings

from moka import _C
from moka._C import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]

# What a neuron of selu gives far below zero: alpha times its scale.
_SELU_FLOOR = 1.7580993408473766


def _check(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p must be in 0 to 1, but is {p}")


def _warn_of_dims(name: str, input: Tensor, usual: tuple[int, ...]) -> None:
    if input.dim() not in usual:
        warnings.warn(
            f"{name}: Received a {input.dim()}-D input to {name}, which is meant for {usual[-1]} dimensions; "
            "its dimension 1 is taken as the channels",
            stacklevel=3,
        )


def _into(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


def _channel_noise(input: Tensor, p: float, scaled: bool) -> Tensor:
    """For each channel of [batch, channels, ...] 1 (scaled: 1 / (1 - p)) with probability 1 - p, else 0."""
    shape = [*input.shape[:2], *[1] * (input.dim() - 2)]
    noise = _C.native_dropout(_C.ones(shape, dtype=input.dtype, device=input.device), p)
    return noise[0] if scaled else noise[1].to(input.dtype)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training each element becomes zero with probability p, the others are divided by 1 - p."""
    _check("dropout", p)
    if not training or p == 0:
        return input
    return _into(input, _C.native_dropout(input, p)[0], inplace)


def _channels(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not training or p == 0 or input.numel() == 0:
        return input
    return _into(input, input * _channel_noise(input, p, True), inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of [batch, channels, length] or [channels, length]."""
    _check("dropout1d", p)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: input must have 2 or 3 dimensions, got shape {list(input.shape)}")
    if input.dim() == 3:
        return _channels(input, p, training, inplace)
    return _into(input, _channels(input.unsqueeze(0), p, training, False).squeeze(0), inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels, which are dimension 1."""
    _check("dropout2d", p)
    if input.dim() < 2:
        raise RuntimeError(f"dropout2d: input must have at least 2 dimensions, got shape {list(input.shape)}")
    _warn_of_dims("dropout2d", input, (4,))
    return _channels(input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of [batch, channels, depth, height, width], the batch may be missing."""
    _check("dropout3d", p)
    if input.dim() < 2:
        raise RuntimeError(f"dropout3d: input must have at least 2 dimensions, got shape {list(input.shape)}")
    _warn_of_dims("dropout3d", input, (4, 5))
    if input.dim() != 4:
        return _channels(input, p, training, inplace)
    return _into(input, _channels(input.unsqueeze(0), p, training, False).squeeze(0), inplace)


def _alpha(input: Tensor, keep: Tensor, p: float) -> Tensor:
    if p == 1:
        return input * 0
    a = ((_SELU_FLOOR * _SELU_FLOOR * p + 1) * (1 - p)) ** -0.5
    return input * (keep * a) + ((keep - 1) * (_SELU_FLOOR * a) + _SELU_FLOOR * a * p)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout to selu's floor instead of zero, then an affine map that keeps mean 0 and variance 1."""
    _check("alpha_dropout", p)
    if not training or p == 0 or input.numel() == 0:
        return input
    keep = _C.native_dropout(_C.ones_like(input), p)[1].to(input.dtype)
    return _into(input, _alpha(input, keep, p), inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """alpha_dropout of whole channels, which are dimension 1."""
    _check("feature_alpha_dropout", p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if input.dim() < 2:
        raise RuntimeError(
            f"feature_alpha_dropout: input must have at least 2 dimensions, got shape {list(input.shape)}"
        )
    return _into(input, _alpha(input, _channel_noise(input, p, False), p), inplace)
