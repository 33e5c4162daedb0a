"""Derivatives of functions: products with Jacobians and Hessians, and those matrices themselves."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moka import _C
from moka._C import Tensor

from . import grad
from .modes import enable_grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_JACOBIAN = "jacobian of the user-provided function"
Tensors = Tensor | tuple[Tensor, ...]


def _tuple(values: Any, what: str, name: str) -> tuple[Tensor, ...]:
    several = values if isinstance(values, tuple) else (values,)
    for i, value in enumerate(several):
        if not isinstance(value, Tensor):
            given = {"inputs": f"The inputs given to {name}", "v": f"The v given to {name}"}.get(
                what, f"The outputs of the user-provided function given to {name}"
            )
            raise TypeError(
                f"{name}: {given} must be either a Tensor or a tuple of Tensors, number {i} is {value!r}"
            )
    return several


def _unpacked(values: tuple[Any, ...], like: Any) -> Any:
    return values if isinstance(like, tuple) else values[0]


def _fresh(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as leaves of their own, or as copies through which gradients flow back to them."""
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def _outputs(
    func: Callable[..., Any], inputs: tuple[Tensor, ...], name: str
) -> tuple[Any, tuple[Tensor, ...]]:
    result = func(*inputs)
    return result, _tuple(result, "the outputs of func", name)


def _vectors(v: Any, like: tuple[Tensor, ...], of: str, name: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            what = "the user-provided function returns a single Tensor with a single element"
            if of == "input":
                what = "the input to the user-provided function is a single Tensor with a single element"
            raise RuntimeError(
                f"{name}: v must be given unless the {of} is one number: The vector v can only be "
                f"None if {what}."
            )
        return (_C.ones_like(like[0]),)
    vectors = _tuple(v, "v", name)
    if len(vectors) != len(like):
        single = " The given v should contain a single Tensor." if len(like) == 1 else ""
        raise RuntimeError(
            f"{name}: v must have one tensor for each {of}: {len(like)}, got {len(vectors)}.{single}"
        )
    for i, (vector, tensor) in enumerate(zip(vectors, like, strict=True)):
        if vector.shape != tensor.shape:
            raise RuntimeError(
                f"{name}: v[{i}] must have the shape {list(tensor.shape)} of its {of}, got "
                f"{list(vector.shape)}: v has invalid size: should be torch.Size({list(tensor.shape)})"
            )
    return vectors


def _gradients(
    outputs: tuple[Tensor, ...],
    inputs: tuple[Tensor, ...],
    vectors: tuple[Any, ...],
    *,
    create_graph: bool,
    strict: bool,
    name: str,
    output: int | None = None,
    of_gradients: bool = False,
) -> tuple[Tensor, ...]:
    """vectors times the Jacobian; zeros where an output does not depend on an input (strict: an error).
    output: which one it is, for errors. of_gradients: the outputs are gradients themselves.
    """
    pairs = [(y, v) for y, v in zip(outputs, vectors, strict=True) if y.requires_grad and v is not None]
    if strict and len(pairs) < len(outputs):
        lost = next(i for i, y in enumerate(outputs) if not y.requires_grad)
        told = f"Output {lost} of the user-provided function does not require gradients."
        if of_gradients:
            told = f"The {_JACOBIAN} with respect to input {lost} is independent of it."
        raise RuntimeError(f"{name}: {told} strict=True asks that every output depends on the inputs")
    found: tuple[Any, ...] = (None,) * len(inputs)
    if pairs:
        found = grad(
            [y for y, _ in pairs],
            inputs,
            [v for _, v in pairs],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    for i, g in enumerate(found):
        if strict and g is None:
            which = f"Output {output}" if output is not None else "The output"
            told = f"{which} of the user-provided function is independent of input {i}."
            if of_gradients or name == "hessian":
                told = f"The {_JACOBIAN} with respect to input {i} is independent of it."
            raise RuntimeError(f"{name}: {told} strict=True asks that every output depends on every input")
        if strict and create_graph and not g.requires_grad:
            told = f"is independent of input {i}."
            if name in ("hessian", "hvp", "vhp"):
                told = f"with respect to input {i} is independent of the inputs."
            raise RuntimeError(
                f"{name}: The jacobian of the user-provided function {told} strict=True asks that it is not "
                "where its own derivative is wanted"
            )
    return tuple(_C.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True))


def _finished(values: Any, create_graph: bool) -> Any:
    if create_graph:
        return values
    if isinstance(values, tuple):
        return tuple(_finished(value, False) for value in values)
    return values.detach()


def vjp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(*inputs), v times the Jacobian of func at inputs). v has the outputs' shapes."""
    with enable_grad():
        xs = _fresh(_tuple(inputs, "inputs", "vjp"), create_graph)
        result, ys = _outputs(func, xs, "vjp")
        vectors = _vectors(v, ys, "output", "vjp")
        found = _gradients(ys, xs, vectors, create_graph=create_graph, strict=strict, name="vjp")
    return _finished(result, create_graph), _unpacked(_finished(found, create_graph), inputs)


