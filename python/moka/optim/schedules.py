"""LRScheduler, the base of schedules, and the schedules that follow a formula."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from moka._C import Tensor

from .optimizer import Optimizer, number

__all__ = [
    "EPOCH_DEPRECATION_WARNING",
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "StepLR",
    "set_rate",
]


EPOCH_DEPRECATION_WARNING = (
    "step(epoch) jumps to the closed form of a schedule, which not every one has; it is deprecated: call "
    "step() once for every step"
)


def set_rate(group: dict[str, Any], rate: Any) -> None:
    """Give a group its rate; a rate that is a tensor stays the same tensor."""
    if isinstance(group["lr"], Tensor) and group["lr"] is not rate:
        group["lr"].fill_(number(rate))
    else:
        group["lr"] = rate


class LRScheduler:
    """Base of the schedules. `step()` after every epoch or every optimizer step, as the schedule is meant.

    Subclasses define get_lr(), the rates for step `last_epoch` computed from the present ones (so that
    schedules can be combined), or closed_form(base), the rate computed from the initial one, or both.

    Args:
        optimizer: whose groups' "lr" is changed.
        last_epoch: number of the last step that was done; -1 for a fresh start.
    """

    # For get_lr() of schedules that were written for torch: whether step() asks, and for the first time.
    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: an Optimizer is needed, but {type(optimizer).__name__} came"
            )
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", number(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: group {i} has no 'initial_lr', which resuming needs")
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        if type(optimizer).step is Optimizer.step:  # which says when it was called
            optimizer.__dict__.setdefault("_opt_called", False)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def closed_form(self, base: float) -> float:
        """The rate at step `last_epoch` for the initial rate `base`."""
        raise NotImplementedError(f"{type(self).__name__} cannot jump to a step")

    def get_lr(self) -> list[float]:
        """The rate of each group at step `last_epoch`."""
        return [self.closed_form(base) for base in self.base_lrs]

    def get_last_lr(self) -> list[float]:
        """The rate of each group as the schedule set it last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go to the next step (or jump to step `epoch`) and set the rates."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Set the rates of the next step, or of step `epoch`."""
        self._get_lr_called_within_step = True
        try:
            rates = self._rates(epoch)
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _rates(self, epoch: int | None) -> list[float]:
        """The rates of the next step, or of step `epoch`."""
        if epoch is None:
            self.last_epoch += 1
            return self.get_lr()
        self.last_epoch = epoch
        if type(self).closed_form is not LRScheduler.closed_form:
            return [self.closed_form(base) for base in self.base_lrs]
        if hasattr(self, "_get_closed_form_lr"):  # schedules that were written for torch
            return self._get_closed_form_lr()
        return self.get_lr()

    def _check_order(self) -> None:
        """At the first step of a program: warn where the optimizer has made none yet."""
        more = "see https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
        if "step" in self.optimizer.__dict__:
            warnings.warn(
                "`optimizer.step()` has been overridden after the schedule was made; call it before "
                f"`lr_scheduler.step()`, {more}",
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", True):
            warnings.warn(
                "`lr_scheduler.step()` was called before `optimizer.step()`: the first rate is skipped. Call "
                f"them in the other order, {more}",
                stacklevel=3,
            )

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = [number(rate) for rate in rates]

    def _present(self) -> list[float]:
        return [number(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer and functions, as plain data."""
        return {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "lr_lambdas")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict()` was taken."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(step); one function for all groups, or a list with one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(
                f"LambdaLR: {count} functions are needed, one for each group; {len(self.lr_lambdas)} came"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """As of every schedule; of the functions, the attributes of those that are objects."""
        functions = [
            None if isinstance(function, FunctionType) else dict(getattr(function, "__dict__", {}))
            for function in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": functions}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas", ()), strict=False):
            if attributes:
                function.__dict__.update(attributes)
        super().load_state_dict(state)


class StepLR(LRScheduler):
    """lr becomes gamma * lr after every `step_size` steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, but is {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base: float) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)

    def get_lr(self) -> list[float]:
        change = self.last_epoch and self.last_epoch % self.step_size == 0
        return [rate * self.gamma if change else rate for rate in self._present()]


class MultiStepLR(LRScheduler):
    """lr becomes gamma * lr at each of the steps `milestones`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base: float) -> float:
        return base * self.gamma ** bisect_right(self.milestones, self.last_epoch)

    def get_lr(self) -> list[float]:
        times = Counter(self.milestones)[self.last_epoch]
        return [rate * self.gamma**times for rate in self._present()]


class ExponentialLR(LRScheduler):
    """lr becomes gamma * lr at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base: float) -> float:
        return base * self.gamma**self.last_epoch

    def get_lr(self) -> list[float]:
        return [rate * self.gamma if self.last_epoch else rate for rate in self._present()]


class LinearLR(LRScheduler):
    """lr = initial lr times a factor that goes from start_factor to end_factor in total_iters steps,
    then stays.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(
                f"LinearLR: start_factor must be above 0 and both factors at most 1; {start_factor} and "
                f"{end_factor} came"
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        share = min(step, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share

    def closed_form(self, base: float) -> float:
        return base * self._factor(self.last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._present()]
        if self.last_epoch > self.total_iters:
            return self._present()
        change = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [rate * change for rate in self._present()]


class MultiplicativeLR(LambdaLR):
    """lr becomes lr * lr_lambda(step) at every step."""

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._present()
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(self._present(), self.lr_lambdas, strict=True)
        ]

    def step(self, epoch: int | None = None) -> None:
        LRScheduler.step(self, epoch)


class ConstantLR(LRScheduler):
    """lr = factor * initial lr for total_iters steps, then the initial one."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must be in 0 to 1, but is {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base: float) -> float:
        return base * (1.0 if self.last_epoch >= self.total_iters else self.factor)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._present()]
        if self.last_epoch != self.total_iters:
            return self._present()
        return [rate * (1.0 / self.factor) for rate in self._present()]


