"""Stochastic gradient descent: with momentum (SGD) and averaged (ASGD)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

from .optimizer import Optimizer, Parameters, check_options, count_step, kept_number, number, real_view

__all__ = ["ASGD", "SGD"]


class SGD(Optimizer):
    """g = gradient + weight_decay * p; b = momentum * b + (1 - dampening) * g; p = p - lr * b.

    b starts as the first g. With `nesterov`, p = p - lr * (g + momentum * b).

    Args:
        params: parameters or groups.
        lr: learning rate, a number or a tensor of one element.
        momentum: share of the last direction that is kept.
        dampening: how much less of a new gradient enters the direction.
        weight_decay: pull towards zero.
        nesterov: look ahead along the direction; needs momentum and no dampening.
        maximize: go up instead of down.
        foreach, fused: kept in the groups; the step runs over all parameters at once anyway.
        differentiable: let gradients pass through the step.
    """

    state_numbers = ("step",)
    takes_sparse = True

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "SGD: Nesterov momentum requires a momentum and zero dampening, but they are "
                f"{momentum} and {dampening}"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        if group["differentiable"]:
            self._update_differentiably(group)
            return
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        for parameter in [p for p in parameters if p.grad.is_sparse]:
            self._step_sparse(group, parameter)
        parameters = [p for p in parameters if not p.grad.is_sparse]
        if not group["momentum"]:
            self._step(group, parameters, [], False)
            return
        # Parameters whose first gradient this is have no direction yet.
        fresh = [p for p in parameters if self.state[p].get("momentum_buffer") is None]
        known = [p for p in parameters if self.state[p].get("momentum_buffer") is not None]
        for parameter in fresh:
            self.state[parameter]["momentum_buffer"] = _C.zeros_like(parameter)
        for some, first in ((fresh, True), (known, False)):
            self._step(group, some, [self.state[p]["momentum_buffer"] for p in some], first)

    def _step_sparse(self, group: dict[str, Any], parameter: Any) -> None:
        """One step by a sparse gradient."""
        gradient = -parameter.grad if group["maximize"] else parameter.grad
        if number(group["weight_decay"]):
            gradient = gradient.add(parameter, alpha=number(group["weight_decay"]))
        if group["momentum"]:
            state = self.state[parameter]
            before = state.get("momentum_buffer")
            direction = gradient.clone()
            if before is not None:
                direction = before * group["momentum"] + gradient * (1 - group["dampening"])
            state["momentum_buffer"] = direction
            gradient = gradient + direction * group["momentum"] if group["nesterov"] else direction
        parameter.add_(gradient, alpha=-number(group["lr"]))

    def _step(self, group: dict[str, Any], parameters: list[Any], directions: list[Any], first: bool) -> None:
        """One pass over all memory of these parameters."""
        if parameters:
            real = real_view(parameters)
            _C.sgd_step_(
                real(parameters),
                real([parameter.grad for parameter in parameters]),
                real(directions),
                number(group["lr"]),
                number(group["momentum"]),
                number(group["dampening"]),
                number(group["weight_decay"]),
                group["nesterov"],
                group["maximize"],
                first,
            )

    def _update_differentiably(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        for parameter, gradient, state in self.each(group, lambda _: {"momentum_buffer": None}):
            if number(group["weight_decay"]):
                gradient = gradient + parameter * group["weight_decay"]
            if momentum:
                before = state["momentum_buffer"]
                direction = gradient
                if before is not None:
                    direction = before * momentum + gradient * (1 - group["dampening"])
                state["momentum_buffer"] = direction
                gradient = gradient + direction * momentum if group["nesterov"] else direction
            parameter.sub_(gradient * group["lr"])


class ASGD(Optimizer):
    """SGD that also keeps the average of where it has been: p = p (1 - lambd eta) - eta g; ax = ax + mu (p -
    ax), with eta = lr / (1 + lambd lr t)^alpha and mu = 1 / max(1, t - t0).

    The average stands in `state[parameter]["ax"]` (Polyak and Juditsky 1992).

    Args:
        params, lr, weight_decay, foreach, maximize, differentiable: as for SGD; lr is 0.01 unless given.
        lambd: pull towards zero.
        alpha: power with which the rate falls.
        t0: step at which averaging begins.
        capturable: kept in the groups.
    """

    state_numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options("ASGD", lr=lr, lambd=lambd, alpha=alpha, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, lambd = number(group["lr"]), group["lambd"]

        def fresh(parameter: Tensor) -> dict[str, Any]:
            numbers = {"step": kept_number(0), "eta": kept_number(lr), "mu": kept_number(1)}
            return {**numbers, "ax": _C.zeros_like(parameter)}

        for parameter, gradient, state in self.each(group, fresh):
            step = count_step(state)
            if group["weight_decay"]:
                gradient = gradient + parameter * group["weight_decay"]
            eta = number(state["eta"])
            parameter.mul_(1 - lambd * eta)
            parameter.sub_(gradient * eta)
            state["ax"] = state["ax"] + (parameter - state["ax"]) * number(state["mu"])
            state["eta"] = kept_number(lr / (1 + lambd * lr * step) ** group["alpha"])
            state["mu"] = kept_number(1 / max(1, step - group["t0"]))
