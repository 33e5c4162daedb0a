"""Schedules that come back: CyclicLR between two rates, CosineAnnealingWarmRestarts from the first one
again."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .optimizer import Optimizer
from .schedules import LRScheduler, set_rate

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR"]


def _for_groups(name: str, option: str, value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"{name}: {count} values of {option} are needed, one for each group; {len(values)} came"
        )
    return values


class CyclicLR(LRScheduler):
    """From base_lr up to max_lr in step_size_up steps and down again in step_size_down (Smith 2017).

    With cycle_momentum, momentum (or the first beta of Adam) goes the other way.

    Args:
        base_lr, max_lr: one rate, or one for each group.
        step_size_down: step_size_up unless given.
        mode: "triangular"; "triangular2": half the height after each cycle; "exp_range": height times
        gamma^step.
        scale_fn: the height's factor as a function of the cycle or the step, in place of mode.
        scale_mode: what scale_fn takes: "cycle" or "iterations".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"CyclicLR: an Optimizer is needed, but {type(optimizer).__name__} came")
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', not {mode!r}; or give "
                "scale_fn"
            )
        groups = optimizer.param_groups
        base_lrs = _for_groups("CyclicLR", "base_lr", base_lr, len(groups))
        self.max_lrs = _for_groups("CyclicLR", "max_lr", max_lr, len(groups))
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = "iterations" if scale_fn is None and mode == "exp_range" else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError("CyclicLR: the optimizer has no momentum; give cycle_momentum=False")
            self.base_momentums = _for_groups("CyclicLR", "base_momentum", base_momentum, len(groups))
            self.max_momentums = _for_groups("CyclicLR", "max_momentum", max_momentum, len(groups))
        if last_epoch == -1:
            for i, group in enumerate(groups):
                set_rate(group, base_lrs[i])
                if cycle_momentum:
                    self._set_momentum(group, self.max_momentums[i])
                    group["max_momentum"] = self.max_momentums[i]
                    group["base_momentum"] = self.base_momentums[i]
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    @staticmethod
    def _set_momentum(group: dict[str, Any], momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def _factor(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "exp_range":
            return self.gamma**self.last_epoch
        return 2.0 ** (1 - cycle) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        share = 1.0 + self.last_epoch / self.total_size - cycle
        up = share <= self.step_ratio
        height = share / self.step_ratio if up else (share - 1) / (self.step_ratio - 1)
        height *= self._factor(cycle)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                self._set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state.pop("scale_fn")
        return state


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, from the start again after T_0
    steps, then after T_0 * T_mult, ... (Loshchilov and Hutter 2017).

    step(epoch) takes fractions of an epoch too.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: {name} must be an integer of at least 1, but is {value!r}"
                )
        self.T_0, self.T_i, self.T_mult = T_0, T_0, T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next step, or to step `epoch` (not negative, whole or not)."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: the step must not be negative, but is {epoch}"
                )
            self.T_cur, self.T_i = epoch, self.T_0
            while self.T_cur >= self.T_i:
                if self.T_mult == 1:
                    self.T_cur %= self.T_0
                    break
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    _update_lr = step
