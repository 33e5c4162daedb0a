"""GradScaler keeps small gradients of 16-bit types from becoming zero."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

__all__ = ["GradScaler"]


class GradScaler:
    """Multiplies the loss before backward and divides the gradients before the step.

    A step whose gradients hold infinity or NaN is left out and the scale becomes smaller; after
    `growth_interval` good steps it becomes larger (Micikevicius and others 2018).

    >>> scaler.scale(loss).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()

    Args:
        device: accepted; the scale is a number.
        init_scale: the first factor.
        growth_factor, backoff_factor: what it is multiplied by.
        growth_interval: good steps before it grows.
        enabled: without it every method does only what it would without scaling.
    """

    def __init__(
        self,
        device: Any = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and not (growth_factor > 1 and 0 < backoff_factor < 1 and init_scale > 0):
            raise ValueError(
                f"GradScaler: growth_factor ({growth_factor}) must be above 1, backoff_factor "
                f"({backoff_factor}) in 0 to 1, init_scale ({init_scale}) above 0"
            )
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        # id of an optimizer -> whether its gradients, divided in this round, held infinity or NaN
        self._unscaled: dict[int, bool] = {}
        self._stepped: set[int] = set()

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def get_scale(self) -> float:
        """The present factor."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists and tuples, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(output) for output in outputs)
        raise ValueError(f"GradScaler.scale: tensors are needed, but {type(outputs).__name__} came")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters; to clip them before step()."""
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("GradScaler.unscale_: it must come before step()")
        if id(optimizer) in self._unscaled:
            raise RuntimeError("GradScaler.unscale_: it was called already since the last update()")
        bad = False
        with no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    parameter.grad.mul_(1.0 / self._scale)
                    bad = bad or not _C.isfinite(parameter.grad).all().item()
        self._unscaled[id(optimizer)] = bad

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step() unless a gradient is infinity or NaN; divides the gradients if that was not
        done.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("GradScaler.step: closures cannot be used")
        if id(optimizer) in self._stepped:
            raise RuntimeError("GradScaler.step: it was called already since the last update()")
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._unscaled[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Change the factor by what the last steps found, or to `new_scale`."""
        if not self._enabled:
            return
        if new_scale is not None:
            value = new_scale.item() if isinstance(new_scale, Tensor) else float(new_scale)
            if not value > 0 or math.isinf(value):
                raise ValueError(f"GradScaler.update: the scale must be above zero and finite, not {value}")
            self._scale = value
        elif not self._unscaled:
            raise RuntimeError("GradScaler.update: step() or unscale_() must come first")
        elif any(self._unscaled.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                grown = self._scale * self._growth_factor
                self._scale = grown if grown <= 3.4e38 else self._scale  # as far as float32 goes
                self._growth_tracker = 0
        self._unscaled.clear()
        self._stepped.clear()

    def get_growth_factor(self) -> float:
        """What the factor is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Change that."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the factor is multiplied by when it shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Change that."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Good steps before the factor grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Change that."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The factor and its rules, as plain data."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict()` was taken."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "GradScaler.load_state_dict: the state is that of a scaler that was not enabled"
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
