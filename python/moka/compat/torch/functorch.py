"""The package functorch: functions made of modules. The transforms themselves are those of moka.func."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from moka import nn
from moka._C import Tensor
from moka.func import functional_call, stack_module_state

__all__ = ["combine_state_for_ensemble", "make_functional", "make_functional_with_buffers"]

Tensors = tuple[Tensor, ...]


class FunctionalModule(nn.Module):
    """A module without tensors of its own: the first argument brings its parameters."""

    def __init__(self, model: nn.Module, with_buffers: bool) -> None:
        super().__init__()
        self.stateless_model = copy.deepcopy(model)
        self._parameter_names = [name for name, _ in model.named_parameters()]
        self._buffer_names = [name for name, _ in model.named_buffers()]
        self._with_buffers = with_buffers

    def forward(self, params: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        """(parameters, inputs...), or (parameters, buffers, inputs...) where it was made with buffers."""
        state = dict(zip(self._parameter_names, params, strict=True))
        if self._with_buffers:
            state |= dict(zip(self._buffer_names, args[0], strict=True))
            args = args[1:]
        return functional_call(self.stateless_model, state, args, kwargs)


FunctionalModuleWithBuffers = FunctionalModule


def _parameters_of(model: nn.Module, disable_autograd_tracking: bool) -> Tensors:
    found = tuple(model.parameters())
    return tuple(p.detach() for p in found) if disable_autograd_tracking else found


def make_functional(
    model: nn.Module, disable_autograd_tracking: bool = False
) -> tuple[FunctionalModule, Tensors]:
    """(f, parameters) with f(parameters, *inputs) as model(*inputs). The model must have no buffers."""
    if list(model.buffers()):
        raise RuntimeError(
            "make_functional(model): `model` has buffers. Please use make_functional_with_buffers(model) "
            "instead."
        )
    parameters = _parameters_of(copy.deepcopy(model), disable_autograd_tracking)
    return FunctionalModule(model, False), parameters


def make_functional_with_buffers(
    model: nn.Module, disable_autograd_tracking: bool = False
) -> tuple[FunctionalModule, Tensors, Tensors]:
    """(f, parameters, buffers) with f(parameters, buffers, *inputs) as model(*inputs)."""
    own = copy.deepcopy(model)
    parameters = _parameters_of(own, disable_autograd_tracking)
    return FunctionalModule(model, True), parameters, tuple(own.buffers())


def combine_state_for_ensemble(
    models: Sequence[nn.Module],
) -> tuple[FunctionalModule, Tensors, Tensors]:
    """(f, parameters, buffers) of equal models, their tensors stacked along a new first dimension."""
    if len(models) == 0:
        raise RuntimeError(
            "combine_state_for_ensemble: Expected at least one model, got 0."
        )
    if not (all(m.training for m in models) or not any(m.training for m in models)):
        raise RuntimeError(
            "combine_state_for_ensemble: Expected all models to have the same training/eval mode."
        )
    if len({type(m) for m in models}) > 1:
        raise RuntimeError(
            "combine_state_for_ensemble: Expected all models to be of the same class."
        )
    parameters, buffers = stack_module_state(list(models))
    return FunctionalModule(models[0], True), tuple(parameters.values()), tuple(buffers.values())
