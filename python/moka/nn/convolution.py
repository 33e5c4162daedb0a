"""Convolution layers over signals and images."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d"]


def _sizes(name: str, value: int | Sequence[int], rank: int, least: int) -> tuple[int, ...]:
    """`value` for each of `rank` dimensions, checked to be at least `least`."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(not isinstance(v, int) or v < least for v in values):
        raise ValueError(
            f"Conv{rank}d: {name} must be an int or {rank} ints of at least {least}, but {value!r} came"
        )
    return values


class _Convolution(Module):
    """What Conv1d and Conv2d share; a layer's class says how many dimensions it slides over."""

    rank: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups ({groups}) must divide in_channels ({in_channels}) and out_channels "
                f"({out_channels})"
            )
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros', but {padding_mode!r} came")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be ints, 'same' or 'valid', but {padding!r} came")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _sizes("kernel_size", kernel_size, self.rank, 1)
        self.stride = _sizes("stride", stride, self.rank, 1)
        self.dilation = _sizes("dilation", dilation, self.rank, 1)
        self.groups = groups
        if padding == "same":
            if any(s != 1 for s in self.stride) or any(
                d * (k - 1) % 2 for d, k in zip(self.dilation, self.kernel_size, strict=True)
            ):
                raise ValueError(
                    f"{name}: padding='same' needs stride 1 and an even dilation * (kernel_size - 1)"
                )
            padding = [d * (k - 1) // 2 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        elif padding == "valid":
            padding = 0
        self.padding = _sizes("padding", padding, self.rank, 0)  # type: ignore[arg-type]
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(_C.empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(_C.empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.in_channels // self.groups * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if any(self.padding):
            text += f", padding={self.padding}"
        if any(d != 1 for d in self.dilation):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class Conv1d(_Convolution):
    """Cross-correlation over the last dimension: y[n, o, l] = b[o] + sum over c, k of W[o, c, k] x[n, c, s
    l + d k - p].

    Shapes: x is [batch, in_channels, length]; y is [batch, out_channels, length'], with length' = (length + 2
    padding - dilation (kernel_size - 1) - 1) // stride + 1.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(_Convolution):
    """Cross-correlation over the last two dimensions:
    y[n, o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] x[n, c, s i + d u - p, s j + d v - p].

    Shapes: x is [batch, in_channels, height, width] (or without batch); y is [batch, out_channels, height',
    width'] with height' = (height + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1. `weight` is
    [out_channels, in_channels / groups, kernel height, kernel width], uniform in ±1/sqrt(fan in) at the
    start.

    Args:
        kernel_size, stride, padding, dilation: one int for both dimensions, or (height, width).
            padding may be "same" (stride 1: output as large as input) or "valid" (none).
        groups: channels are split into so many groups that see only each other.
        bias: whether b is added.
    """

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
