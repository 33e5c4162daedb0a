"""Checks of derivatives: those of a function, in both modes, against finite differences.

Complex numbers count as two real ones everywhere: a Jacobian here is a real matrix.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from moka import _C
from moka._C import Tensor

from . import forward_ad, grad
from .modes import no_grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A derivative is not what finite differences say."""


class _Options(NamedTuple):
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_undefined_grad: bool
    check_grad_dtypes: bool
    check_batched_grad: bool
    check_batched_forward_grad: bool
    check_forward_ad: bool
    check_backward_ad: bool
    fast_mode: bool


class _Call:
    """A function and the inputs that it is checked at."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.func, self.args = func, args
        self.wanted = [v for v in args if isinstance(v, Tensor) and v.requires_grad]
        self.outputs = self.results(args)

    def results(self, args: tuple[Any, ...]) -> list[Tensor]:
        result = self.func(*args)
        several = result if isinstance(result, (tuple, list)) else (result,)
        return [y for y in several if _is_differentiable(y)]

    def replaced(self, values: list[Tensor]) -> tuple[Any, ...]:
        """The arguments with other values for those that are wanted."""
        rest = iter(values)
        return tuple(next(rest) if isinstance(v, Tensor) and v.requires_grad else v for v in self.args)


def _is_differentiable(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _parts(t: Tensor) -> Tensor:
    """All numbers of a tensor, real ones, in a row."""
    t = t.detach()
    t = (_C.view_as_real(t.resolve_conj()) if t.is_complex() else t).reshape(-1)
    return t.to(_C.float64)


def _units(t: Tensor) -> Iterator[Tensor]:
    """A tensor for each of the numbers of `t`: 1 there, or i."""
    for factor in (1, 1j) if t.is_complex() else (1,):
        for place in range(t.numel()):
            unit = _C.zeros(t.numel(), dtype=t.dtype)
            unit[place] = factor
            yield unit.view(t.shape)


def _order(t: Tensor) -> list[int]:
    """Where the numbers that _units goes through stand in _parts."""
    n = t.numel()
    return [*range(0, 2 * n, 2), *range(1, 2 * n, 2)] if t.is_complex() else list(range(n))


# ---- Jacobians: [input][output], the numbers of the input first


def _slopes(call: _Call, x: Tensor, direction: Tensor, eps: float) -> list[Tensor]:
    """Central differences of every output as x moves along a direction."""
    data = x.data
    before = data.clone()
    ends = []
    for step in (eps, -eps):
        with no_grad():
            data.copy_(before + direction * step)
        # (func may need gradients itself: second derivatives are checked as the gradients of gradients)
        moved = call.results(call.args)
        for what in ("shape", "dtype"):
            if [getattr(y, what) for y in moved] != [getattr(y, what) for y in call.outputs]:
                data.copy_(before)
                raise AssertionError(
                    f"gradcheck: Expected `func` to return outputs with the same {what} when "
                    "inputs are perturbed "
                    f"by eps"
                )
        ends.append([_parts(y).clone() for y in moved])
        with no_grad():
            data.copy_(before)
    return [(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)]


def _stacked(columns: list[list[Tensor]], x: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    """One matrix an output from what each unit of x gave, in the order of _parts."""
    matrices = []
    for k, y in enumerate(outputs):
        n = y.numel() * (2 if y.is_complex() else 1)
        matrix = _C.zeros(len(columns), n, dtype=_C.float64)
        for place, column in zip(_order(x), columns, strict=True):
            matrix[place] = column[k]
        matrices.append(matrix)
    return matrices


def _numerical(call: _Call, eps: float) -> list[list[Tensor]]:
    return [
        _stacked([_slopes(call, x, unit, eps) for unit in _units(x)], x, call.outputs) for x in call.wanted
    ]


def _pulled_back(y: Tensor, inputs: list[Tensor], weight: Tensor) -> list[Tensor]:
    if not y.requires_grad:
        return [_parts(_C.zeros_like(x)) for x in inputs]
    found = grad(y, inputs, weight, retain_graph=True, allow_unused=True)
    for x, g in zip(inputs, found, strict=True):
        if g is not None and g.shape != x.shape:
            raise GradcheckError(
                f"gradcheck: a gradient has shape {list(g.shape)}, its input {list(x.shape)}: Analytical "
                f"gradient has incorrect size"
            )
    return [_parts(_C.zeros_like(x) if g is None else g) for x, g in zip(inputs, found, strict=True)]


def _by_reverse(outputs: list[Tensor], inputs: list[Tensor]) -> list[list[Tensor]]:
    found: list[list[Tensor]] = [[] for _ in inputs]
    for y in outputs:
        rows = [_pulled_back(y, inputs, unit) for unit in _units(y)]
        for i, x in enumerate(inputs):
            n = x.numel() * (2 if x.is_complex() else 1)
            matrix = _C.zeros(n, len(rows), dtype=_C.float64)
            for place, row in zip(_order(y), rows, strict=True):
                matrix[:, place] = row[i]
            found[i].append(matrix)
    return found


def _pushed(call: _Call, place: int, tangent: Tensor) -> list[Tensor | None]:
    """Tangents of the outputs, where only that of input `place` is not zero; inside a dual level."""
    values = [
        forward_ad.make_dual(x.detach(), tangent if i == place else _C.zeros_like(x))
        for i, x in enumerate(call.wanted)
    ]
    return [forward_ad.unpack_dual(y).tangent for y in call.results(call.replaced(values))]


def _by_forward(call: _Call) -> list[list[Tensor]]:
    found = []
    with forward_ad.dual_level():
        for i, x in enumerate(call.wanted):
            columns = []
            for unit in _units(x):
                pushed = zip(_pushed(call, i, unit), call.outputs, strict=True)
                columns.append([_parts(_C.zeros_like(y) if t is None else t) for t, y in pushed])
            found.append(_stacked(columns, x, call.outputs))
    return found


# ---- comparing


def _compare(
    call: _Call, numerical: list[list[Tensor]], found: list[list[Tensor]], way: str, options: _Options
) -> None:
    for j, x in enumerate(call.wanted):
        for i, y in enumerate(call.outputs):
            expected, got = numerical[j][i], found[j][i]
            bad = ~((got - expected).abs() <= options.atol + options.rtol * expected.abs())
            if not bool(bad.any()):
                continue
            at = tuple(int(v) for v in bad.nonzero()[0])
            a, b = at[0] // (2 if x.is_complex() else 1), at[1] // (2 if y.is_complex() else 1)
            part = ""
            if y.is_complex():  # the imaginary part first, as in PyTorch
                imaginary = bool(bad[:, 1::2].any())
                named = "imaginary" if imaginary else "real"
                part = f"While considering the {named} part of complex outputs only, "
            raise GradcheckError(
                f"gradcheck: {part}Jacobian {way}mismatch for output {i} with respect to input "
                f"{j}: the derivative "
                f"of output {i} (element {b}) by input {j} (element {a}) is {got[at].item():g}, finite "
                f"differences give {expected[at].item():g} (atol {options.atol:g}, rtol {options.rtol:g})\n"
                f"numerical:{expected}\nanalytical:{got}"
            )


def _check_slow(call: _Call, options: _Options) -> None:
    numerical = _numerical(call, options.eps)
    if options.check_backward_ad:
        _compare(call, numerical, _by_reverse(call.outputs, call.wanted), "", options)
    if options.check_forward_ad:
        _compare(call, numerical, _by_forward(call), "computed with forward mode ", options)


def _random_like() -> Callable[[Tensor], Tensor]:
    """Random numbers of its own: a function that draws some gets the same ones every time, if it wants to."""
    generator = _C.Generator()
    return lambda t: _C.rand(tuple(t.shape), dtype=t.dtype, generator=generator)


def _check_fast(call: _Call, options: _Options) -> None:
    """One random product with each Jacobian; all of them where one differs."""
    random = _random_like()

    def pushed_along(place: int, direction: Tensor) -> list[Any]:
        with forward_ad.dual_level():
            pushed = _pushed(call, place, direction)
            return [None if t is None else t.detach().clone() for t in pushed]

    weights = [random(y) for y in call.outputs]
    directions = [random(x) for x in call.wanted]
    pulled = []
    if options.check_backward_ad:
        pulled = [_pulled_back(y, call.wanted, w) for y, w in zip(call.outputs, weights, strict=True)]
    for j, x in enumerate(call.wanted):
        direction = directions[j]
        slopes = _slopes(call, x, direction, options.eps)
        pushed = pushed_along(j, direction) if options.check_forward_ad else []
        for i, (y, weight, slope) in enumerate(zip(call.outputs, weights, slopes, strict=True)):
            expected = (_parts(weight) * slope).sum()
            found = []
            if options.check_backward_ad:
                found.append((pulled[i][j] * _parts(direction)).sum())
            if options.check_forward_ad:
                tangent = _C.zeros_like(y) if pushed[i] is None else pushed[i]
                found.append((_parts(tangent) * _parts(weight)).sum())
            scale = max(1.0, float(slope.abs().sum()))
            limit = scale * (options.atol + options.rtol * abs(float(expected)))
            for got in found:
                if not abs(float(got - expected)) <= limit:
                    return _check_slow(call, options)  # which tells the element


def _check_again(call: _Call, options: _Options) -> None:
    """The same backward once more."""
    random = _random_like()
    for i, y in enumerate(call.outputs):
        weight = random(y)
        first = _pulled_back(y, call.wanted, weight)
        again = _pulled_back(call.results(call.args)[i], call.wanted, weight)
        for a, b in zip(first, again, strict=True):
            if a.numel() and float((a - b).abs().max()) > options.nondet_tol:
                raise GradcheckError(
                    f"gradcheck: Backward is not reentrant, i.e., running backward with same input and "
                    f"grad_output multiple times gives different values: not deterministic (nondet_tol "
                    f"{options.nondet_tol:g})"
                )


def _check_undefined(call: _Call, options: _Options) -> None:
    """An output that nothing depends on must count as zeros."""
    differentiable = [y for y in call.outputs if y.requires_grad]
    if len(differentiable) < 2:
        return
    ones = [_C.ones_like(y) for y in differentiable]
    for i, y in enumerate(differentiable):
        alone = grad(y, call.wanted, ones[i], retain_graph=True, materialize_grads=True)
        zeros = [one if k == i else _C.zeros_like(one) for k, one in enumerate(ones)]
        full = grad(differentiable, call.wanted, zeros, retain_graph=True, materialize_grads=True)
        for a, b in zip(alone, full, strict=True):
            if not bool(_C.all((a - b).abs() <= options.atol + options.rtol * b.abs())):
                raise GradcheckError(
                    f"gradcheck: output {i} alone has another gradient than with zeros for the others: "
                    f"Expected backward function to handle undefined output grads"
                )


def _check_same(what: str, batched: Any, single: list[Any], options: _Options) -> None:
    for i, (got, *each) in enumerate(zip(batched, *single, strict=True)):
        expected = None if each[0] is None else _C.stack(list(each))
        if got is None and expected is None:
            continue
        got = _C.zeros_like(expected) if got is None else got
        expected = _C.zeros_like(got) if expected is None else expected
        if not bool(((got - expected).abs() <= options.atol + options.rtol * expected.abs()).all()):
            raise GradcheckError(
                f"gradcheck or gradgradcheck failed while testing batched gradient computation: {what} of "
                f"number {i} for a batch is {got}, one after the other {expected}"
            )


def _check_batched_reverse(call: _Call, options: _Options) -> None:
    for y in call.outputs:
        if not y.requires_grad:
            continue
        weights = _C.randn(2, *y.shape, dtype=y.dtype)
        way = functools.partial(grad, y, call.wanted, retain_graph=True, allow_unused=True)
        _check_same(
            "the gradient", way(weights, is_grads_batched=True), [way(one) for one in weights], options
        )


def _check_batched_forward(call: _Call, options: _Options) -> None:
    from moka.func import vmap

    with forward_ad.dual_level():
        for i, x in enumerate(call.wanted):
            tangents = _C.randn(2, *x.shape, dtype=x.dtype)

            def push(tangent: Tensor, place: int = i) -> tuple[Tensor, ...]:
                pushed = zip(_pushed(call, place, tangent), call.outputs, strict=True)
                return tuple(_C.zeros_like(y) if t is None else t for t, y in pushed)

            single = [push(one) for one in tangents]
            _check_same("the tangent", vmap(push)(tangents), single, options)


def _check_inputs(call: _Call) -> None:
    if not call.wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the inputs "
            "requires grad: none of them have requires_grad=True"
        )
    for i, x in enumerate(call.wanted):
        if x.dtype not in (_C.float64, _C.complex128):
            warnings.warn(
                f"gradcheck: Input #{i} requires gradient and is not a double precision floating point or "
                f"complex: it is {x.dtype}, and finite differences need float64",
                stacklevel=5,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"gradcheck: elements of input {i} share memory: The {i}th input has a dimension with stride "
                f"0 (an expanded view); clone() it first"
            )


def _gradcheck(func: Callable[..., Any], inputs: Any, options: _Options) -> None:
    call = _Call(func, tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,))
    _check_inputs(call)
    if not any(y.requires_grad for y in call.outputs) and options.check_backward_ad:
        for matrices in _numerical(call, options.eps):
            if any(bool((m.abs() > options.atol).any()) for m in matrices):
                raise GradcheckError(
                    "gradcheck: none of the outputs requires grad: Numerical gradient for function expected "
                    "to be zero"
                )
        return
    if options.fast_mode:
        _check_fast(call, options)
    else:
        _check_slow(call, options)
    if options.check_batched_forward_grad:
        _check_batched_forward(call, options)
    if not options.check_backward_ad:
        return
    _check_again(call, options)
    if options.check_batched_grad:
        _check_batched_reverse(call, options)
    if options.check_undefined_grad:
        _check_undefined(call, options)


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
    """Compare the derivatives of func(*inputs) with finite differences of step eps.

    Inputs that require grad should be float64 or complex128: with less, finite differences are not exact
    enough.

    Args:
        raise_exception: raise GradcheckError where they differ, instead of returning False.
        nondet_tol: how much two runs of the same backward may differ.
        check_undefined_grad: where there are several outputs, check that each alone can be differentiated.
        check_grad_dtypes: gradients must have the types of their inputs (here they always have).
        check_batched_grad, check_batched_forward_grad: compare derivatives under vmap with a loop.
        check_forward_ad, check_backward_ad: which modes to check.
        fast_mode: compare one random product with each Jacobian instead of all of it.
        masked: for sparse inputs, which Moka does not have.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError(
            "gradcheck: Expected at least one of check_forward_ad or check_backward_ad to be True"
        )
    if check_batched_grad and not check_backward_ad:
        raise AssertionError(
            "gradcheck: Setting check_batched_grad=True requires check_backward_ad to be True"
        )
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError(
            "gradcheck: Setting check_batched_forward_grad=True requires check_forward_ad to be True"
        )
    options = _Options(
        eps,
        atol,
        rtol,
        nondet_tol,
        check_undefined_grad,
        check_grad_dtypes,
        check_batched_grad,
        check_batched_forward_grad,
        check_forward_ad,
        check_backward_ad,
        fast_mode,
    )
    try:
        _gradcheck(func, inputs, options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


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
    masked: bool | None = None,
) -> bool:
    """gradcheck of the gradients of func: its second derivatives by inputs and by grad_outputs (random
    numbers where not given, with gaps in memory if gen_non_contig_grad_outputs); by reverse mode, and with
    check_fwd_over_rev by forward mode too.
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    call = _Call(func, args)
    outputs = [y for y in call.outputs if y.requires_grad]
    if grad_outputs is None:
        vectors = []
        for y in outputs:
            vector = _C.randn(tuple(y.shape), dtype=y.dtype)
            if gen_non_contig_grad_outputs:
                vector = _C.stack([vector, vector], y.dim()).select(y.dim(), 0)
            vectors.append(vector.requires_grad_())
    else:
        vectors = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    if not call.wanted:
        raise ValueError(
            "gradgradcheck expects at least one input tensor to require gradient, but none of the inputs "
            "requires grad"
        )
    differentiable = [isinstance(v, Tensor) and v.requires_grad for v in args]

    def first(*values: Any) -> tuple[Tensor, ...]:
        given = list(values[: len(args)])
        for i, wanted in enumerate(differentiable):
            if wanted and not given[i].requires_grad:
                given[i] = given[i].requires_grad_()  # forward mode gives values of its own
        xs = [v for v, wanted in zip(given, differentiable, strict=True) if wanted]
        ys = [y for y in call.results(tuple(given)) if y.requires_grad]
        found = grad(ys, xs, values[len(args) :], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

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
        masked=masked,
    )
