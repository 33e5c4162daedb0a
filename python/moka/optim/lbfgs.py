"""L-BFGS: steps by the curvature that past gradients show, with a line search on request."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from moka import _C
from moka._C import Tensor
from moka.autograd import enable_grad, no_grad

from .optimizer import Optimizer, Parameters, check_options, number

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of parameters and gradients (Nocedal and
    Wright,
    Numerical Optimization, algorithms 7.4, 3.5 and 3.6).

    step(closure) evaluates the closure many times. One group only; the history takes `history_size` times the
    memory of the parameters.

    Args:
        params: parameters.
        lr: length of the step (the first one is 1 / sum |g| of it at most).
        max_iter: iterations in one step().
        max_eval: evaluations in one step(); 1.25 * max_iter unless given.
        tolerance_grad: stop when no gradient is larger.
        tolerance_change: stop when parameters or the loss change less.
        history_size: number of changes that are kept.
        line_search_fn: None or "strong_wolfe".
        maximize: go up instead of down.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        check_options("LBFGS", lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe', not {line_search_fn!r}"
            )
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: one group of parameters is possible, but {len(self.param_groups)} came")
        self._params = self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        parts = [
            _C.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.detach().reshape(-1)
            for p in self._params
        ]
        flat = _C.cat(parts, 0)
        return -flat if self.param_groups[0]["maximize"] else flat

    def _move(self, length: float, direction: Tensor) -> None:
        offset = 0
        for p in self._params:
            p.add_(direction.narrow(0, offset, p.numel()).reshape(p.shape), alpha=length)
            offset += p.numel()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Up to max_iter iterations; `closure` clears the gradients, computes the loss and its gradients and
        returns the loss. Returns the loss of the first evaluation.
        """
        if closure is None:
            raise RuntimeError("LBFGS: step() needs a closure that computes the loss again and returns it")
        with no_grad():
            return self._run(closure)

    def _run(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        lr, sign = number(group["lr"]), -1.0 if group["maximize"] else 1.0
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> tuple[Any, float]:
            with enable_grad():
                result = closure()
            return result, sign * float(number(result))

        first, loss = evaluate()
        evaluations = 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if _largest(gradient) <= group["tolerance_grad"]:
            return first
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction = -gradient
                state.update({"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0})
                total = gradient.abs().sum().item()
                length = (min(1.0, 1.0 / total) if total else 1.0) * lr
            else:
                direction = self._direction(state, gradient, group["history_size"])
                length = lr
            before, loss_before = gradient.clone(), loss
            slope = _dot(gradient, direction)
            state.update({"d": direction, "prev_flat_grad": before, "prev_loss": loss_before, "t": length})
            if slope > -group["tolerance_change"]:
                break
            tried = 0
            if group["line_search_fn"] == "strong_wolfe":
                start = [p.detach().clone() for p in self._params]

                def probe(t: float, start: list[Tensor] = start, d: Tensor = direction) -> _Point:
                    self._move(t, d)
                    value = evaluate()[1]
                    g = self._gradient()
                    for p, old in zip(self._params, start, strict=True):
                        p.copy_(old)
                    return _Point(t, value, g, _dot(g, d))

                origin = _Point(0.0, loss, gradient, slope)
                found, tried = _strong_wolfe(probe, origin, length, _largest(direction))
                loss, gradient, length = found.value, found.gradient, found.t
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iteration != group["max_iter"]:
                    loss = evaluate()[1]
                    gradient = self._gradient()
                    tried = 1
            state["t"] = length
            evaluations += tried
            state["func_evals"] += tried
            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(direction) * abs(length) <= group["tolerance_change"]
                or abs(loss - loss_before) < group["tolerance_change"]
            ):
                break
        return first

    def _direction(self, state: dict[str, Any], gradient: Tensor, history: int) -> Tensor:
        """The two-loop recursion, after the last step entered the history."""
        change = gradient - state["prev_flat_grad"]
        move = state["d"] * state["t"]
        curvature = _dot(change, move)
        if curvature > 1e-10:
            if len(state["old_dirs"]) == history:
                for key in ("old_dirs", "old_stps", "ro"):
                    state[key].pop(0)
            state["old_dirs"].append(change)
            state["old_stps"].append(move)
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / _dot(change, change)
        pairs = list(
            zip(
                state["old_dirs"],
                state["old_stps"],
                map(float, map(number, state["ro"])),
                strict=True,
            )
        )
        direction = -gradient
        shares = []
        for change, move, ratio in reversed(pairs):
            share = _dot(move, direction) * ratio
            direction.add_(change, alpha=-share)
            shares.append(share)
        direction.mul_(number(state["H_diag"]))
        for (change, move, ratio), share in zip(pairs, reversed(shares), strict=True):
            direction.add_(move, alpha=share - _dot(change, direction) * ratio)
        return direction


class _Point(NamedTuple):
    """A place on the line: the length of the step, the loss there, its gradient, its slope along the line."""

    t: float
    value: float
    gradient: Tensor
    slope: float


def _dot(a: Tensor, b: Tensor) -> float:
    return (a * b).sum().item()


def _largest(values: Tensor) -> float:
    return values.abs().max().item()


def _lowest_of_cubic(a: _Point, b: _Point, low: float | None = None, high: float | None = None) -> float:
    """Where the cubic through two points with their slopes is lowest (Nocedal and Wright, equation 3.59)."""
    if low is None or high is None:
        low, high = min(a.t, b.t), max(a.t, b.t)
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    left, right = (a, b) if a.t <= b.t else (b, a)
    divisor = right.slope - left.slope + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    place = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / divisor)
    return min(max(place, low), high)


def _strong_wolfe(
    probe: Callable[[float], _Point],
    origin: _Point,
    t: float,
    longest: float,
    decrease: float = 1e-4,
    flatness: float = 0.9,
    tolerance: float = 1e-9,
    most: int = 25,
) -> tuple[_Point, int]:
    """A point that is low and flat enough (or the best found), and the number of evaluations."""
    before, point = origin, probe(t)
    evaluations, rounds = 1, 0
    bracket: list[_Point] = []
    while rounds < most:
        too_high = point.value > origin.value + decrease * point.t * origin.slope
        if too_high or (rounds > 1 and point.value >= before.value):
            bracket = [before, point]
            break
        if abs(point.slope) <= -flatness * origin.slope:
            return point, evaluations
        if point.slope >= 0:
            bracket = [before, point]
            break
        farther = _lowest_of_cubic(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
        before, point = point, probe(farther)
        evaluations += 1
        rounds += 1
    if not bracket:
        bracket = [origin, point]
    stuck = False
    low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
    while rounds < most:
        left, right = min(b.t for b in bracket), max(b.t for b in bracket)
        if (right - left) * longest < tolerance:
            break
        t = _lowest_of_cubic(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Near an edge twice, or outside: move inside, so that the bracket shrinks.
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = probe(t)
        evaluations += 1
        rounds += 1
        too_high = point.value > origin.value + decrease * t * origin.slope
        if too_high or point.value >= bracket[low].value:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
            continue
        done = abs(point.slope) <= -flatness * origin.slope
        if not done and point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low], evaluations
