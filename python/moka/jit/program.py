"""A recorded program: a graph that is called like the function it was recorded from."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .. import _C
from .._C import Tensor
from ..autograd import no_grad
from .recording import writes
from .segments import PythonSegment, segments_of
from .structure import Arguments
from .trees import Tree, build

__all__ = ["TracedModule"]


class TracedModule:
    """A graph with its weights, callable like the function it was recorded from. Results need no gradient.

    `graph` is the graph; its text is str(traced.graph). States are the Module's own tensors: a call sees
    what was written to them, and writes buffers that the program writes. `save(path)` writes a .moka package.
    """

    def __init__(
        self, graph: Any, arguments: Arguments | None = None, results: Tree | None = None, *, keep: Any = None
    ) -> None:
        self.graph = graph
        self.methods: dict[str, TracedModule] = {}
        self._arguments = arguments
        self._results = results
        self._keep = keep  # Python that the graph calls
        self._writes = writes(graph)
        self._executable: Any = None
        self._version = 0  # of the states that the executable holds
        # State that the graph writes: the Module's tensor, and its version when the executable had the same.
        self._written: dict[str, Tensor] = {}
        self._seen: dict[str, int] = {}

    def add_method(self, name: str, traced: TracedModule) -> None:
        """Make another recording a method of this one; `save` writes both."""
        self.methods[name] = traced
        setattr(self, name, traced)

    def run(self, *inputs: Any) -> list[Any]:
        """The results of the graph as a list, from its inputs in order. What the program writes into an input
        is a further result.
        """
        executable = self._ready()
        if not self._written:
            return executable.run(*inputs)
        for name, tensor in self._written.items():
            if tensor._version != self._seen[name]:
                executable.set_state(name, tensor.detach().clone())
        results = executable.run(*inputs)
        with no_grad():
            for name, tensor in self._written.items():
                tensor.copy_(executable.state(name))
                self._seen[name] = tensor._version
        return results

    def _ready(self) -> Any:
        """What runs; a graph whose weights are constants is rewritten for speed first."""
        version = self.graph._states_version()
        if self._executable is None or version != self._version:
            states = self.graph.states
            self._executable = _C.Executable(self.graph, optimize=not states)
            self._version = version
            self._written = {name: states[name] for name in self.graph.written_states}
            self._seen = dict.fromkeys(self._written, -1)
        return self._executable

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Tensor]:
        """The tensors of a call in the graph's order."""
        if self._arguments is not None:
            return self._arguments.taken(args, kwargs)
        return self._by_name(args, kwargs) if kwargs else args

    def _rebuilt(self, results: list[Any], inputs: Sequence[Any]) -> Any:
        """The result of a call from the results of the graph; arguments are written."""
        for output, place in self._writes:
            inputs[place].copy_(results[output])
        if self._results is not None:
            return build(self._results, results)
        mutated = {output for output, _ in self._writes}
        results = [result for i, result in enumerate(results) if i not in mutated]
        return results[0] if len(results) == 1 else tuple(results)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self._inputs(args, kwargs)
        if _C._is_tracing():  # a recording sees the parts
            return self._rebuilt(self._interpreted(inputs), inputs)
        results = self.run(*inputs)
        if not self._writes:
            return self._rebuilt(results, inputs)
        with no_grad():
            return self._rebuilt(results, inputs)

    def _interpreted(self, inputs: Sequence[Any]) -> list[Any]:
        states = self.graph.states

        def write(name: str, value: Tensor) -> None:
            states[name].copy_(value)

        return _C._interpret(self.graph, list(inputs), states, write)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The same as a call."""
        return self(*args, **kwargs)

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Arguments in the graph's order; a program read from a file knows its inputs by name."""
        missing = self.graph.inputs[len(args) :]
        if set(kwargs) != set(missing):
            wanted, came = ", ".join(self.graph.inputs), ", ".join(kwargs)
            raise TypeError(f"the graph takes {wanted}; by name came {came}")
        return (*args, *(kwargs[name] for name in missing))

    def module(self) -> Any:
        """The graph as a Module whose parameters are trained.

        It runs operator by operator and is called as this one. Parameters are copies of the graph's.
        """
        from .module import GraphModule

        return GraphModule(self.graph, self)

    def state_dict(self) -> dict[str, Any]:
        """The states of the graph: parameters and buffers by name."""
        return dict(self.graph.states)

    @property
    def guards(self) -> list[str]:
        """Conditions on sizes that held in the recording and that every call is checked for."""
        return [text for text, declared, *_ in self.graph.conditions if not declared]

    @property
    def python_segments(self) -> list[PythonSegment]:
        """What keeps the graph from running without Python: the functions marked with `ignore`."""
        return segments_of(self.graph)

    def report(self) -> str:
        """What the graph is, in words: states, conditions on sizes, and what needs Python."""
        operators = sum(node["kind"] == "op" for node in self.graph.nodes())
        lines = [f"{self!r}", f"{operators} operators, {len(self.graph.states)} states"]
        if self.graph.written_states:
            lines.append(f"writes states {', '.join(self.graph.written_states)}")
        if self._writes:
            lines.append(f"writes inputs {', '.join(self.graph.inputs[place] for _, place in self._writes)}")
        for text, declared, file, line, scope, _ in self.graph.conditions:
            place = f" ({file}:{line}{' in ' + scope if scope else ''})" if file else ""
            lines.append(f"{'declared' if declared else 'checked'}: {text}{place}")
        segments = self.python_segments
        lines += [f"needs Python: {segment}" for segment in segments] or ["runs without Python"]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph with its weights as a .moka package."""
        from .packages import save

        save(self, path)

    def profile(self, *inputs: Any) -> str:
        """Run once and give the time of every step as Chrome trace JSON (open it in ui.perfetto.dev)."""
        return self._ready().profile(*inputs)

    def __repr__(self) -> str:
        inputs = ", ".join(
            f"{n}: {t}" for n, t in zip(self.graph.inputs, self.graph.input_types, strict=True)
        )
        mutated = {output for output, _ in self._writes}
        outputs = [name for i, name in enumerate(self.graph.outputs) if i not in mutated]
        return f"TracedModule({self.graph.name}: {inputs} -> {', '.join(outputs)})"
