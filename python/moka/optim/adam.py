"""Adam and AdamW: steps scaled by running averages of the gradient and of its square."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C

from .optimizer import Optimizer, Parameters, check_options

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t))
    + eps).

    g is the gradient plus weight_decay * p, t the number of the step (Kingma and Ba 2015).

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: (b1, b2), how slowly the averages follow.
        eps: keeps the divisor from zero.
        weight_decay: pull towards zero, through the gradient.
        amsgrad: divide by the largest v so far.
        maximize: go up instead of down.
    """

    decoupled = False

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        name = type(self).__name__
        check_options(name, lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{name}: betas must be at least 0 and below 1, but are {betas}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        lr, decay = group["lr"], group["weight_decay"]
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None:
                continue
            state = self.state.setdefault(parameter, {})
            if not state:
                state["step"] = 0
                state["exp_avg"] = _C.zeros_like(parameter)
                state["exp_avg_sq"] = _C.zeros_like(parameter)
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = _C.zeros_like(parameter)
            state["step"] += 1
            if group["maximize"]:
                gradient = -gradient
            if decay:
                if self.decoupled:
                    parameter.mul_(1 - lr * decay)
                else:
                    gradient = gradient.add(parameter, alpha=decay)
            mean, square = state["exp_avg"], state["exp_avg_sq"]
            mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
            square.mul_(beta2).add_(gradient * gradient, alpha=1 - beta2)
            if group["amsgrad"]:
                square = state["max_exp_avg_sq"].copy_(_C.maximum(state["max_exp_avg_sq"], square))
            step = state["step"]
            divisor = square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
            parameter.add_(mean / divisor, alpha=-lr / (1 - beta1**step))


class AdamW(Adam):
    """Adam whose weight decay does not pass through the averages: p = p - lr * weight_decay * p before the
    step.

    (Loshchilov and Hutter 2019.) Arguments as for Adam; weight_decay is 0.01 unless given.
    """

    decoupled = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
