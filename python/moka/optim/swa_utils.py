"""Averages of a model's parameters over its training, and the schedule that belongs to them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad
from moka.nn import Module
from moka.nn.normalization import _BatchNorm

from .optimizer import Optimizer
from .schedules import LRScheduler, number

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Tensor]:
    """average * decay + parameter * (1 - decay)."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[..., Tensor]:
    """The mean of all updates with the same weight (Izmailov and others 2018)."""

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _for_lists(one: Callable[..., Tensor]) -> Callable[..., None]:
    @no_grad()
    def update(averaged: Iterable[Tensor], current: Iterable[Tensor], num_averaged: Any) -> None:
        for average, value in zip(averaged, current, strict=True):
            average.copy_(one(average, value, num_averaged) if average.is_floating_point() else value)

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """get_ema_avg_fn for lists of tensors, in place."""
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """get_swa_avg_fn for lists of tensors, in place."""
    return _for_lists(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a module whose parameters are averages of the module's, taken at every update_parameters().

    Args:
        model: copied, as `module`.
        avg_fn: (average, parameter, number of updates so far) -> new average; the mean of all without it.
        multi_avg_fn: the same for lists of tensors, in place.
        use_buffers: average buffers too; otherwise they are taken from the module as they are.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Tensor] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _C.tensor(0, dtype=_C.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the module's present parameters into the averages; the first time they are the averages."""
        own, new = list(self.module.parameters()), list(model.parameters())
        if self.use_buffers:
            own, new = own + list(self.module.buffers()), new + list(model.buffers())
        count = self.n_averaged
        with no_grad():
            if count.item() == 0:
                for average, value in zip(own, new, strict=True):
                    average.detach().copy_(value.detach())
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn([x.detach() for x in own], [x.detach() for x in new], count)
            else:
                one = self.avg_fn or get_swa_avg_fn()
                for average, value in zip(own, new, strict=True):
                    if average.is_floating_point():
                        average.detach().copy_(one(average.detach(), value.detach(), count))
                    else:
                        average.copy_(value)
            if not self.use_buffers:
                for kept, value in zip(self.module.buffers(), model.buffers(), strict=True):
                    kept.detach().copy_(value.detach())
            self.n_averaged.add_(1)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running averages of all batch normalizations anew from the batches of a loader."""
    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    training = model.training
    model.train()
    for module in momenta:
        module.momentum = None
    for batch in loader:
        inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(inputs if device is None else inputs.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """The rates go to `swa_lr` within `anneal_epochs` steps and stay there.

    Args:
        swa_lr: the last rate, or one for each group.
        anneal_strategy: "cos" or "linear".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(optimizer.param_groups)
        if len(rates) != len(optimizer.param_groups):
            raise ValueError(
                f"swa_lr must have the same length as optimizer.param_groups: swa_lr has {len(rates)}, "
                f"optimizer.param_groups has {len(optimizer.param_groups)}"
            )
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """The rates of this step, from those of the step before."""
        step = self.last_epoch if self.anneal_epochs else max(1, self.last_epoch)
        share, before = self._share(step), self._share(max(0, step - 1))
        rates = []
        for group in self.optimizer.param_groups:
            last, rate = number(group["swa_lr"]), number(group["lr"])
            first = last if before == 1 else (rate - last * before) / (1 - before)
            rates.append(last * share + first * (1 - share))
        return rates
