"""Stochastic gradient descent with momentum."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C

from .optimizer import Optimizer, Parameters, check_options

__all__ = ["SGD"]


class SGD(Optimizer):
    """g = gradient + weight_decay * p; b = momentum * b + (1 - dampening) * g; p = p - lr * b.

    b starts as the first g. With `nesterov`, p = p - lr * (g + momentum * b).

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum: share of the last direction that is kept.
        dampening: how much less of a new gradient enters the direction.
        weight_decay: pull towards zero.
        nesterov: look ahead along the direction; needs momentum and no dampening.
        maximize: go up instead of down.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check_options("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum above 0 (it is {momentum}) and no dampening ({dampening})"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not group["momentum"]:
            self._step(group, parameters, [], False)
            return
        # Parameters whose first gradient this is have no direction yet.
        fresh = [p for p in parameters if "momentum_buffer" not in self.state.get(p, ())]
        known = [p for p in parameters if "momentum_buffer" in self.state.get(p, ())]
        for parameter in fresh:
            self.state.setdefault(parameter, {})["momentum_buffer"] = _C.zeros_like(parameter)
        for some, first in ((fresh, True), (known, False)):
            self._step(group, some, [self.state[p]["momentum_buffer"] for p in some], first)

    def _step(self, group: dict[str, Any], parameters: list[Any], directions: list[Any], first: bool) -> None:
        """One pass over all memory of these parameters."""
        if parameters:
            _C.sgd_step_(
                parameters,
                [parameter.grad for parameter in parameters],
                directions,
                group["lr"],
                group["momentum"],
                group["dampening"],
                group["weight_decay"],
                group["nesterov"],
                group["maximize"],
                first,
            )
