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
    from . import functional as functional
    from .checks import gradcheck as gradcheck
    from .checks import gradgradcheck as gradgradcheck

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "detect_anomaly",
    "enable_grad",
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
        is_grads_batched: must be False; call grad once for each vector of grad_outputs.
        materialize_grads: give zeros for inputs that outputs do not depend on.
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported; use backward() for all leaves")
    if is_grads_batched:
        raise NotImplementedError(
            "grad: is_grads_batched=True is not supported; call grad once for each vector, or use "
            "moka.autograd.functional.jacobian"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True and allow_unused=False contradict each other")
    wanted = [inputs] if isinstance(inputs, (Tensor, graph.GradientEdge)) else list(inputs)
    if materialize_grads and not all(isinstance(x, Tensor) for x in wanted):
        raise ValueError("grad: materialize_grads=True needs Tensors as inputs, not edges")
    unused = materialize_grads if allow_unused is None else allow_unused
    found = _C._grad(outputs, wanted, grad_outputs, retain_graph, create_graph, unused)
    if materialize_grads:
        found = tuple(_C.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True))
    return found
