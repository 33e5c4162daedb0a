"""Convolution layers over signals, images and volumes, their transposes, and windows as columns."""
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

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Fold",
    "Unfold",
]

Sizes = int | Sequence[int]


def _sizes(layer: str, name: str, value: Sizes, rank: int, least: int | None = None) -> tuple[int, ...]:
    """`value` for each of `rank` dimensions, checked to be at least `least`."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values = values * rank
    wrong = any(not isinstance(v, int) or (least is not None and v < least) for v in values)
    if wrong or len(values) != rank:
        limit = "" if least is None else f" of at least {least}"
        raise ValueError(f"{layer}: {name} must be an int or {rank} ints{limit}, but {value!r} came")
    return values


class _Convolution(Module):
    """What all convolutions share; a layer's class says how many dimensions it slides over."""

    rank: int
    transposed = False
    weight: Parameter
    bias: Parameter | None

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Any,
        dilation: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: Sizes = 0,
    ) -> None:
        name = type(self).__name__
        if groups < 1:
            raise ValueError(f"{name}: groups must be a positive integer, but is {groups}")
        for which, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {which} ({channels}) must be divisible by groups ({groups})")
        modes = ("zeros", "reflect", "replicate", "circular")
        if self.transposed and padding_mode != "zeros":
            raise ValueError(f'{name}: Only "zeros" padding mode is supported, but {padding_mode!r} came')
        if padding_mode not in modes:
            raise ValueError(
                f"{name}: padding_mode must be one of {', '.join(modes)}, but {padding_mode!r} came"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _sizes(name, "kernel_size", kernel_size, self.rank, 1)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: Invalid padding string {padding!r}, should be 'same' or 'valid'")
            if padding == "same" and any(s != 1 for s in ([stride] if isinstance(stride, int) else stride)):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions (stride {stride})"
                )
        self.stride = _sizes(name, "stride", stride, self.rank)
        named = isinstance(padding, str)
        self.padding: Any = padding if named else _sizes(name, "padding", padding, self.rank, 0)
        self.dilation = _sizes(name, "dilation", dilation, self.rank, 1)
        self.transposed = type(self).transposed
        self.output_padding = _sizes(name, "output_padding", output_padding, self.rank, 0)
        self.groups = groups
        self.padding_mode = padding_mode
        channels = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self._shape = (channels[0], channels[1] // groups, *self.kernel_size)
        self._with_bias = bias
        self._make_parameters(device, dtype)

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        self.weight = Parameter(_C.empty(self._shape, device=device, dtype=dtype))
        value = (
            Parameter(_C.empty(self.out_channels, device=device, dtype=dtype)) if self._with_bias else None
        )
        self.register_parameter("bias", value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound)

    def _border(self) -> list[int]:
        """What padding_mode adds, in pairs from the last dimension on."""
        pads: list[int] = []
        for k in reversed(range(self.rank)):
            if self.padding == "same":
                total = self.dilation[k] * (self.kernel_size[k] - 1)
                pads += [total // 2, total - total // 2]
            elif self.padding == "valid":
                pads += [0, 0]
            else:
                pads += [self.padding[k]] * 2
        return pads

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding}"
        if any(d != 1 for d in self.dilation):
            text += f", dilation={self.dilation}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        function = getattr(F, f"conv{self.rank}d")
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return function(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Cross-correlation over the last dimension: y[n, o, l] = b[o] + sum over c, k of W[o, c, k] x[n, c, s
    l + d k - p].

    Shapes: x is [batch, in_channels, length]; y is [batch, out_channels, length'], with length' = (length + 2
    padding - dilation (kernel_size - 1) - 1) // stride + 1. The arguments are those of Conv2d.
    """

    rank = 1


class Conv2d(_Conv):
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
        padding_mode: what lies around the input: "zeros", "reflect", "replicate" or "circular".
    """

    rank = 2


class Conv3d(_Conv):
    """Cross-correlation over the last three dimensions of [batch, in_channels, depth, height, width]; the
    arguments are those of Conv2d with one or three ints.
    """

    rank = 3


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            output_padding,
        )

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output_padding that leads to output_size."""
        if output_size is None:
            return self.output_padding
        wanted = list(output_size)[-self.rank :]
        extra = []
        for k, size in enumerate(input.shape[-self.rank :]):
            least = (
                (size - 1) * self.stride[k]
                - 2 * self.padding[k]
                + self.dilation[k] * (self.kernel_size[k] - 1)
                + 1
            )
            if not least <= wanted[k] < least + self.stride[k]:
                raise ValueError(
                    f"{type(self).__name__}: output_size {list(output_size)} is not possible: dimension {k} "
                    f"must lie between {least} and {least + self.stride[k] - 1}"
                )
            extra.append(wanted[k] - least)
        return tuple(extra)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        function = getattr(F, f"conv_transpose{self.rank}d")
        return function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._extra(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTranspose):
    """The transpose of Conv1d as a linear map; see ConvTranspose2d."""

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d as a linear map, also called deconvolution.

    Shapes: [batch, in_channels, height, width] to [batch, out_channels, height', width'] with height' =
    (height - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1. `weight` is
    [in_channels, out_channels / groups, kernel height, kernel width].
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of Conv3d as a linear map; see ConvTranspose2d."""

    rank = 3


class Unfold(Module):
    """The windows of images [batch, channels, height, width] as columns [batch, channels * places,
    windows].
    """

    def __init__(
        self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """The images of output_size to which the columns of Unfold add up."""

    def __init__(
        self,
        output_size: Sizes,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
