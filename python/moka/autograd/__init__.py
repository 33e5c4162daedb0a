"""Gradients: backward and grad, modes that switch recording, custom functions, and tools around them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from moka import _C
from moka._C import Tensor, is_grad_enabled, is_inference_mode_enabled

from . import graph as graph
from .function import Function, FunctionContext, once_differentiable
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from . import forward_ad as forward_ad
    from . import functional as functional
    from .checks import gradcheck as gradcheck
    from .checks import gradgradcheck as gradgradcheck

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]

# Loaded when first used: name -> (module, name in it, or "" for the module).
_LAZY = {
    "forward_ad": ("moka.autograd.forward_ad", ""),
    "functional": ("moka.autograd.functional", ""),
    "gradcheck": ("moka.autograd.checks", "gradcheck"),
    "gradgradcheck": ("moka.autograd.checks", "gradgradcheck"),
}

Sources = Tensor | graph.GradientEdge | Sequence[Tensor | graph.GradientEdge]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'moka.autograd' has no attribute {name!r}")
    module, inside = _LAZY[name]
    value = _import_module(module)
    value = getattr(value, inside) if inside else value
    globals()[name] = value
    return value


def backward(
    tensors: Sources,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of the sum of `tensors` (weighted by grad_tensors) to `.grad` of the leaves they
    came from, or only of `inputs`.
    """
    _C._backward(tensors, grad_tensors, retain_graph, create_graph, inputs)


def grad(
    outputs: Sources,
    inputs: Sources,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` (weighted by grad_outputs) with respect to each of `inputs`.

    Args:
        retain_graph: keep what backward needs, for another call; as create_graph when None.
        create_graph: record the computation of the gradients, so that they can be differentiated.
        only_inputs: must be True; backward() is what adds to other leaves.
        allow_unused: give None for inputs that outputs do not depend on, instead of an error.
        is_grads_batched: grad_outputs have a batch as their first dimension, and so have the results: as one
            call for each element of it, at once.
        materialize_grads: give zeros for inputs that outputs do not depend on.
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported; use backward() for all leaves")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True and allow_unused=False contradict each other")
    wanted = [inputs] if isinstance(inputs, (Tensor, graph.GradientEdge)) else list(inputs)
    if materialize_grads and not all(isinstance(x, Tensor) for x in wanted):
        raise ValueError("grad: materialize_grads=True needs Tensors as inputs, not edges")
    unused = materialize_grads if allow_unused is None else allow_unused
    if is_grads_batched:
        found = _batched_grad(outputs, wanted, grad_outputs, retain_graph, create_graph, unused)
    else:
        found = _C._grad(outputs, wanted, grad_outputs, retain_graph, create_graph, unused)
    if materialize_grads:
        found = tuple(_C.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True))
    return found


def _batched_grad(outputs: Any, inputs: Any, grad_outputs: Any, *options: Any) -> tuple[Any, ...]:
    """One gradient for every element of the vectors' first dimension."""
    vectors = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [])
    sizes = {v.shape[0] for v in vectors if isinstance(v, Tensor) and v.dim()}
    if len(sizes) != 1 or any(isinstance(v, Tensor) and v.dim() == 0 for v in vectors):
        raise RuntimeError(
            f"grad: with is_grads_batched=True grad_outputs must be tensors that begin with one batch, got "
            f"{[tuple(v.shape) if isinstance(v, Tensor) else v for v in vectors]}"
        )
    for v, root in zip(vectors, [outputs] if isinstance(outputs, Tensor) else outputs, strict=False):
        if isinstance(v, Tensor) and isinstance(root, Tensor) and v.shape[1:] != root.shape:
            raise RuntimeError(
                "grad: If `is_grads_batched=True`, we interpret the first dimension of each "
                "grad_output as the "
                f"batch dimension: it must have the batch and then the shape {list(root.shape)} of "
                "its output, "
                f"got {list(v.shape)}"
            )
    level = _C._vmap_open(sizes.pop(), 0)
    try:
        inside = [None if v is None else _C._vmap_add(v, 0, level) for v in vectors]
        single = isinstance(outputs, (Tensor, graph.GradientEdge))
        found = _C._grad(outputs, inputs, inside[0] if single else inside, *options)
        return tuple(None if g is None else _C._vmap_remove(g, 0, level) for g in found)
    finally:
        _C._vmap_close()
