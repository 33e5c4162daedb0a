"""Stochastic gradient descent with momentum."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

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
        lr, momentum, weight_decay = group["lr"], group["momentum"], group["weight_decay"]
        for parameter in group["params"]:
            change = parameter.grad
            if change is None:
                continue
            if group["maximize"]:
                change = -change
            if weight_decay:
                change = change.add(parameter, alpha=weight_decay)
            if momentum:
                state = self.state.setdefault(parameter, {})
                direction = state.get("momentum_buffer")
                if direction is None:
                    direction = state["momentum_buffer"] = change.detach().clone()
                else:
                    direction.mul_(momentum).add_(change, alpha=1 - group["dampening"])
                change = change.add(direction, alpha=momentum) if group["nesterov"] else direction
            parameter.add_(change, alpha=-lr)
