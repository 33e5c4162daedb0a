"""An exported program: a graph with its states, its signature and the sizes that it takes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..jit.module import GraphModule
from ..jit.program import TracedModule
from ..jit.segments import PythonSegment
from ..jit.sizes import Range
from ..jit.trees import build
from ..utils import pytree
from .signature import ExportGraphSignature, signature_of

__all__ = ["CallSpec", "ExportedProgram", "GuardError", "ValueRanges"]


class GuardError(AssertionError, RuntimeError, ValueError):
    """An exported program got tensors of types or sizes for which it does not hold."""


class ValueRanges(NamedTuple):
    """Between which numbers a size lies."""

    lower: int
    upper: float

    def __repr__(self) -> str:
        return f"VR[{self.lower}, {'int_oo' if self.upper == math.inf else self.upper}]"


class CallSpec(NamedTuple):
    """How arguments (args, kwargs) and results are nested."""

    in_spec: Any
    out_spec: Any


class ExportedModule(GraphModule):
    """An exported program as a Module: its parameters are the program's own, gradients reach them.

    A call takes and gives what the recorded function did.

    Raises:
        GuardError: types or sizes for which the program does not hold.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The program's result."""
        try:
            return super().forward(*args, **kwargs)
        except ValueError as error:
            if any(str(error).startswith(condition[-1]) for condition in self.graph.conditions):
                raise GuardError(str(error)) from None
            raise

    def check_inputs(self, inputs: Any) -> None:
        """As GraphModule does, with an error of exported programs."""
        try:
            super().check_inputs(inputs)
        except RuntimeError as error:
            raise GuardError(str(error)) from None

    def train(self, mode: bool = True) -> Any:
        """Refused: the program was recorded in one mode."""
        raise NotImplementedError("Calling train() is not supported: export the model in training mode")

    def eval(self) -> Any:
        """Refused: the program was recorded in one mode."""
        raise NotImplementedError("Calling eval() is not supported: export the model in evaluation mode")


class ExportedProgram:
    """A recorded program with all its states.

    `graph` is the graph (str gives its text), `module()` a Module that is called as the program and trained;
    a call of the exported program itself runs without Python's code and without gradients.
    """

    def __init__(
        self,
        traced: TracedModule,
        ranges: Mapping[str, Range] | None = None,
        hidden: set[str] | None = None,
        example_inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
        order: Sequence[str] = (),
    ) -> None:
        self._traced = traced
        self._ranges = dict(ranges or {})
        self._hidden = set(hidden or ())
        # States as the Module has them.
        states = traced.graph.states
        self._order = list(dict.fromkeys([*(name for name in order if name in states), *states]))
        self.example_inputs = example_inputs

    @property
    def graph(self) -> Any:
        """The graph."""
        return self._traced.graph

    @property
    def graph_module(self) -> Any:
        """The program as a Module."""
        return self.module()

    @property
    def graph_signature(self) -> ExportGraphSignature:
        """Parameters, buffers, inputs and outputs."""
        arguments = self._traced._arguments
        trees = [] if arguments is None else [*arguments.args, *arguments.keywords.values()]
        traced = self._traced
        return signature_of(self.graph, self._order, trees, traced._results, traced._writes, self._hidden)

    @property
    def call_spec(self) -> CallSpec:
        """How arguments and results are nested."""
        arguments, results = self._traced._arguments, self._traced._results
        inputs = arguments.rebuilt([0] * len(self.graph.inputs)) if arguments is not None else ((), {})
        outputs = build(results, [0] * len(self.graph.outputs)) if results is not None else 0
        return CallSpec(pytree.tree_structure(inputs), pytree.tree_structure(outputs))

    @property
    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers by name."""
        states = self.graph.states
        parameters = set(self.graph.parameters)
        ordered = sorted(self._order, key=lambda name: name not in parameters)
        return {name: states[name] for name in ordered if name not in self._hidden}

    @property
    def constants(self) -> dict[str, Any]:
        """Buffers that are not in the state dict."""
        states = self.graph.states
        return {name: states[name] for name in self._order if name in self._hidden}

    tensor_constants = constants

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Names and parameters."""
        yield from self.module().named_parameters()

    def parameters(self) -> Iterator[Any]:
        """The parameters."""
        return (value for _, value in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Names and buffers."""
        yield from self.module().named_buffers()

    def buffers(self) -> Iterator[Any]:
        """The buffers."""
        return (value for _, value in self.named_buffers())

    @property
    def guards(self) -> list[str]:
        """Conditions on sizes, beside the declared ones, under which the program holds."""
        return self._traced.guards

    @property
    def range_constraints(self) -> dict[str, ValueRanges]:
        """Between which numbers each open size lies, as declared and as the guards say."""
        open_names = {
            dim for wanted in self.graph.input_dims if wanted for dim in wanted[1] if isinstance(dim, str)
        }
        out = {}
        for name in sorted(name for name in open_names if name.isidentifier()):
            low, high = self._ranges.get(name, Range())
            least, most = low, math.inf if high is None else high
            for guard in self.guards:
                match = re.fullmatch(rf"{name} (<|<=|>|>=) (\d+)", guard)
                if match is None:
                    continue
                sign, number = match[1], int(match[2])
                if sign[0] == "<":
                    most = min(most, number - (sign == "<"))
                else:
                    least = max(least, number + (sign == ">"))
            out[name] = ValueRanges(least, most)
        return out

    @property
    def python_segments(self) -> list[PythonSegment]:
        """What keeps the program from running without Python."""
        return self._traced.python_segments

    def report(self) -> str:
        """What the program is, in words."""
        return self._traced.report()

    def module(self, check_guards: bool = True) -> ExportedModule:
        """The program as a Module; its parameters and buffers are the exported ones."""
        return ExportedModule(self.graph, self._traced, share=True, order=self._order)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._traced(*args, **kwargs)

    def run_decompositions(self, decomp_table: Any = None) -> ExportedProgram:
        """The program with composite operators written out."""
        graph = self.graph.clone()
        graph.decompose()
        old = self._traced
        traced = TracedModule(graph, old._arguments, old._results, keep=old._keep)
        return ExportedProgram(traced, self._ranges, self._hidden, self.example_inputs, self._order)

    def _metadata(self) -> dict[str, str]:
        """What a package says beside the graph."""
        ranges = {name: list(limits) for name, limits in self._ranges.items()}
        said = {"ranges": ranges, "hidden": sorted(self._hidden), "order": self._order}
        return {"exported": json.dumps(said)}

    @classmethod
    def _from_package(cls, traced: TracedModule, text: str | None) -> ExportedProgram:
        try:
            said = json.loads(text) if text is not None else {"ranges": {}, "hidden": [], "order": []}
            ranges = {str(name): Range(int(low), high) for name, (low, high) in said["ranges"].items()}
            if any(high is not None and type(high) is not int for _, high in ranges.values()):
                raise ValueError("limits are numbers")
            order = [str(name) for name in said["order"]]
            return cls(traced, ranges, {str(name) for name in said["hidden"]}, order=order)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"the package describes an exported program as {str(text)[:60]!r}: {error}"
            ) from error

    def __str__(self) -> str:
        text = "\n".join(f"    {line}" if line else line for line in str(self.graph).splitlines())
        return (
            f"ExportedProgram:\n{text}\n\nGraph signature: {self.graph_signature}\n"
            f"Range constraints: {self.range_constraints}\n"
        )

    __repr__ = __str__
