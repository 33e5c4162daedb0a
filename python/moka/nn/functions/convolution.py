"""Convolutions, their transposes, and windows as columns."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "unfold",
]

Sizes = int | Sequence[int]

conv_transpose1d = _C.conv_transpose1d
conv_transpose2d = _C.conv_transpose2d
conv_transpose3d = _C.conv_transpose3d


def _each(value: Sizes, rank: int) -> list[int]:
    if isinstance(value, int):
        return [value] * rank
    return list(value) * rank if len(value) == 1 else list(value)


def _named_padding(
    name: str, rank: int, input: Tensor, weight: Tensor, stride: Sizes, padding: str, dilation: Sizes
) -> tuple[Tensor, Sizes]:
    """Input and padding for padding="same" or "valid"; what cannot be symmetric is added to the input."""
    if weight.dim() != rank + 2 or input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name} and a weight "
            f"with {rank + 2} dimensions, but got input of size: {list(input.shape)} and weight of size: "
            f"{list(weight.shape)}"
        )
    if padding == "valid":
        return input, 0
    if padding != "same":
        raise RuntimeError(f"{name}: padding must be ints, 'same' or 'valid', got {padding!r}")
    if any(s != 1 for s in _each(stride, rank)):
        raise RuntimeError(
            f"{name}: padding='same' is not supported for strided convolutions (stride {stride})"
        )
    total = [d * (k - 1) for d, k in zip(_each(dilation, rank), weight.shape[2:], strict=False)]
    odd = [t % 2 for t in total]
    if any(odd):
        input = _C.pad_constant(input, [p for o in reversed(odd) for p in (0, o)])
    return input, [t // 2 for t in total]


def _convolution(rank: int, op: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = f"conv{rank}d"

    def convolve(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        if isinstance(padding, str):
            input, padding = _named_padding(name, rank, input, weight, stride, padding, dilation)
        return op(input, weight, bias, stride, padding, dilation, groups)

    convolve.__name__ = convolve.__qualname__ = name
    convolve.__doc__ = (
        f"Cross-correlation of [batch, in, ...] over the last {rank} dimensions with weight [out, in / "
        f"groups, "
        f'kernel...]; padding may be "same" or "valid"; see nn.Conv{rank}d.'
    )
    return convolve


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """conv1d of input [steps, batch, in] with weight [kernel, in, out], giving [steps', batch, out]."""
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise RuntimeError(
            "conv_tbc: input [steps, batch, in], weight [kernel, in, out] and bias [out] are needed, got "
            f"{list(input.shape)}, {list(weight.shape)} and {list(bias.shape)}"
        )
    return _C.conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, 1, pad).permute(2, 0, 1)


conv1d = _convolution(1, _C.conv1d)
conv2d = _convolution(2, _C.conv2d)
conv3d = _convolution(3, _C.conv3d)


def unfold(
    input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """The windows of images as columns: [batch, channels * kernel places, windows]; see nn.Unfold."""
    return _C.im2col(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The image of output_size to which the columns of unfold add up; see nn.Fold."""
    return _C.col2im(input, _each(output_size, 2), kernel_size, dilation, padding, stride)
