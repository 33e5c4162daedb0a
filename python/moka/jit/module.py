"""Graphs as modules that can be trained."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import no_grad
from ..nn import Module, Parameter

__all__ = ["GraphModule"]


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
    """

    def __init__(self, graph: Any) -> None:
        super().__init__()
        self.graph = graph
        self._places: dict[str, tuple[Module, str]] = {}
        trained = set(graph.parameters)
        for name, value in graph.states.items():
            owner, last = self._owner(name)
            value = value.detach().clone()
            if name in trained and (value.is_floating_point() or value.is_complex()):
                owner.register_parameter(last, Parameter(value))
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

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The outputs: one tensor, or a tuple. Inputs go by position or by name."""
        names = list(self.graph.inputs)
        given = dict(zip(names, inputs, strict=False)) | named
        if len(inputs) > len(names) or set(given) != set(names):
            raise TypeError(f"forward: inputs are {', '.join(names)}")
        states = {name: getattr(owner, last) for name, (owner, last) in self._places.items()}
        results = _C._interpret(self.graph, [given[name] for name in names], states, self._write)
        return results[0] if len(results) == 1 else tuple(results)

    def _write(self, name: str, value: Any) -> None:
        owner, last = self._places[name]
        with no_grad():
            getattr(owner, last).copy_(value)

    def extra_repr(self) -> str:
        """Inputs and outputs."""
        return f"{', '.join(self.graph.inputs)} -> {', '.join(self.graph.outputs)}"
