"""Adam and AdamW: steps scaled by running averages of the gradient and of its square."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

from .optimizer import (
    Optimizer,
    Parameters,
    check_betas,
    check_options,
    count_step,
    kept_number,
    number,
    real_view,
)

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t))
    + eps).

    g is the gradient plus weight_decay * p, t the number of the step (Kingma and Ba 2015).

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a tensor of one element.
        betas: (b1, b2), how slowly the averages follow.
        eps: keeps the divisor from zero.
        weight_decay: pull towards zero, through the gradient.
        amsgrad: divide by the largest v so far.
        foreach, fused, capturable: kept in the groups; the step runs over all parameters at once anyway.
        maximize: go up instead of down.
        differentiable: let gradients pass through the step.
        decoupled_weight_decay: the weight decay of AdamW.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        check_options(name, lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(name, betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _fresh(group: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = {"step": kept_number(0), "exp_avg": _C.zeros_like(parameter)}
        state["exp_avg_sq"] = _C.zeros_like(parameter)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = _C.zeros_like(parameter)
        return state

    def update(self, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            self._update_differentiably(group)
            return
        # Parameters may have seen different numbers of gradients; those alike take their step together.
        alike: dict[int, list[Any]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state.update(self._fresh(group, parameter))
            alike.setdefault(count_step(state), []).append(parameter)
        for step, parameters in alike.items():
            states = [self.state[parameter] for parameter in parameters]
            real = real_view(parameters)
            _C.adam_step_(
                real(parameters),
                real([parameter.grad for parameter in parameters]),
                real([state["exp_avg"] for state in states]),
                real([state["exp_avg_sq"] for state in states]),
                real([state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []),
                step,
                number(group["lr"]),
                *map(number, group["betas"]),
                number(group["eps"]),
                number(group["weight_decay"]),
                group["decoupled_weight_decay"],
                group["maximize"],
            )

    def _update_differentiably(self, group: dict[str, Any]) -> None:
        (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
        for parameter, gradient, state in self.each(group, lambda p: self._fresh(group, p)):
            step = count_step(state)
            if number(decay) and group["decoupled_weight_decay"]:
                parameter.mul_(1 - lr * decay)
            elif number(decay):
                gradient = gradient + parameter * decay
            state["exp_avg"] = average = state["exp_avg"] * beta1 + gradient * (1 - beta1)
            state["exp_avg_sq"] = squares = state["exp_avg_sq"] * beta2 + gradient * gradient * (1 - beta2)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = squares = _C.maximum(state["max_exp_avg_sq"], squares)
            spread = squares.sqrt() / (1 - beta2**step) ** 0.5 + group["eps"]
            parameter.sub_(average / spread * (lr / (1 - beta1**step)))


class AdamW(Adam):
    """Adam whose weight decay does not pass through the averages: p = p - lr * weight_decay * p before the
    step.

    (Loshchilov and Hutter 2019.) Arguments as for Adam; weight_decay is 0.01 unless given.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