class PolynomialLR(LRScheduler):
    """lr = initial lr * (1 - step / total_iters)^power for total_iters steps, then zero."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        return 1.0 - min(step, self.total_iters) / self.total_iters

    def closed_form(self, base: float) -> float:
        return base * self._share(self.last_epoch) ** self.power

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return self._present()
        change = (self._share(self.last_epoch) / self._share(self.last_epoch - 1)) ** self.power
        return [rate * change for rate in self._present()]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial lr - eta_min) * (1 + cos(pi * step / T_max)) / 2 (Loshchilov and Hutter
    2017).
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, but is {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        return (1 + math.cos(math.pi * step / self.T_max)) / 2

    def closed_form(self, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * self._share(self.last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._present()
        if self._step_count == 1:  # resumed: the present rates may be of any step
            return [self.closed_form(base) for base in self.base_lrs]
        before = self._share(self.last_epoch - 1)
        if before < 1e-12:
            # At the bottom nothing of the present rate says where it came from: go up from the initial rates.
            return [self.closed_form(base) for base in self.base_lrs]
        change = self._share(self.last_epoch) / before
        return [self.eta_min + (rate - self.eta_min) * change for rate in self._present()]


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr, then down to max_lr / (div_factor * final_div_factor).

    One step() after every optimizer step, total_steps of them (or epochs * steps_per_epoch). With
    cycle_momentum, momentum (or the first beta of Adam) goes the other way, between max_momentum and
    base_momentum (Smith and Topin 2018).

    Args:
        max_lr: one rate, or one for each group.
        pct_start: share of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        three_phase: fall symmetrically to max_lr / div_factor first, then to the end.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: the number of steps must be at least 1, but is {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be in 0 to 1, but is {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', but {anneal_strategy!r} came"
            )
        groups = optimizer.param_groups
        peaks = [max_lr] * len(groups) if isinstance(max_lr, (int, float)) else list(max_lr)
        if len(peaks) != len(groups):
            raise ValueError(f"OneCycleLR: {len(groups)} values of max_lr are needed, one for each group")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        up = pct_start * total_steps - 1
        last = float(total_steps - 1)
        # Each phase: its last step, and the names of the rates and momenta it goes between.
        if three_phase:
            self._phases = [
                (up, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                (2 * pct_start * total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._phases = [
                (up, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                (last, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        if last_epoch == -1:
            for group, peak in zip(groups, peaks, strict=True):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    if "momentum" not in group and "betas" not in group:
                        raise ValueError(
                            "OneCycleLR: the optimizer has no momentum; give cycle_momentum=False"
                        )
                    group["max_momentum"] = max_momentum
                    group["base_momentum"] = base_momentum
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {step} was asked for, but the cycle has {self.total_steps} steps; "
                f"give total_steps the number of optimizer steps"
            )
        begin = 0.0
        for place, phase in enumerate(self._phases):
            if step <= phase[0] or place == len(self._phases) - 1:
                break
            begin = phase[0]
        end, rate_from, rate_to, momentum_from, momentum_to = phase
        share = (step - begin) / (end - begin) if end != begin else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[rate_from], group[rate_to], share))
            if self.cycle_momentum:
                momentum = self._between(group[momentum_from], group[momentum_to], share)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates
