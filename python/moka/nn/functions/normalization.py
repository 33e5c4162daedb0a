"""Normalization over batches, groups, instances, features and neighbours."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad
from moka.numeric_types import finfo

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


def _follow(momentum: float, *averages: tuple[Tensor | None, Tensor]) -> None:
    """Move each running average towards a batch's."""
    with no_grad():
        for running, value in averages:
            if running is not None:
                running.mul_(1 - momentum).add_(value.to(running.dtype), alpha=momentum)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel; in training the running averages are
    updated.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: running_mean and running_var are needed unless training is True")
        if input.dtype == _C.float64 != running_mean.dtype:
            running_mean, running_var = running_mean.double(), running_var.double()
        return _C.batch_norm(input, weight, bias, running_mean, running_var, eps)
    if input.numel() == 0:  # no statistics: nothing is normalized, nothing followed
        out = input if weight is None else input * weight[:1]
        return out.clone() if bias is None else out + bias[:1]
    if input.dim() >= 2 and input.numel() == input.shape[1]:
        raise ValueError(
            f"batch_norm: needs more than one value a channel when training, got shape {list(input.shape)}"
        )
    for name, average in (("running_mean", running_mean), ("running_var", running_var)):
        if average is not None and average.requires_grad and _C.is_grad_enabled():
            raise RuntimeError(
                f"batch_norm: not differentiable with respect to argument '{name}', which must not require "
                "gradients; detach() it"
            )
    result, mean, _, variance = _C.batch_norm_train(input, weight, bias, eps)
    _follow(momentum, (running_mean, mean), (running_var, variance))
    return result


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, which are `normalized_shape`."""
    return _C.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions, which are `normalized_shape`."""
    if input.is_complex():
        dims = list(range(input.dim() - len(normalized_shape), input.dim()))
        eps = finfo(input.dtype).eps if eps is None else eps
        scaled = input * ((input * input).mean(dims, keepdim=True) + eps).rsqrt()
        return scaled if weight is None else scaled * weight
    if weight is not None and (input.dtype == _C.float64) != (weight.dtype == _C.float64):
        return _C.rms_norm(input, normalized_shape, None, eps) * weight
    return _C.rms_norm(input, normalized_shape, weight, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias with the statistics of each group of channels."""
    if input.dim() >= 2 and num_groups > 0:
        count = input.shape[0] * input.shape[1] // num_groups
        for size in input.shape[2:]:
            count *= size
        if count == 1:
            raise ValueError(
                f"group_norm: needs more than one value a group when training, got shape {list(input.shape)}"
            )
    return _C.group_norm(input, num_groups, weight, bias, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of each instance of [batch, channels,
    ...]; running averages are used instead, or updated.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    channels, spatial = input.shape[1], 1
    for size in input.shape[2:]:
        spatial *= size
    if spatial == 1:
        raise ValueError(
            f"instance_norm: needs more than one spatial element when training, got shape {list(input.shape)}"
        )
    if running_mean is not None or running_var is not None:
        with no_grad():
            rows = input.reshape(input.shape[0], channels, spatial)
            _follow(momentum, (running_mean, rows.mean([0, 2])), (running_var, rows.var(2).mean(0)))
    return _C.group_norm(input, channels, weight, bias, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta."""
    if input.dim() < 3:
        raise ValueError(
            f"local_response_norm: input must have at least 3 dimensions, got shape {list(input.shape)}"
        )
    if input.numel() == 0:
        return input
    shape = input.shape
    planes = (input * input).reshape(shape[0], 1, shape[1], -1)
    planes = _C.pad_constant(planes, [0, 0, size // 2, (size - 1) // 2])
    mean = _C.avg_pool2d(planes, (size, 1), (1, 1)).reshape(*shape)
    return input / (mean * alpha + k).pow(beta)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """x / max(norm of order p along dim, eps)."""
    size = input if p == 2 and not input.dtype.is_complex else input.abs()
    if input.dtype in (_C.float16, _C.bfloat16):  # sums of powers leave their range where the norm does not
        size = size.float()
    if p == 2:
        total = (size * size).sum(dim, keepdim=True)
        norm = _C.where(total > 0, _C.where(total > 0, total, 1).sqrt(), 0)
    elif p == float("inf"):
        norm = size.amax(dim, keepdim=True)
    elif p == 0:
        norm = (size != 0).to(size.dtype).sum(dim, keepdim=True)
    elif p == 1:
        norm = size.sum(dim, keepdim=True)
    else:
        total = size.pow(p).sum(dim, keepdim=True)
        norm = _C.where(total > 0, _C.where(total > 0, total, 1).pow(1 / p), 0)
    if norm.dtype != input.dtype and not input.dtype.is_complex:
        norm = norm.to(input.dtype)
    if out is not None:
        return _C.div(input, norm.clamp_min(eps), out=out)
    return input / norm.clamp_min(eps)
