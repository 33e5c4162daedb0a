"""Checks of derivatives: gradients of a function against finite differences."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moka import _C
from moka._C import Tensor

from . import grad
from .modes import no_grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient is not what finite differences say."""


def _differentiable(values: Any) -> list[Tensor]:
    several = values if isinstance(values, (tuple, list)) else (values,)
    return [v for v in several if isinstance(v, Tensor) and v.requires_grad]


def _numbers(t: Tensor) -> Tensor:
    """The real numbers of a tensor, a pair for each complex one."""
    return _C.view_as_real(t) if t.is_complex() else t


def _like(t: Tensor, numbers: Tensor) -> Tensor:
    """Real numbers as a tensor of t's shape and type."""
    if t.is_complex():
        return _C.view_as_complex(numbers.reshape((*t.shape, 2)))
    return numbers.reshape(t.shape)


def _real_type(t: Tensor) -> Any:
    return _numbers(t.detach()).dtype


@dataclass
class _Check:
    """One run of gradcheck: a complex number is two real ones, gradients are with respect to each."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    eps: float
    atol: float
    rtol: float

    def __post_init__(self) -> None:
        self.inputs = _differentiable(self.args)
        self.random = _C.Generator().manual_seed(0)

    def outputs(self) -> list[Tensor]:
        """Results with numbers that have derivatives, whether they require grad or not."""
        result = self.func(*self.args)
        several = result if isinstance(result, (tuple, list)) else (result,)
        return [y for y in several if isinstance(y, Tensor) and (y.is_floating_point() or y.is_complex())]

    def direction(self, t: Tensor) -> Tensor:
        """Positive random real numbers for t, of length one."""
        numbers = _C.rand(_numbers(t.detach()).shape, dtype=_C.float64, generator=self.random)
        length = float(_C.sqrt(_C.sum(numbers * numbers)))
        return (numbers / length if length else numbers).to(_real_type(t))

    def slopes(self, x: Tensor, numbers: Tensor, step: Any) -> list[Tensor]:
        """Central differences of each output where step(sign) moves the numbers of x."""
        step(1)
        up = [_numbers(y.detach()).clone().reshape(-1) for y in self.outputs()]
        step(-1)
        down = [_numbers(y.detach()).clone().reshape(-1) for y in self.outputs()]
        with no_grad():
            return [(a - b) / (2 * self.eps) for a, b in zip(up, down, strict=True)]

    def along(self, x: Tensor, direction: Tensor) -> list[Tensor]:
        """The derivative of each output along one direction of x."""
        numbers = _numbers(x.data)
        before = numbers.clone()
        try:
            return self.slopes(
                x, numbers, lambda sign: numbers.copy_(before + direction * (sign * self.eps))
            )
        finally:
            numbers.copy_(before)

    def numerical(self, x: Tensor, count: int) -> list[Tensor]:
        """[number of x, number of the output] for each of count outputs."""
        numbers = _numbers(x.data)
        rows: list[list[Tensor]] = [[] for _ in range(count)]
        for place in itertools.product(*(range(size) for size in numbers.shape)):
            before = numbers[place].item()

            def step(sign: int, place: Any = place, before: float = before) -> None:
                numbers[place] = before + sign * self.eps

            try:
                slopes = self.slopes(x, numbers, step)
            finally:
                numbers[place] = before
            for row, slope in zip(rows, slopes, strict=True):
                row.append(slope)
        return [_C.stack(row) if row else None for row in rows]

    def gradients(self, y: Tensor, vector: Tensor) -> list[Tensor]:
        """The gradient of each input for one vector of real numbers, as real numbers."""
        found = grad(y, self.inputs, _like(y, vector), retain_graph=True, allow_unused=True)
        for x, g in zip(self.inputs, found, strict=True):
            if g is not None and g.shape != x.shape:
                raise GradcheckError(
                    f"gradcheck: a gradient has shape {list(g.shape)}, its input {list(x.shape)}"
                )
        zeros = (_C.zeros_like(_numbers(x.detach())) for x in self.inputs)
        return [
            zero if g is None else _numbers(g.detach()) for zero, g in zip(zeros, found, strict=True)
        ]

    def analytical(self, y: Tensor) -> list[Tensor]:
        """[number of the input, number of y] for each input: by backward, one vector at a time."""
        size = _numbers(y.detach()).numel()
        columns: list[list[Tensor]] = [[] for _ in self.inputs]
        for place in range(size):
            unit = _C.zeros(size, dtype=_real_type(y))
            unit[place] = 1
            for column, g in zip(columns, self.gradients(y, unit), strict=True):
                column.append(g.reshape(-1))
        return [_C.stack(column, 1) if column else None for column in columns]

    def compare(self, i: int, j: int, expected: Tensor, got: Tensor) -> None:
        if expected is None or got is None:
            return
        expected, got = expected.to(_C.float64), got.to(_C.float64)
        wrong = ~((got - expected).abs() <= self.atol + self.rtol * expected.abs())
        for a, b in _C.nonzero(wrong).tolist()[:1]:
            raise GradcheckError(
                f"gradcheck: the derivative of output {i} (element {b}) by input {j} (element {a}) is "
                f"{got[a, b].item():g}, finite differences give {expected[a, b].item():g} (atol "
                f"{self.atol:g}, rtol {self.rtol:g})"
            )

    def slow(self, outputs: list[Tensor]) -> None:
        numerical = [self.numerical(x, len(outputs)) for x in self.inputs]
        for i, y in enumerate(outputs):
            if y.requires_grad:
                for j, got in enumerate(self.analytical(y)):
                    self.compare(i, j, numerical[j][i], got)

    def fast(self, outputs: list[Tensor]) -> None:
        """One random direction of each input and output; every element only where they differ."""
        steps = [self.direction(x) for x in self.inputs]
        slopes = [self.along(x, u) for x, u in zip(self.inputs, steps, strict=True)]
        for i, y in enumerate(outputs):
            if not y.requires_grad:
                continue
            v = self.direction(y)
            for j, g in enumerate(self.gradients(y, v)):
                expected = float(_C.sum(slopes[j][i] * v.reshape(-1)))
                got = float(_C.sum(g * steps[j]))
                allowed = self.atol * float(_C.sum(v)) * float(_C.sum(steps[j]))
                if not abs(got - expected) <= allowed + self.rtol * abs(expected):
                    self.slow(outputs)
                    return

    def forward(self, outputs: list[Tensor], batched: bool) -> None:
        """Derivatives in forward direction along one random direction of each input."""
        from moka.func import jvp, vmap

        for j, x in enumerate(self.inputs):
            place = next(k for k, a in enumerate(self.args) if a is x)

            def of_one(value: Tensor, place: int = place) -> tuple[Tensor, ...]:
                args = (*self.args[:place], value, *self.args[place + 1 :])
                return tuple(_Check(self.func, args, 0, 0, 0).outputs())

            def derivative(direction: Tensor, of_one: Any = of_one, x: Tensor = x) -> tuple[Tensor, ...]:
                return jvp(of_one, (x.detach(),), (direction,))[1]

            u = self.direction(x)
            found = derivative(_like(x, u))
            for i, (y, slope) in enumerate(zip(outputs, self.along(x, u), strict=True)):
                if y.requires_grad:
                    got = _numbers(found[i].detach()).reshape(1, -1)
                    self.compare(i, j, slope.reshape(1, -1), got)
            if batched:
                several = _C.stack([_like(x, u), _like(x, self.direction(x))])
                loop = [derivative(one) for one in several]
                self.same("jvp", vmap(derivative)(several), loop)

    def same(self, what: str, batch: Any, loop: list[Any]) -> None:
        """Whether vmap gave what calls in turn gave."""
        for k, one in enumerate(batch):
            turns = _C.stack([values[k] for values in loop])
            close = (_numbers(one) - _numbers(turns)).abs() <= self.atol + self.rtol * _numbers(turns).abs()
            if not bool(_C.all(close)):
                raise GradcheckError(f"gradcheck: vmap of {what} differs from calls in turn at result {k}")

    def batched(self, outputs: list[Tensor]) -> None:
        from moka.func import vmap

        for y in outputs:
            if not y.requires_grad:
                continue

            def pull(v: Tensor, y: Tensor = y) -> tuple[Tensor, ...]:
                return grad(y, self.inputs, v, retain_graph=True, materialize_grads=True)

            several = _C.stack([_like(y, self.direction(y)) for _ in range(2)])
            loop = [pull(one) for one in several]
            self.same("grad", vmap(pull)(several), loop)

    def undefined(self, outputs: list[Tensor]) -> None:
        """Each output alone has the gradient that it has with zeros for the others."""
        ones = [_C.ones_like(y) for y in outputs]
        for i, y in enumerate(outputs):
            alone = grad(y, self.inputs, ones[i], retain_graph=True, materialize_grads=True)
            zeros = [one if k == i else _C.zeros_like(one) for k, one in enumerate(ones)]
            full = grad(outputs, self.inputs, zeros, retain_graph=True, materialize_grads=True)
            for a, b in zip(alone, full, strict=True):
                if not bool(_C.all((a - b).abs() <= self.atol + self.rtol * b.abs())):
                    raise GradcheckError(
                        f"gradcheck: output {i} alone has another gradient than with zeros for the others"
                    )

    def repeated(self, outputs: list[Tensor], nondet_tol: float) -> None:
        """Two runs of the same backward give the same."""
        again = self.outputs()
        for y, z in zip(outputs, again, strict=True):
            if not y.requires_grad:
                continue
            v = self.direction(y)
            for first, second in zip(self.gradients(y, v), self.gradients(z, v), strict=True):
                worst = float(_C.max((first - second).abs())) if first.numel() else 0.0
                if not worst <= nondet_tol and not bool(_C.isnan(first).any()):
                    raise GradcheckError(
                        f"gradcheck: backward is not deterministic: two runs differ by {worst:g} "
                        f"(nondet_tol {nondet_tol:g})"
                    )


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of func(*inputs) by backward with finite differences of step eps.

    Inputs that require grad should be float64 or complex128: with less, finite differences are not exact
    enough.

    Args:
        raise_exception: raise GradcheckError where they differ, instead of returning False.
        nondet_tol: how much two runs of the same backward may differ.
        check_undefined_grad: where there are several outputs, check that each alone can be differentiated.
        check_grad_dtypes: check that a gradient has the type of its input.
        check_batched_grad: check that vmap of the gradient gives what calls in turn give.
        check_batched_forward_grad: the same for func.jvp; needs check_forward_ad.
        check_forward_ad: check derivatives in forward direction (func.jvp) too.
        check_backward_ad: check gradients by backward.
        fast_mode: compare along one random direction; every element only where that differs.
        masked: for sparse inputs, of which there are none.
    """
    try:
        _gradcheck(
            _Check(func, tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), eps, atol, rtol),
            nondet_tol=nondet_tol,
            undefined=check_undefined_grad,
            dtypes=check_grad_dtypes,
            batched=check_batched_grad,
            batched_forward=check_batched_forward_grad,
            forward=check_forward_ad,
            backward=check_backward_ad,
            fast=fast_mode,
        )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _gradcheck(
    check: _Check,
    *,
    nondet_tol: float,
    undefined: bool,
    dtypes: bool,
    batched: bool,
    batched_forward: bool,
    forward: bool,
    backward: bool,
    fast: bool,
) -> None:
    if not (forward or backward):
        raise ValueError("gradcheck: expected check_forward_ad or check_backward_ad to be True")
    if batched and not backward:
        raise ValueError("gradcheck: check_batched_grad=True needs check_backward_ad=True")
    if batched_forward and not forward:
        raise ValueError("gradcheck: check_batched_forward_grad=True needs check_forward_ad=True")
    wanted = check.inputs
    if not wanted:
        raise ValueError(
            "gradcheck: expected at least one input tensor to require gradient: none of the inputs requires "
            "grad"
        )
    for i, x in enumerate(wanted):
        if _numbers(x.detach()).element_size() < 8:
            warnings.warn(f"gradcheck: input {i} is {x.dtype}; finite differences need float64", stacklevel=3)
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"gradcheck: input {i} has a dimension with stride 0: its elements share memory (an expanded "
                "view); clone() it first"
            )
    outputs = check.outputs()
    differentiable = [y for y in outputs if y.requires_grad]
    if not differentiable:
        for x in wanted:
            if any(bool((slope != 0).any()) for slope in check.along(x, check.direction(x))):
                raise GradcheckError(
                    "gradcheck: Numerical gradient for function expected to be zero: none of the outputs "
                    "requires grad, but they depend on an input that does"
                )
        return
    if backward:
        (check.fast if fast else check.slow)(outputs)
        check.repeated(outputs, nondet_tol)
        if dtypes:
            for y in differentiable:
                found = grad(y, wanted, _C.ones_like(y), retain_graph=True, allow_unused=True)
                for x, g in zip(wanted, found, strict=True):
                    if g is not None and g.dtype != x.dtype:
                        raise GradcheckError(f"gradcheck: a gradient has type {g.dtype}, its input {x.dtype}")
        if batched:
            check.batched(outputs)
        if undefined and len(differentiable) > 1:
            check.undefined(differentiable)
    if forward:
        check.forward(outputs, batched_forward)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradients of func: its second derivatives by inputs and by grad_outputs (random
    numbers where not given, with gaps in memory if gen_non_contig_grad_outputs).
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    check = _Check(func, args, eps, atol, rtol)
    outputs = [y for y in check.outputs() if y.requires_grad]
    if grad_outputs is None:
        vectors = []
        for y in outputs:
            vector = _like(y, _C.randn(tuple(_numbers(y.detach()).shape), dtype=_real_type(y)))
            if gen_non_contig_grad_outputs:
                vector = _C.stack([vector, vector], y.dim()).select(y.dim(), 0)
            vectors.append(vector.detach().requires_grad_())
    else:
        vectors = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]

    def first(*values: Any) -> tuple[Tensor, ...]:
        inner = _Check(func, values[: len(args)], 0, 0, 0)
        ys = [y for y in inner.outputs() if y.requires_grad]
        found = grad(ys, inner.inputs, values[len(args) :], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    if not check.inputs:
        raise ValueError("gradgradcheck: none of the inputs requires grad")
    return gradcheck(
        first,
        (*args, *vectors),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )
