"""Checks of derivatives: gradients of a function against finite differences."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
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


def _results(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    result = func(*inputs)
    several = result if isinstance(result, (tuple, list)) else (result,)
    return [y for y in several if isinstance(y, Tensor) and y.is_floating_point()]


def _numerical(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, eps: float
) -> list[list[list[float]]]:
    """[output][element of x][element of the output]: central differences."""
    columns: list[list[list[float]]] = []
    data = x.data
    for place in itertools.product(*(range(size) for size in x.shape)):
        before = data[place].item()
        # (func may need gradients itself: second derivatives are checked as the gradients of gradients)
        data[place] = before + eps
        up = [y.detach().clone() for y in _results(func, inputs)]
        data[place] = before - eps
        down = [y.detach().clone() for y in _results(func, inputs)]
        data[place] = before
        with no_grad():
            slopes = [((a - b) / (2 * eps)).reshape(-1).tolist() for a, b in zip(up, down, strict=True)]
        if not columns:
            columns = [[] for _ in slopes]
        for column, slope in zip(columns, slopes, strict=True):
            column.append(slope)
    return columns


def _analytical(outputs: list[Tensor], inputs: list[Tensor]) -> list[list[list[list[float]]]]:
    """[output][input][element of the output][element of the input]: by backward, one row at a time."""
    found = []
    for y in outputs:
        rows: list[list[list[float]]] = [[] for _ in inputs]
        for place in range(y.numel() if y.requires_grad else 0):
            unit = _C.zeros(y.numel(), dtype=y.dtype)
            unit[place] = 1
            gradients = grad(y, inputs, unit.view(y.shape), retain_graph=True, allow_unused=True)
            for row, x, g in zip(rows, inputs, gradients, strict=True):
                if g is not None and g.shape != x.shape:
                    raise GradcheckError(
                        f"gradcheck: a gradient has shape {list(g.shape)}, its input {list(x.shape)}"
                    )
                row.append([0.0] * x.numel() if g is None else g.reshape(-1).tolist())
        found.append(rows)
    return found


def _compare(
    outputs: list[Tensor],
    inputs: list[Tensor],
    numerical: list[list[list[list[float]]]],
    analytical: list[list[list[list[float]]]],
    atol: float,
    rtol: float,
) -> None:
    for i, y in enumerate(outputs):
        for j, x in enumerate(inputs):
            for a in range(x.numel()):
                for b in range(y.numel()):
                    expected = numerical[j][i][a][b]
                    got = analytical[i][j][b][a] if y.requires_grad else 0.0
                    if not abs(got - expected) <= atol + rtol * abs(expected):
                        raise GradcheckError(
                            f"gradcheck: the derivative of output {i} (element {b}) by input {j} (element "
                            f"{a}) is {got:g}, finite differences give {expected:g} (atol {atol:g}, rtol "
                            f"{rtol:g})"
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
) -> bool:
    """Compare the gradients of func(*inputs) by backward with finite differences of step eps.

    Inputs that require grad should be float64: with less, finite differences are not exact enough.

    Args:
        raise_exception: raise GradcheckError where they differ, instead of returning False.
        nondet_tol: how much two runs of the same backward may differ.
        check_undefined_grad: where there are several outputs, check that each alone can be differentiated.
    """
    try:
        _gradcheck(func, inputs, eps, atol, rtol, nondet_tol, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    check_undefined_grad: bool,
) -> None:
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    wanted = _differentiable(args)
    if not wanted:
        raise ValueError("gradcheck: none of the inputs requires grad")
    for i, x in enumerate(wanted):
        if x.is_complex():
            raise NotImplementedError("gradcheck: complex inputs are not supported")
        if x.element_size() < 8:
            warnings.warn(f"gradcheck: input {i} is {x.dtype}; finite differences need float64", stacklevel=3)
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
            raise ValueError(
                f"gradcheck: elements of input {i} share memory (an expanded view); clone() it first"
            )
    outputs = _results(func, args)
    if not any(y.requires_grad for y in outputs):
        raise ValueError("gradcheck: none of the outputs requires grad")
    numerical = [_numerical(func, args, x, eps) for x in wanted]
    analytical = _analytical(outputs, wanted)
    _compare(outputs, wanted, numerical, analytical, atol, rtol)
    again = _analytical(_results(func, args), wanted)
    for first, second in zip(_flat(analytical), _flat(again), strict=True):
        if abs(first - second) > nondet_tol:
            raise GradcheckError(
                f"gradcheck: backward is not deterministic: {first:g} and then {second:g} (nondet_tol "
                f"{nondet_tol:g})"
            )
    differentiable = [y for y in outputs if y.requires_grad]
    if check_undefined_grad and len(differentiable) > 1:
        ones = [_C.ones_like(y) for y in differentiable]
        for i, y in enumerate(differentiable):
            alone = grad(y, wanted, ones[i], retain_graph=True, materialize_grads=True)
            zeros = [one if k == i else _C.zeros_like(one) for k, one in enumerate(ones)]
            full = grad(differentiable, wanted, zeros, retain_graph=True, materialize_grads=True)
            for a, b in zip(alone, full, strict=True):
                if not bool(_C.all((a - b).abs() <= atol + rtol * b.abs())):
                    raise GradcheckError(
                        f"gradcheck: output {i} alone has another gradient than with zeros for the others"
                    )


def _flat(nested: Any) -> list[float]:
    return [nested] if isinstance(nested, float) else [value for part in nested for value in _flat(part)]


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
) -> bool:
    """gradcheck of the gradients of func: its second derivatives by inputs and by grad_outputs (random
    numbers where not given, with gaps in memory if gen_non_contig_grad_outputs).
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    outputs = [y for y in _results(func, args) if y.requires_grad]
    if grad_outputs is None:
        vectors = []
        for y in outputs:
            vector = _C.randn(tuple(y.shape), dtype=y.dtype)
            if gen_non_contig_grad_outputs:
                vector = _C.stack([vector, vector], y.dim()).select(y.dim(), 0)
            vectors.append(vector.requires_grad_())
    else:
        vectors = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    wanted = _differentiable(args)

    def first(*values: Any) -> tuple[Tensor, ...]:
        ys = [y for y in _results(func, values[: len(args)]) if y.requires_grad]
        found = grad(
            ys,
            _differentiable(values[: len(args)]),
            values[len(args) :],
            create_graph=True,
            allow_unused=True,
        )
        return tuple(g for g in found if g is not None)

    if not wanted:
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
    )
