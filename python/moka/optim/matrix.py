"""Optimizers that use the shape of matrices: Adafactor (factored squares) and Muon (orthogonal steps)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor

from .optimizer import Optimizer, Parameters, check_options, count_step, kept_number, number

__all__ = ["Adafactor", "Muon"]


def _norm(values: Tensor) -> float:
    return math.sqrt((values * values).sum().item())


class Adafactor(Optimizer):
    """Adam without momentum whose average of squares is kept as one row and one column for each matrix
    (Shazeer and Stern 2018).

    The step is rho_t * max(eps2, rms(p)) * g / sqrt(v) / max(1, rms(g / sqrt(v)) / d), where rho_t =
    min(lr, 1
    / sqrt(t)) and the averages forget by t^beta2_decay.

    Args:
        params: parameters or groups.
        lr: the largest relative step.
        beta2_decay: power (at most 0) by which new squares count less.
        eps: (eps1, eps2): eps1 keeps the divisor from zero (None: the rounding unit of the parameter's type),
        eps2 is the smallest size a parameter counts as.
        d: steps larger than this (root mean square) are scaled down.
        weight_decay: pull towards zero, besides the gradient.
        foreach: kept in the groups.
        maximize: go up instead of down.
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_options("Adafactor", lr=lr, weight_decay=weight_decay, eps1=eps[0] or 0.0, eps2=eps[1])
        if beta2_decay > 0:
            raise ValueError(f"Adafactor: beta2_decay must be at most 0, but is {beta2_decay}")
        if not d >= 1:
            raise ValueError(f"Adafactor: the clipping threshold d must be at least 1, but is {d}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _fresh(parameter: Tensor) -> dict[str, Any]:
        values = parameter.detach()
        if values.dim() > 1:
            return {
                "step": kept_number(0),
                "row_var": _C.zeros_like(values.narrow(-1, 0, 1).contiguous()),
                "col_var": _C.zeros_like(values.narrow(-2, 0, 1).contiguous()),
            }
        return {"step": kept_number(0), "variance": _C.zeros_like(values)}

    def update(self, group: dict[str, Any]) -> None:
        lr = number(group["lr"])
        for parameter, gradient, state in self.each(group, self._fresh):
            step = count_step(state)
            eps1, eps2 = group["eps"]
            if eps1 is None:
                eps1 = _ROUNDING[str(parameter.dtype).rpartition(".")[2]]
            forget = float(step) ** group["beta2_decay"]
            size = _norm(parameter) / math.sqrt(parameter.numel())
            rate = max(eps2, size) * min(lr, 1 / math.sqrt(step))
            if group["weight_decay"]:
                parameter.mul_(1 - lr * group["weight_decay"])
            squares = gradient * gradient
            if gradient.dim() > 1:
                row = state["row_var"].lerp_(squares.mean(-1, keepdim=True), forget)
                column = state["col_var"].lerp_(squares.mean(-2, keepdim=True), forget)
                spread = _C.matmul(row, column) / row.mean(-2, keepdim=True).clamp_min(eps1)
            else:
                spread = state["variance"].lerp_(squares, forget)
            update = spread.clamp_min(eps1 * eps1).rsqrt() * gradient
            shrink = max(1.0, _norm(update) / (math.sqrt(update.numel()) * group["d"]))
            parameter.sub_(update * (rate / shrink))


# The distance from 1 to the next number of each type.
_ROUNDING = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class Muon(Optimizer):
    """SGD with momentum for matrices whose steps are made nearly orthogonal by Newton-Schulz iterations in
    bfloat16 (Jordan and others 2024). Biases, embeddings and other non-matrices belong to another optimizer.

    Args:
        params: parameters (all two-dimensional) or groups.
        lr: learning rate.
        weight_decay: pull towards zero, besides the gradient.
        momentum: share of the last direction that is kept.
        nesterov: look ahead along the direction.
        ns_coefficients: (a, b, c) of the iteration x = a x + b (x x') x + c (x x')^2 x.
        eps: the smallest norm a direction is divided by.
        ns_steps: number of iterations, below 100.
        adjust_lr_fn: "original" (or None): lr * sqrt(max(1, rows / columns)); "match_rms_adamw": lr * 0.2 *
        sqrt(max(rows, columns)); "spectral_unclamped": lr * sqrt(rows / columns).
    """

    state_numbers = ("step",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_options("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum)
        if adjust_lr_fn not in (None, *_RATE_FACTORS):
            raise ValueError(f"Muon: adjust_lr_fn must be one of {list(_RATE_FACTORS)}, not {adjust_lr_fn!r}")
        if ns_steps >= 100 or len(ns_coefficients) != 3:
            raise ValueError(
                f"Muon: ns_steps must be below 100 and ns_coefficients three numbers, but are {ns_steps} and "
                f"{ns_coefficients}"
            )
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for i, parameter in enumerate(group["params"]):
                if parameter.dim() != 2:
                    raise ValueError(
                        f"Muon: parameters must be matrices, but entry {i} has shape {list(parameter.shape)}"
                    )

    def update(self, group: dict[str, Any]) -> None:
        lr, momentum = number(group["lr"]), group["momentum"]
        factor = _RATE_FACTORS[group["adjust_lr_fn"] or "original"]
        for parameter, gradient, state in self.each(group, lambda p: {"momentum_buffer": _C.zeros_like(p)}):
            direction = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
            if group["nesterov"]:
                direction = gradient.lerp(direction, momentum)
            step = _orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
            parameter.mul_(1 - lr * group["weight_decay"])
            parameter.sub_(step.to(parameter.dtype) * (lr * factor(*parameter.shape)))


_RATE_FACTORS = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / columns),
}


def _orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix with the same singular vectors whose singular values are all near one."""
    a, b, c = coefficients
    x = matrix.to(_C.bfloat16)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / max((x.float() * x.float()).sum().sqrt().to(_C.bfloat16).item(), eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = _C.addmm(x, _C.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
