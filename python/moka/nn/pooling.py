"""Pooling layers: the maximum or the mean of windows of signals, images and volumes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moka._C import Tensor

from . import functional as F
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Sizes = int | Sequence[int]


class _Pool(Module):
    rank: int

    def _function(self, name: str) -> Any:
        return getattr(F, f"{name}{self.rank}d")


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return self._function("max_pool")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of [batch, channels, length]; see MaxPool2d."""

    rank = 1


class MaxPool2d(_MaxPool):
    """y[n, c, i, j] = max over u, v of x[n, c, s i + d u - p, s j + d v - p].

    Shapes: [batch, channels, height, width] to [batch, channels, height', width'] with height' = (height + 2
    padding - dilation (kernel_size - 1) - 1) // stride + 1 (rounded up with `ceil_mode`).

    Args:
        kernel_size, stride, padding, dilation: an int, or (height, width); stride is kernel_size when None.
        return_indices: whether the place of each maximum in its plane comes too, for MaxUnpool2d.
    """

    rank = 2


class MaxPool3d(_MaxPool):
    """The maximum of each window of [batch, channels, depth, height, width]; see MaxPool2d."""

    rank = 3


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return self._function("avg_pool")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of [batch, channels, length]; see AvgPool2d."""

    rank = 1

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        step = kernel_size if stride is None else stride
        window, step, pads = ((n,) if isinstance(n, int) else tuple(n) for n in (kernel_size, step, padding))
        super().__init__(window, step, pads, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """y[n, c, i, j] = mean over u, v of x[n, c, s i + u - p, s j + v - p].

    Args:
        kernel_size, stride, padding: an int, or (height, width); stride is kernel_size when None.
        count_include_pad: whether zeros of the padding count in the mean.
        divisor_override: what the sum is divided by instead of the number of places.
    """

    rank = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of [batch, channels, depth, height, width]; see AvgPool2d."""

    rank = 3


class _Adaptive(_Pool):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return self._function("adaptive_avg_pool")(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means of windows chosen so that the output has the length `output_size`."""

    rank = 1


class AdaptiveAvgPool2d(_Adaptive):
    """Means of windows chosen so that the output is `output_size`: an int or (height, width); None keeps a
    size.
    """

    rank = 2


class AdaptiveAvgPool3d(_Adaptive):
    """Means of windows chosen so that the output is `output_size`: an int or (depth, height, width)."""

    rank = 3


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return self._function("adaptive_max_pool")(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima of windows chosen so that the output has the length `output_size`."""

    rank = 1


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima of windows chosen so that the output is `output_size`: an int or (height, width); None keeps a
    size.
    """

    rank = 2


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Maxima of windows chosen so that the output is `output_size`: an int or (depth, height, width)."""

    rank = 3


class _Fractional(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{type(self).__name__}: give either output_size or output_ratio")
        if output_ratio is not None:
            ratios = (output_ratio,) if isinstance(output_ratio, float | int) else tuple(output_ratio)
            if not all(0 < r < 1 for r in ratios):
                raise ValueError(
                    f"{type(self).__name__}: output_ratio must lie between 0 and 1, got {output_ratio}"
                )
        self.kernel_size = kernel_size
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        return self._function("fractional_max_pool")(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_Fractional):
    """Maxima of windows at random places, so many that the output is `output_size` or `output_ratio` times
    the input (Graham, Fractional max-pooling, 2014).
    """

    rank = 2


class FractionalMaxPool3d(_Fractional):
    """The same over volumes."""

    rank = 3


class _LPPool(_Pool):
    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return self._function("lp_pool")(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p)^(1/p) of each window of [batch, channels, length]."""

    rank = 1


class LPPool2d(_LPPool):
    """(sum of x^p)^(1/p) of each window of [batch, channels, height, width]."""

    rank = 2


class LPPool3d(_LPPool):
    """(sum of x^p)^(1/p) of each window of [batch, channels, depth, height, width]."""

    rank = 3


class _Unpool(_Pool):
    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return self._function("max_unpool")(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_Unpool):
    """Undoes MaxPool1d with its indices: maxima at their places, zeros elsewhere."""

    rank = 1


class MaxUnpool2d(_Unpool):
    """Undoes MaxPool2d with its indices: maxima at their places, zeros elsewhere."""

    rank = 2


class MaxUnpool3d(_Unpool):
    """Undoes MaxPool3d with its indices: maxima at their places, zeros elsewhere."""

    rank = 3
