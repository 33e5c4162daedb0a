"""Graphs as modules that can be trained."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _C
from ..autograd import no_grad
from ..nn import Module, Parameter

__all__ = ["GraphModule", "check_inputs"]


class _Holder(Module):
    """A part of dotted names."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, *_: Any) -> Any:
        """Not callable by itself."""
        raise NotImplementedError("a part of a loaded model holds parameters only; call the model")


class GraphModule(Module):
    """A graph that runs operator by operator, so that gradients reach its parameters.

    States of the graph become parameters and buffers under their names: a dot begins a submodule.

    Args:
        program: whose arguments and results a call has; None: tensors in the graph's order.
        share: the parameters and buffers are the graph's own memory, not copies.
        order: names of states, in the order of the parameters.
    """

    def __init__(
        self, graph: Any, program: Any = None, *, share: bool = False, order: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.graph = graph
        self._program = program
        self._places: dict[str, tuple[Module, str]] = {}
        trained = set(graph.parameters)
        states = graph.states
        made: dict[Any, Any] = {}  # tensors of several names are one
        for name in dict.fromkeys([*(name for name in order if name in states), *states]):
            owner, last = self._owner(name)
            state = states[name]
            key = (state._storage_id(), state.storage_offset(), tuple(state.shape), state.stride())
            if key not in made or not key[0]:
                value = state.detach() if share else state.detach().clone()
                floating = value.is_floating_point() or value.is_complex()
                wanted = state.requires_grad if isinstance(state, Parameter) else True
                made[key] = Parameter(value, wanted) if name in trained and floating else value
            value = made[key]
            if isinstance(value, Parameter):
                owner.register_parameter(last, value)
            else:
                owner.register_buffer(last, value)
            self._places[name] = (owner, last)

    def _owner(self, name: str) -> tuple[Module, str]:
        """The module that holds `name`, made where there is none."""
        parts = name.split(".")
        if not all(parts):
            parts = [name.replace(".", "_")]
        owner: Module = self
        for part in parts[:-1]:
            child = owner._modules.get(part)
            if child is None:
                if hasattr(owner, part):  # a parameter or a method has that name
                    return owner, "_".join(parts[parts.index(part) :])
                child = _Holder()
                owner.add_module(part, child)
            owner = child
        last = parts[-1]
        while hasattr(owner, last):
            last += "_"
        return owner, last

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The program's result; or one tensor or a tuple, from inputs by position or by name."""
        if self._program is not None:
            inputs = self._program._inputs(args, kwargs)
            self.check_inputs(inputs)
            return self._program._rebuilt(self._run(list(inputs)), inputs)
        names = list(self.graph.inputs)
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(given) != set(names):
            raise TypeError(f"forward: inputs are {', '.join(names)}")
        results = self._run([given[name] for name in names])
        return results[0] if len(results) == 1 else tuple(results)

    def check_inputs(self, inputs: Any) -> None:
        """Whether the graph takes tensors of these types and sizes.

        Raises:
            RuntimeError: it does not.
        """
        check_inputs(self.graph, inputs)

    def _run(self, inputs: list[Any]) -> list[Any]:
        states = {name: getattr(owner, last) for name, (owner, last) in self._places.items()}
        return _C._interpret(self.graph, inputs, states, self._write)

    def _write(self, name: str, value: Any) -> None:
        owner, last = self._places[name]
        with no_grad():
            getattr(owner, last).copy_(value)

    def extra_repr(self) -> str:
        """Inputs and outputs."""
        return f"{', '.join(self.graph.inputs)} -> {', '.join(self.graph.outputs)}"


def check_inputs(graph: Any, inputs: Sequence[Any], types: bool = True) -> None:
    """Whether the graph takes tensors of these sizes, and types where `types` is set.

    Raises:
        RuntimeError: it does not.
    """
    sizes: dict[str, int] = {}
    for name, wanted, came in zip(graph.inputs, graph.input_dims, inputs, strict=True):
        if wanted is None:
            continue
        dtype, dims = wanted
        shape = tuple(came.shape)
        fits = (not types or came.dtype == dtype) and len(shape) == len(dims)
        for now, dim in zip(shape, dims, strict=False):
            fits = fits and (
                dim is None or now == (sizes.setdefault(dim, now) if isinstance(dim, str) else dim)
            )
        if not fits:
            text = ", ".join("?" if dim is None else str(dim) for dim in dims)
            raise RuntimeError(
                f"input {name!r} of graph {graph.name!r} must be {dtype} [{text}], but {came.dtype} "
                f"{list(shape)} came" + (f", where {sizes}" if sizes else "")
            )
