"""Recording a program as a graph, once for each set of sizes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from .. import _C
from .._C import Tensor
from ..autograd import no_grad
from . import numbers as numbers
from .segments import Segments
from .sizes import Dynamic, Range, grown, open_sizes, rules
from .structure import Arguments, Results

__all__ = ["Recorder", "is_tracing", "writes"]


def is_tracing() -> bool:
    """Whether a trace records in this thread."""
    return _C._is_tracing()


class Recorder:
    """Records a function, any number of times, leaving its states and its examples as they were."""

    def __init__(
        self,
        func: Callable[..., Any],
        arguments: Arguments,
        names: Sequence[str],
        output_names: Sequence[str] | None,
        dynamic: Dynamic | None,
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        self.func = func
        self.module = owner_of(func)
        named = self.module if self.module is func else func
        self.name = getattr(named, "__name__", type(named).__name__)
        self.arguments = arguments
        self.names = names
        self.output_names = output_names
        self.wanted = open_sizes(dynamic, names, arguments.tensors)
        self.ranges = dict(ranges or {})
        self.strict = dynamic is not None
        self.follows_sizes = bool(self.wanted)
        self.segments = Segments()

    def _undisturbed(self) -> ExitStack:
        """Puts back at its end what running in training mode changes: buffers and the random stream."""
        stack = ExitStack()
        random = _C.default_generator.get_state()
        stack.callback(lambda: _C.default_generator.set_state(random))
        if self.module is not None:
            for buffer in self.module.buffers():
                stack.callback(_restore, buffer, buffer.detach(), buffer.detach().clone())
        return stack

    def record(self, inputs: Sequence[Tensor]) -> tuple[Any, Results]:
        """One recording: the graph, and what the function gave."""
        tracer = _C._Tracer(self.name)
        tracer.follows_sizes = self.follows_sizes
        # Copies: the program may write them, and the caller's tensors may be given twice.
        handles = [value.detach().clone() for value in inputs]
        for handle, name in zip(handles, self.names, strict=True):
            tracer.add_input(handle, name)
        # Views of the same memory, whose shape the program cannot change.
        memories = [handle.detach() for handle in handles]
        with self._undisturbed(), ExitStack() as hooks, no_grad(), self.segments.recording():
            if self.module is not None:
                for name, parameter in self.module.named_parameters():
                    tracer.add_state(parameter, name, True)
                for name, buffer in self.module.named_buffers():
                    tracer.add_state(buffer, name, False)
                for name, module in self.module.named_modules():
                    _mark_scope(hooks, tracer, name, module)
            args, kwargs = self.arguments.rebuilt(handles)
            tracer.begin()
            try:
                return self._finish(tracer, self.func(*args, **kwargs), memories)
            finally:
                # After an error too: the end of a recording puts back the modes that its beginning saw.
                if is_tracing():
                    tracer.finish([], [])

    def _finish(self, tracer: Any, result: Any, memories: list[Tensor]) -> tuple[Any, Results]:
        results = Results(result)
        names = results.names if self.output_names is None else list(self.output_names)
        if len(names) != len(results.tensors):
            raise ValueError(f"trace: {len(results.tensors)} results, but {len(names)} output names")
        graph = tracer.finish(results.tensors, names)
        written = writes(graph)
        results.written = [memories[place] for _, place in written]
        results.check_some()
        return graph, results

    def recorded(self) -> tuple[Any, Results]:
        """The graph that all recordings with sizes that may change have in common, and what the first one
        gave.
        """
        examples = self.arguments.tensors
        graph, results = self.record(examples)
        if not self.wanted:
            return graph, results
        try:
            return self._generalized(graph, results)
        except (RuntimeError, ValueError, IndexError, NotImplementedError) as error:
            if self.strict:
                self._explain(error)
                raise
            self.follows_sizes = False  # the program needs the sizes of the examples
            return self.record(examples)

    def open_as(
        self,
        graph: Any,
        results: Results,
        wanted: Mapping[int, Mapping[int, str]],
        ranges: Mapping[str, Range],
    ) -> tuple[Any, Results]:
        """Open these sizes of a graph that was recorded with the examples.

        Raises:
            Exception: the program does not allow it.
        """
        self.wanted = {place: dict(sizes) for place, sizes in wanted.items()}
        self.ranges, self.strict = dict(ranges), True
        return self._generalized(graph, results) if self.wanted else (graph, results)

    def _generalized(self, graph: Any, results: Results) -> tuple[Any, Results]:
        """The graph with what it has in common with recordings of other sizes."""
        names = [(place, dim, name) for place, sizes in self.wanted.items() for dim, name in sizes.items()]
        try:
            _C._generalize(graph, [self.record(self._grown(turn))[0] for turn in (1, 2)], names)
        except Exception:
            # Tables may end where the example does, and branches: then smaller sizes say as much.
            if not self.strict or not self._can_shrink():
                raise
            try:
                graph, results = self.record(self.arguments.tensors)
                others = [self.record(self._grown(turn, down=True))[0] for turn in (1, 2)]
                _C._generalize(graph, others, names)
            except Exception:
                others = []
            if not others:
                raise
        _C._check_sizes(graph, rules(self.wanted, self.ranges))
        return graph, results

    def _grown(self, turn: int, down: bool = False) -> list[Tensor]:
        return grown(self.arguments.tensors, self.wanted, turn, self.ranges, down)

    def _can_shrink(self) -> bool:
        up, down = self._grown(1), self._grown(1, down=True)
        return [e.shape for e in up] != [e.shape for e in down]

    def _explain(self, error: Exception) -> None:
        if hasattr(error, "add_note"):
            sizes = ", ".join(
                f"dimension {dim} of {self.names[place]}"
                for place, dims in self.wanted.items()
                for dim in dims
            )
            error.add_note(f"trace: with {sizes} larger; dynamic says that the program allows any size")


def writes(graph: Any) -> list[tuple[int, int]]:
    """(output, input): which outputs of a graph are what the program writes into an input."""
    places = {f"writes {name}": i for i, name in enumerate(graph.outputs)}
    inputs = list(graph.inputs)
    found = [
        (places[key], inputs.index(name))
        for key, name in graph.metadata.items()
        if key in places and name in inputs
    ]
    return sorted(found)


def owner_of(func: Callable[..., Any]) -> Any:
    """The Module whose states `func` (a Module or a method of one) reads."""
    from ..nn import Module

    owner = getattr(func, "__self__", func)
    return owner if isinstance(owner, Module) else None


def parameter_names(func: Callable[..., Any]) -> list[str]:
    """The names of positional arguments."""
    target = func.forward if hasattr(func, "forward") else func
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def _restore(buffer: Tensor, memory: Tensor, value: Tensor) -> None:
    with no_grad():
        if buffer._storage_id() != memory._storage_id() or buffer.shape != memory.shape:
            buffer.data = memory
        buffer.copy_(value)


def _mark_scope(hooks: ExitStack, tracer: Any, name: str, module: Any) -> None:
    """Make every node that `module` records name it."""
    if not name:
        return
    before = module.register_forward_pre_hook(lambda *_: tracer.push_scope(name))
    after = module.register_forward_hook(lambda *_: tracer.pop_scope(), always_call=True)
    hooks.callback(before.remove)
    hooks.callback(after.remove)
