"""Adam and AdamW: steps scaled by running averages of the gradient and of its square."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

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
        # Parameters may have seen different numbers of gradients; those alike take their step together.
        alike: dict[int, list[Any]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state.setdefault(parameter, {})
            if not state:
                state["step"] = 0
                state["exp_avg"] = _C.zeros_like(parameter)
                state["exp_avg_sq"] = _C.zeros_like(parameter)
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = _C.zeros_like(parameter)
            state["step"] += 1
            alike.setdefault(state["step"], []).append(parameter)
        for step, parameters in alike.items():
            states = [self.state[parameter] for parameter in parameters]
            _C.adam_step_(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
                step,
                group["lr"],
                *group["betas"],
                group["eps"],
                group["weight_decay"],
                self.decoupled,
                group["maximize"],
            )


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
