"""The layers as plain functions: no state, all tensors as arguments."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from . import activation_functions, loss_functions
from .activation_functions import *  # noqa: F403
from .loss_functions import *  # noqa: F403

__all__ = [
    *activation_functions.__all__,
    *loss_functions.__all__,
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv1d",
    "conv2d",
    "dropout",
    "embedding",
    "layer_norm",
    "linear",
    "max_pool2d",
]

Pair = int | Sequence[int]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b: [..., in] with weight [out, in] and bias [out] gives [..., out]."""
    return _C.linear(input, weight, bias)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [batch, in, length] with weight [out, in / groups, kernel]; see nn.Conv1d."""
    if input.dim() not in (2, 3):
        raise ValueError(
            f"conv1d: input must be [batch, channels, length], but its shape is {list(input.shape)}"
        )
    stride, padding, dilation = (v if isinstance(v, int) else v[0] for v in (stride, padding, dilation))
    # A signal is an image one pixel high.
    image, kernel = input.unsqueeze(-2), weight.unsqueeze(-2)
    result = _C.conv2d(image, kernel, bias, (1, stride), (0, padding), (1, dilation), groups)
    return result.squeeze(-2)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of [batch, in, height, width] and [out, in / groups, kh, kw]; see nn.Conv2d."""
    return _C.conv2d(input, weight, bias, stride, padding, dilation, groups)


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
            raise ValueError("batch_norm: running_mean and running_var are needed unless training is True")
        return _C.batch_norm(input, weight, bias, running_mean, running_var, eps)
    if input.dim() > 1 and input.numel() == input.shape[1]:
        raise ValueError(
            "batch_norm: more than one value a channel is needed to normalize by their statistics, but the "
            f"input has shape {list(input.shape)}; give larger batches, or use eval()"
        )
    result, mean, _, variance = _C.batch_norm_train(input, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with no_grad():
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(variance, alpha=momentum)
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


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window; stride is kernel_size when None. See nn.MaxPool2d."""
    return _C.max_pool2d(
        input, kernel_size, kernel_size if stride is None else stride, padding, dilation, ceil_mode
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window; stride is kernel_size when None. See nn.AvgPool2d."""
    stride = kernel_size if stride is None else stride
    return _C.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """The mean of windows chosen so that the output is `output_size`: an int or (height, width); None keeps a
    size.
    """
    sizes = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    filled = [input.shape[i - 2] if size is None else size for i, size in enumerate(sizes)]
    return _C.adaptive_avg_pool2d(input, filled)







def _into(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result






def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training each element becomes zero with probability p, the others are divided by 1 - p."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in 0 to 1, but is {p}")
    if not training or p == 0:
        return input
    return _into(input, _C.native_dropout(input, p)[0], inplace)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """weight[input]: the rows of the table `weight` for each index; row padding_idx gets no gradient."""
    rows = _C.embedding(weight, input)
    if padding_idx is None:
        return rows
    return _C.where((input == padding_idx).unsqueeze(-1), rows.detach(), rows)





