"""Batch normalization over the batches of all processes of a group."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

from .module import Module
from .normalization import _BatchNorm

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance are those of all processes of a group; outside of one its own
    batch's.

    Args:
        num_features: channels, the second dimension of the input, which has at least two.
        process_group: the group; without one the default group of moka.distributed.
    """

    ranks = (2, 3, 4, 5)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        from moka import distributed

        together = (
            (self.training or self.running_mean is None)
            and distributed.is_initialized()
            and distributed.get_world_size(self.process_group) > 1
        )
        if not together:
            return super().forward(input)
        self._check_input_dim(input)
        from moka.distributed.functional import all_reduce

        dims = [0, *range(2, input.dim())]
        own = _C.tensor([input.numel() / input.shape[1]], dtype=input.dtype)
        sums = _C.cat([input.sum(dims), (input * input).sum(dims), own])
        total = all_reduce(sums, group=self.process_group)
        count = float(total[-1].item())
        mean = total[: self.num_features] / count
        var = total[self.num_features : -1] / count - mean * mean
        if self.running_mean is not None:
            assert self.running_var is not None and self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            part = 1.0 / float(self.num_batches_tracked.item()) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), part)
            unbiased = var.detach() * (count / max(count - 1, 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), part)
        shape = [1, -1] + [1] * (input.dim() - 2)
        result = (input - mean.view(shape)) * (var.view(shape) + self.eps).rsqrt()
        if self.weight is not None:
            result = result * self.weight.view(shape)
        return result if self.bias is None else result + self.bias.view(shape)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every batch normalization in it replaced; parameters and averages stay the same."""
        result = module
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            result = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            if module.affine:
                result.weight, result.bias = module.weight, module.bias
            result.running_mean, result.running_var = module.running_mean, module.running_var
            result.num_batches_tracked = module.num_batches_tracked
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result