def jvp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(*inputs), the Jacobian of func at inputs times v). v has the inputs' shapes.

    Computed as the gradient of u -> u times the Jacobian, which is linear in u.
    """
    with enable_grad():
        xs = _fresh(_tuple(inputs, "inputs", "jvp"), create_graph)
        vectors = _vectors(v, xs, "input", "jvp")
        result, ys = _outputs(func, xs, "jvp")
        us = tuple(_C.zeros_like(y).requires_grad_() for y in ys)
        rows = _gradients(ys, xs, us, create_graph=True, strict=strict, name="jvp")
        found = _gradients(rows, us, vectors, create_graph=create_graph, strict=strict, name="jvp")
    return _finished(result, create_graph), _unpacked(_finished(found, create_graph), result)


def _check_way(name: str, vectorize: bool, strategy: str, strict: bool) -> None:
    """vectorize and strategy are ways to the same numbers."""
    if strategy not in ("reverse-mode", "forward-mode"):
        raise RuntimeError(f"{name}: strategy must be 'reverse-mode' or 'forward-mode', got {strategy!r}")
    if vectorize and strict:
        raise RuntimeError(f"{name}: strict=True and vectorize=True are not supported together")
    if strategy == "forward-mode" and (strict or not vectorize):
        why = "strict=True is not supported with it" if strict else "it is only supported with vectorize=True"
        raise NotImplementedError(f"{name}: strategy='forward-mode': {why}")


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func at inputs: for output i and input j a tensor of shape output.shape + input.shape,
    in tuples where func has several outputs or inputs.
    """
    return _jacobian("jacobian", func, inputs, create_graph, strict, vectorize, strategy)


def _jacobian(
    name: str,
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool,
    strict: bool,
    vectorize: bool,
    strategy: str,
) -> Any:
    _check_way(name, vectorize, strategy, strict)
    with enable_grad():
        xs = _fresh(_tuple(inputs, "inputs", name), create_graph)
        if strategy == "forward-mode":
            result, blocks = _by_columns(func, xs)
        else:
            result, ys = _outputs(func, xs, name)
            if vectorize:
                blocks = [_rows_at_once(y, xs, create_graph) for y in ys]
            else:
                blocks = [_row_by_row(name, i, y, xs, create_graph, strict) for i, y in enumerate(ys)]
    matrix = tuple(_unpacked(block, inputs) for block in blocks)
    return _finished(_unpacked(matrix, result), create_graph)


