"""Optimizers that scale each element by the size of its past gradients: Adagrad, RMSprop, Adadelta, Rprop."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

from .optimizer import (
    Optimizer,
    Parameters,
    check_options,
    count_step,
    invalid,
    kept_number,
    number,
    real_view,
)

__all__ = ["Adadelta", "Adagrad", "RMSprop", "Rprop"]


class Adagrad(Optimizer):
    """sum = sum + g^2; p = p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps) (Duchi and others 2011).

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a tensor of one element.
        lr_decay: how fast the rate falls.
        weight_decay: pull towards zero.
        initial_accumulator_value: where the sums start.
        eps: keeps the divisor from zero.
        foreach, fused: kept in the groups; the step runs over all parameters at once anyway.
        maximize: go up instead of down.
        differentiable: let gradients pass through the step.
    """

    state_numbers = ("step",)
    takes_sparse = True

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(
            "Adagrad",
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        # The sums exist from the start, so that a state saved before the first step holds them.
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = self._fresh(group, parameter)

    @staticmethod
    def _fresh(group: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
        start = float(group["initial_accumulator_value"])
        first = complex(start, start) if parameter.is_complex() else start
        return {"step": kept_number(0), "sum": _C.full_like(parameter.detach(), first)}

    def update(self, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            for parameter, gradient, state in self.each(group, lambda p: self._fresh(group, p)):
                rate = group["lr"] / (1 + (count_step(state) - 1) * group["lr_decay"])
                gradient = gradient + parameter * group["weight_decay"]
                state["sum"] = state["sum"] + gradient * gradient
                parameter.sub_(gradient / (state["sum"].sqrt() + group["eps"]) * rate)
            return
        alike: dict[int, list[Tensor]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:
                self._step_sparse(group, parameter)
                continue
            state = self.state[parameter]
            if not state:
                state.update(self._fresh(group, parameter))
            alike.setdefault(count_step(state), []).append(parameter)
        for step, parameters in alike.items():
            real = real_view(parameters)
            _C.adagrad_step_(
                real(parameters),
                real([parameter.grad for parameter in parameters]),
                real([self.state[parameter]["sum"] for parameter in parameters]),
                number(group["lr"]) / (1 + (step - 1) * group["lr_decay"]),
                number(group["weight_decay"]),
                number(group["eps"]),
                group["maximize"],
            )

    def _step_sparse(self, group: dict[str, Any], parameter: Tensor) -> None:
        """One step by a sparse gradient: of the elements that it has."""
        if group["weight_decay"]:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        state = self.state[parameter]
        if not state:
            state.update(self._fresh(group, parameter))
        step = count_step(state)
        gradient = (-parameter.grad if group["maximize"] else parameter.grad).coalesce()  # type: ignore[operator, union-attr]
        places, values = tuple(gradient.indices()), gradient.values()
        state["sum"].index_put_(places, values * values, accumulate=True)
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        steps = values / (state["sum"][places].sqrt() + group["eps"]) * -rate
        parameter.index_put_(places, steps, accumulate=True)

    def share_memory(self) -> None:
        """Move the sums into memory that processes share."""
        for state in self.state.values():
            if "sum" in state:
                state["sum"].share_memory_()


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2; p = p - lr * g / (sqrt(v) + eps) (Tieleman and Hinton 2012).

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a tensor of one element.
        alpha: how slowly the average of squares follows.
        eps: keeps the divisor from zero.
        weight_decay: pull towards zero.
        momentum: share of the last direction that is kept.
        centered: divide by the estimated deviation: v less the square of the average gradient.
        capturable, foreach: kept in the groups; the step runs over all parameters at once anyway.
        maximize: go up instead of down.
        differentiable: let gradients pass through the step.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _fresh(group: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = {"step": kept_number(0), "square_avg": _C.zeros_like(parameter)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = _C.zeros_like(parameter)
        if group["centered"]:
            state["grad_avg"] = _C.zeros_like(parameter)
        return state

    def update(self, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            self._update_differentiably(group)
            return
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state.update(self._fresh(group, parameter))
            count_step(state)
        real = real_view(parameters)
        _C.rmsprop_step_(
            real(parameters),
            real([parameter.grad for parameter in parameters]),
            real([state["square_avg"] for state in states]),
            real([state["grad_avg"] for state in states] if group["centered"] else []),
            real([state["momentum_buffer"] for state in states] if group["momentum"] > 0 else []),
            number(group["lr"]),
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
        )

    def _update_differentiably(self, group: dict[str, Any]) -> None:
        alpha = group["alpha"]
        for parameter, gradient, state in self.each(group, lambda p: self._fresh(group, p)):
            count_step(state)
            gradient = gradient + parameter * group["weight_decay"]
            state["square_avg"] = spread = state["square_avg"] * alpha + gradient * gradient * (1 - alpha)
            if group["centered"]:
                state["grad_avg"] = mean = state["grad_avg"] * alpha + gradient * (1 - alpha)
                spread = spread - mean * mean
            direction = gradient / (spread.sqrt() + group["eps"])
            if group["momentum"] > 0:
                direction = state["momentum_buffer"] * group["momentum"] + direction
                state["momentum_buffer"] = direction
            parameter.sub_(direction * group["lr"])


class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(v + eps) * g; u = rho u + (1 - rho) d^2; p = p -
    lr d
    (Zeiler 2012).

    Args:
        params, weight_decay, foreach, capturable, maximize, differentiable: as for RMSprop.
        lr: factor of the step; 1 unless given.
        rho: how slowly the averages follow.
        eps: keeps quotients finite and starts the way.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("Adadelta", lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        if rho > 1:
            raise invalid("Adadelta", "rho", rho, "it must be at most 1")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]

        def fresh(parameter: Tensor) -> dict[str, Any]:
            return {
                "step": kept_number(0),
                "square_avg": _C.zeros_like(parameter),
                "acc_delta": _C.zeros_like(parameter),
            }

        for parameter, gradient, state in self.each(group, fresh):
            count_step(state)
            if group["weight_decay"]:
                gradient = gradient + parameter * group["weight_decay"]
            state["square_avg"] = squares = state["square_avg"] * rho + gradient * gradient * (1 - rho)
            change = (state["acc_delta"] + eps).sqrt() / (squares + eps).sqrt() * gradient
            state["acc_delta"] = state["acc_delta"] * rho + change * change * (1 - rho)
            parameter.sub_(change * group["lr"])


class Rprop(Optimizer):
    """Every element has a step size, which grows while its gradient keeps its sign and shrinks (with a pause)
    when it changes (Riedmiller and Braun 1993).

    Args:
        params, foreach, capturable, maximize, differentiable: as for RMSprop.
        lr: the first step size.
        etas: factors when the sign changes and when it stays.
        step_sizes: smallest and largest step.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("Rprop", lr=lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(
                f"Rprop: Invalid eta values: {etas[0]}, {etas[1]}; "
                "they must be on both sides of 1 and above 0"
            )
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        shrink, grow = group["etas"]

        def fresh(parameter: Tensor) -> dict[str, Any]:
            start = _C.full_like(parameter.detach(), float(number(group["lr"])))
            return {"step": kept_number(0), "prev": _C.zeros_like(parameter), "step_size": start}

        for parameter, gradient, state in self.each(group, fresh):
            count_step(state)
            agreement = gradient * state["prev"]
            turned = agreement < 0
            factor = _C.where(turned, shrink, _C.where(agreement > 0, grow, _C.ones_like(gradient)))
            state["step_size"] = (state["step_size"] * factor).clamp(*group["step_sizes"])
            state["prev"] = gradient = _C.where(turned, _C.zeros_like(gradient), gradient)
            parameter.sub_(gradient.sign() * state["step_size"])
