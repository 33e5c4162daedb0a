"""Relatives of Adam: Adamax (largest gradient), NAdam (Nesterov), RAdam (rectified), SparseAdam (touched
rows)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor

from .optimizer import (
    Optimizer,
    Parameters,
    check_betas,
    check_options,
    count_step,
    invalid,
    kept_number,
    number,
)

__all__ = ["Adamax", "NAdam", "RAdam", "SparseAdam"]


def _averages(gradient: Tensor, state: dict[str, Any], beta1: Any, beta2: Any) -> tuple[Tensor, Tensor]:
    """The running averages of the gradient and its square, after this gradient."""
    state["exp_avg"] = state["exp_avg"] * beta1 + gradient * (1 - beta1)
    state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + gradient * gradient * (1 - beta2)
    return state["exp_avg"], state["exp_avg_sq"]


def _fresh(parameter: Tensor) -> dict[str, Any]:
    return {
        "step": kept_number(0),
        "exp_avg": _C.zeros_like(parameter),
        "exp_avg_sq": _C.zeros_like(parameter),
    }


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the average of squares: u = max(b2 u, |g| + eps); p = p - lr
    / (1 - b1^t) * m / u.

    (Kingma and Ba 2015, section 7.) Arguments as for Adam; lr is 0.002 unless given.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("Adamax", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]

        def fresh(parameter: Tensor) -> dict[str, Any]:
            return {
                "step": kept_number(0),
                "exp_avg": _C.zeros_like(parameter),
                "exp_inf": _C.zeros_like(parameter),
            }

        for parameter, gradient, state in self.each(group, fresh):
            step = count_step(state)
            if group["weight_decay"]:
                gradient = gradient + parameter * group["weight_decay"]
            state["exp_avg"] = average = state["exp_avg"] * beta1 + gradient * (1 - beta1)
            state["exp_inf"] = largest = _C.maximum(state["exp_inf"] * beta2, gradient.abs() + group["eps"])
            parameter.sub_(average / largest * (group["lr"] / (1 - beta1**step)))


class NAdam(Optimizer):
    """Adam with Nesterov's look ahead: mu_t = b1 (1 - 0.96^(t * momentum_decay) / 2); the step mixes g with
    (1 - mu_t) / (1 - mu_1 ... mu_t) and m with mu_(t+1) / (1 - mu_1 ... mu_(t+1)).

    (Dozat 2016.) Arguments as for Adam; lr is 0.002 unless given.
    """

    state_numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas("NAdam", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        (beta1, beta2), lr, psi = group["betas"], group["lr"], group["momentum_decay"]
        for parameter, gradient, state in self.each(
            group, lambda p: {**_fresh(p), "mu_product": kept_number(1)}
        ):
            step = count_step(state)
            if group["weight_decay"] and group["decoupled_weight_decay"]:
                parameter.mul_(1 - lr * group["weight_decay"])
            elif group["weight_decay"]:
                gradient = gradient + parameter * group["weight_decay"]
            mu = beta1 * (1 - 0.5 * 0.96 ** (step * psi))
            ahead = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * psi))
            state["mu_product"] *= mu
            product = number(state["mu_product"])
            average, squares = _averages(gradient, state, beta1, beta2)
            spread = (squares / (1 - beta2**step)).sqrt() + group["eps"]
            parameter.sub_(gradient / spread * (lr * (1 - mu) / (1 - product)))
            parameter.sub_(average / spread * (lr * ahead / (1 - product * ahead)))


class RAdam(Optimizer):
    """Adam that takes plain averaged steps while too few squares are known for their variance, then scales by
    how far it is known: r_t = sqrt((rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t)).

    (Liu and others 2020.) Arguments as for Adam.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("RAdam", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        longest = 2 / (1 - beta2) - 1
        for parameter, gradient, state in self.each(group, _fresh):
            step = count_step(state)
            if group["weight_decay"] and group["decoupled_weight_decay"]:
                parameter.mul_(1 - lr * group["weight_decay"])
            elif group["weight_decay"]:
                gradient = gradient + parameter * group["weight_decay"]
            average, squares = _averages(gradient, state, beta1, beta2)
            correction2 = 1 - beta2**step
            length = longest - 2 * step * beta2**step / correction2
            rate = lr / (1 - beta1**step)
            if length > 5:
                known = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
                rate = rate * math.sqrt(known * correction2)
                average = average / (squares.sqrt() + group["eps"])
            parameter.sub_(average * rate)


class SparseAdam(Optimizer):
    """Adam for gradients that are zero in most rows (an embedding's): only rows with a gradient move, and
    only
    their averages change.

    Gradients are sparse; in a dense one a row (first dimension) that is zero everywhere counts as not
    touched. No weight decay.

    Args:
        params, lr, betas, eps, maximize: as for Adam.
    """

    state_numbers = ("step",)
    takes_sparse = True

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_options("SparseAdam", lr=lr, eps=eps)
        if number(lr) == 0 or eps == 0:
            option, value = ("lr", number(lr)) if number(lr) == 0 else ("eps", eps)
            raise invalid("SparseAdam", option, value, "lr and eps must be above zero")
        check_betas("SparseAdam", betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        for group in self.param_groups:
            for i, parameter in enumerate(group["params"]):
                if parameter.is_sparse or parameter.is_complex():
                    raise ValueError(
                        f"SparseAdam requires dense parameter tensors: parameter {i} must be dense and real"
                    )

    @staticmethod
    def _step_sparse(
        parameter: Tensor,
        gradient: Any,
        state: dict[str, Any],
        betas: tuple[float, float],
        lr: float,
        eps: float,
        step: int,
    ) -> None:
        """One step by a sparse gradient: of the elements that it has."""
        places, values = tuple(gradient.indices()), gradient.values()
        if values.numel() == 0:
            return
        (beta1, beta2), average, squares = betas, state["exp_avg"], state["exp_avg_sq"]
        m = average[places] * beta1 + values * (1 - beta1)
        v = squares[places] * beta2 + values * values * (1 - beta2)
        average.index_put_(places, m)
        squares.index_put_(places, v)
        rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        parameter.index_put_(places, m / (v.sqrt() + eps) * -rate, accumulate=True)

    def update(self, group: dict[str, Any]) -> None:
        (beta1, beta2), lr = group["betas"], number(group["lr"])
        for parameter, gradient, state in self.each(group, lambda p: {**_fresh(p), "step": 0}):
            step = count_step(state)
            if gradient.is_sparse:
                self._step_sparse(
                    parameter, gradient.coalesce(), state, (beta1, beta2), lr, group["eps"], step
                )
                continue
            touched = gradient.reshape(gradient.shape[0] if gradient.dim() else 1, -1) != 0
            rows = touched.any(1).nonzero().reshape(-1)
            if rows.numel() == 0:
                continue
            flat = parameter.detach().reshape(touched.shape)
            g = gradient.reshape(touched.shape).index_select(0, rows)
            average, squares = (state[key].reshape(touched.shape) for key in ("exp_avg", "exp_avg_sq"))
            m = average.index_select(0, rows) * beta1 + g * (1 - beta1)
            v = squares.index_select(0, rows) * beta2 + g * g * (1 - beta2)
            average[rows] = m
            squares[rows] = v
            rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
            flat[rows] = flat.index_select(0, rows) - m / (v.sqrt() + group["eps"]) * rate
            if not parameter.is_contiguous():  # reshape made copies of what is not contiguous
                parameter.copy_(flat.reshape(parameter.shape))
                state["exp_avg"] = average.reshape(parameter.shape)
                state["exp_avg_sq"] = squares.reshape(parameter.shape)
