"""Normalization layers: over the batch, instances, groups of channels, and features."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _Statistics(Module):
    """What batch and instance normalization share: parameters, and running averages of the statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _version = 2

    def _set_up(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._with_bias = bias
        self._make_parameters(device, dtype)

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        for name, present in (("weight", self.affine), ("bias", self.affine and self._with_bias)):
            value = Parameter(_C.empty(self.num_features, device=device, dtype=dtype)) if present else None
            self.register_parameter(name, value)
        tracked, n = self.track_running_stats, self.num_features
        self.register_buffer("running_mean", _C.zeros(n, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", _C.ones(n, device=device, dtype=dtype) if tracked else None)
        self.register_buffer(
            "num_batches_tracked", _C.tensor(0, dtype=_C.int64, device=device) if tracked else None
        )
        self.reset_parameters()

    def _upgrade_state(self, state: dict[str, Any], prefix: str, version: int | None) -> None:
        # Version 1 did not count batches.
        if self.num_batches_tracked is not None and (version is None or version < 2):
            state.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)

    def reset_running_stats(self) -> None:
        """Forget the running averages."""
        if self.track_running_stats:
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """weight = 1, bias = 0, and no running averages."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Statistics):
    """What the batch normalizations share; `ranks` says which inputs a class takes."""

    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self.ranks:
            ranks = " or ".join(map(str, self.ranks))
            raise ValueError(
                f"{type(self).__name__}: input must have {ranks} dimensions, but has {input.dim()} "
                f"(shape {list(input.shape)})"
            )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        counts = self.weight is not None or self.running_mean is not None
        if counts and input.shape[1] != self.num_features:
            raise RuntimeError(
                f"{type(self).__name__}: the layer has {self.num_features} channels, but the input has "
                f"{input.shape[1]} (shape {list(input.shape)}, read as [batch, channels, ...])"
            )
        average = 0.0 if self.momentum is None else self.momentum
        updates = self.training and self.track_running_stats
        if updates and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                average = 1.0 / float(self.num_batches_tracked.item())
        use_batch = self.training or self.running_mean is None
        # Averages that are not tracked are used in evaluation, but never changed.
        mean, var = (None, None) if self.training and not updates else (self.running_mean, self.running_var)
        return F.batch_norm(input, mean, var, self.weight, self.bias, use_batch, average, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalization of [batch, channels] or [batch, channels, length].

    y = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance for each channel over batch and
    length; see BatchNorm2d for the arguments.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images, [batch, channels, height, width].

    y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and variance of each channel. In training they
    come from the batch, and running averages follow them: running = (1 - momentum) * running + momentum *
    batch (with the unbiased variance). In evaluation the running averages are used.

    Args:
        num_features: number of channels, the second dimension of the input.
        eps: added to the variance.
        momentum: weight of a batch in the running averages; None averages all batches alike.
        affine: whether weight and bias are there.
        track_running_stats: whether running averages are kept; without them evaluation uses the batch too.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of volumes, [batch, channels, depth, height, width]; see BatchNorm2d."""

    ranks = (5,)


class _InstanceNorm(_Statistics):
    rank: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.rank + 1, self.rank + 2):
            raise ValueError(
                f"{type(self).__name__}: input must have {self.rank + 1} or {self.rank + 2} dimensions, "
                f"got shape "
                f"{list(input.shape)}"
            )
        x = input if input.dim() == self.rank + 2 else input.unsqueeze(0)
        if self.affine and x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: input must have {self.num_features} channels, got shape "
                f"{list(input.shape)}"
            )
        own = self.training or not self.track_running_stats
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            self.momentum or 0.0,
            self.eps,
        )
        return y if x is input else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalization of each channel of each signal, [batch, channels, length]; see InstanceNorm2d."""

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias with the statistics of each channel of each image.

    Args:
        num_features: number of channels.
        affine: whether weight and bias are there.
        track_running_stats: whether running averages are kept and used in evaluation.
    """

    rank = 2


class InstanceNorm3d(_InstanceNorm):
    """Normalization of each channel of each volume; see InstanceNorm2d."""

    rank = 3


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias with the statistics of each group of channels.

    Args:
        num_groups: the channels are split into so many groups.
        num_channels: number of channels, the second dimension of the input.
        affine: whether weight and bias (of each channel) are there.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups ({num_groups}) must divide num_channels ({num_channels})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, present in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(_C.empty(num_channels, device=device, dtype=dtype)) if present else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight = 1 and bias = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dimensions, `normalized_shape`.

    Args:
        eps: added to the mean square; the machine epsilon of the input when None.
        elementwise_affine: whether weight is there.
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        value = Parameter(_C.empty(shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight = 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """y = x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """LocalResponseNorm of images [batch, channels, height, width]."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, `normalized_shape`.

    Mean and (biased) variance are those of each element of the leading dimensions; weight and bias have the
    shape `normalized_shape`.

    Args:
        normalized_shape: the last dimensions of the input; an int means only the last.
        eps: added to the variance.
        elementwise_affine: whether weight and bias are there.
        bias: whether bias is there.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, present in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            value = Parameter(_C.empty(shape, device=device, dtype=dtype)) if present else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight = 1 and bias = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