def _row_by_row(
    name: str, output: int, y: Tensor, xs: tuple[Tensor, ...], create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    """The Jacobian of one output by each of xs."""
    rows: list[list[Tensor]] = [[] for _ in xs]
    for place in range(y.numel()):
        unit = _C.zeros(y.numel(), dtype=y.dtype, device=y.device)
        unit[place] = 1
        found = _gradients(
            (y,),
            xs,
            (unit.view(y.shape),),
            create_graph=create_graph,
            strict=strict,
            name=name,
            output=output,
            of_gradients=name == "hessian",
        )
        for row, g in zip(rows, found, strict=True):
            row.append(g)
    return tuple(
        _C.stack(row).view((*y.shape, *x.shape)) if row else _C.zeros((*y.shape, *x.shape), dtype=x.dtype)
        for row, x in zip(rows, xs, strict=True)
    )


def _rows_at_once(y: Tensor, xs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    found: tuple[Any, ...] = (None,) * len(xs)
    if y.requires_grad and y.numel():
        units = _C.eye(y.numel(), dtype=y.dtype).view(y.numel(), *y.shape)
        found = grad(
            y,
            xs,
            units,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=True,
        )
    return tuple(
        _C.zeros((*y.shape, *x.shape), dtype=x.dtype) if g is None else g.reshape((*y.shape, *x.shape))
        for g, x in zip(found, xs, strict=True)
    )


def _by_columns(func: Callable[..., Any], xs: tuple[Tensor, ...]) -> tuple[Any, list[tuple[Tensor, ...]]]:
    """(what func returns, the Jacobian of each output) by forward mode, all columns at once."""
    from moka.func import jacfwd

    seen: list[Any] = []

    def outputs(*values: Tensor) -> tuple[Tensor, ...]:
        result, ys = _outputs(func, values, "jacobian")
        seen[:] = [result]
        return ys

    found = jacfwd(outputs, argnums=tuple(range(len(xs))))(*xs)
    return seen[0], list(found)


def _scalar(result: Any, name: str) -> Tensor:
    if isinstance(result, tuple) and all(isinstance(one, Tensor) for one in result):
        raise RuntimeError(
            f"{name}: func must return one tensor with a single element, got {len(result)}: The "
            "function given to "
            f"{name} should return a single Tensor"
        )
    _tuple(result, "the outputs of func", name)
    if result.numel() != 1:
        raise RuntimeError(
            f"{name}: func must return one tensor with a single element, got shape "
            f"{list(result.shape)}: The Tensor "
            f"returned by the function given to {name} should contain a single element"
        )
    return result.reshape(())


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of func, which returns one number: for inputs i and j a tensor of shape i.shape + j.shape,
    in tuples of tuples where there are several inputs.
    """
    _check_way("hessian", vectorize, outer_jacobian_strategy, strict)
    _tuple(inputs, "inputs", "hessian")

    def gradient(*xs: Tensor) -> Any:
        y = _scalar(func(*xs), "hessian")
        found = _gradients((y,), xs, (_C.ones_like(y),), create_graph=True, strict=strict, name="hessian")
        return _unpacked(found, inputs)

    return _jacobian(
        "hessian", gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy
    )


def vhp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(*inputs), v times the Hessian of func at inputs). v has the inputs' shapes."""
    return _with_hessian("vhp", func, inputs, v, create_graph, strict)


def _with_hessian(
    name: str, func: Callable[..., Any], inputs: Tensors, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    with enable_grad():
        xs = _fresh(_tuple(inputs, "inputs", name), create_graph)
        vectors = _vectors(v, xs, "input", name)
        result = func(*xs)
        y = _scalar(result, name)
        first = _gradients((y,), xs, (_C.ones_like(y),), create_graph=True, strict=strict, name=name)
        found = _gradients(
            first, xs, vectors, create_graph=create_graph, strict=strict, name=name, of_gradients=True
        )
    return _finished(result, create_graph), _unpacked(_finished(found, create_graph), inputs)


def hvp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func(*inputs), the Hessian of func at inputs times v). Hessians are symmetric: the same as vhp, which
    is also how it is computed.
    """
    return _with_hessian("hvp", func, inputs, v, create_graph, strict)
