"""Programs as graphs: trace records one run, the result runs without Python's code and can be saved."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from . import _C
from ._C import Tensor
from .autograd import no_grad

__all__ = ["TracedModule", "freeze", "is_tracing", "load", "save", "trace"]

Dynamic = Mapping[int | str, Mapping[int, str]]


def is_tracing() -> bool:
    """Whether a trace records in this thread."""
    return _C._is_tracing()


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    check_trace: bool = True,
    check_tolerance: float = 1e-5,
    *,
    dynamic: Dynamic | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> TracedModule:
    """Run `func` (a Module or a function of tensors) once and record what it does, as a graph.

    Parameters and buffers of a Module become states of the graph under their dotted names. Python branches
    are
    recorded the way they went; asking for a tensor's value (item, bool, numpy) while recording is an error.

    Args:
        example_inputs: a tensor, or a tuple of tensors, one for each argument.
        check_trace: run the graph on the examples and compare with the function itself.
        check_tolerance: by how much they may differ, relative to the largest value.
        dynamic: which sizes may change, as {input (number or name): {dimension: name}}. When None, the
        first size
            of all inputs stays open ("batch") if a second recording with another first size gives the same
            graph;
            {} fixes all sizes.
        input_names, output_names: names in the graph; without them the arguments of func and "output".
    """
    if not callable(func):
        raise TypeError(f"trace: a Module or a function is needed, but {type(func).__name__} came")
    examples = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    for i, example in enumerate(examples):
        if not isinstance(example, Tensor):
            raise TypeError(f"trace: example {i} must be a Tensor, but {type(example).__name__} came")
    names = list(input_names) if input_names is not None else _argument_names(func, len(examples))
    if len(names) != len(examples):
        raise ValueError(f"trace: {len(examples)} examples, but {len(names)} input names")
    recorder = _Recorder(func, names, output_names)
    with recorder.undisturbed():
        graph, results = recorder.record(examples)
        wanted = _open_sizes(dynamic, names, examples)
        if wanted:
            _open(recorder, graph, examples, wanted, strict=dynamic is not None)
        traced = TracedModule(graph, recorder.single)
        if check_trace:
            _check(traced, examples, results, check_tolerance)
    return traced


class _Recorder:
    """Records a function, any number of times, leaving its states as they were."""

    def __init__(
        self, func: Callable[..., Any], names: list[str], output_names: Sequence[str] | None
    ) -> None:
        from .nn import Module

        self.func = func
        self.module = func if isinstance(func, Module) else None
        self.name = type(func).__name__ if self.module is not None else getattr(func, "__name__", "main")
        self.names = names
        self.output_names = output_names
        self.single = True

    def undisturbed(self) -> ExitStack:
        """Puts back at its end what running in training mode changes: buffers and the random stream."""
        stack = ExitStack()
        random = _C.default_generator.get_state()
        stack.callback(lambda: _C.default_generator.set_state(random))
        if self.module is not None:
            for buffer in self.module.buffers():
                stack.callback(_restore, buffer, buffer.detach().clone())
        return stack

    def record(self, inputs: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
        """One recording: the graph, and what the function gave."""
        tracer = _C._Tracer(self.name)
        # Fresh handles: the caller's tensors may be used elsewhere, or be given twice.
        handles = [value.detach() for value in inputs]
        for handle, name in zip(handles, self.names, strict=True):
            tracer.add_input(handle, name)
        with ExitStack() as hooks, no_grad():
            if self.module is not None:
                for name, parameter in self.module.named_parameters():
                    tracer.add_state(parameter, name, True)
                for name, buffer in self.module.named_buffers():
                    tracer.add_state(buffer, name, False)
                for name, module in self.module.named_modules():
                    _mark_scope(hooks, tracer, name, module)
            tracer.begin()
            try:
                return self._finish(tracer, self.func(*handles))
            finally:
                # After an error too: the end of a recording puts back the modes that its beginning saw.
                if is_tracing():
                    tracer.finish([], [])

    def _finish(self, tracer: Any, result: Any) -> tuple[Any, list[Tensor]]:
        self.single = isinstance(result, Tensor)
        if not isinstance(result, (Tensor, tuple, list)):
            raise TypeError(
                f"trace: the function gave {type(result).__name__}; a graph gives a tensor, or a tuple or "
                "list of tensors"
            )
        results = [result] if self.single else list(result)
        for i, value in enumerate(results):
            if not isinstance(value, Tensor):
                raise TypeError(f"trace: result {i} is {type(value).__name__}; a graph gives tensors")
        names = self.output_names
        if names is None:
            names = ["output"] if self.single else [f"output{i}" for i in range(len(results))]
        if len(names) != len(results):
            raise ValueError(f"trace: {len(results)} results, but {len(names)} output names")
        return tracer.finish(results, list(names)), results


def _restore(buffer: Tensor, value: Tensor) -> None:
    with no_grad():
        buffer.copy_(value)


def _mark_scope(hooks: ExitStack, tracer: Any, name: str, module: Any) -> None:
    """Make every node that `module` records name it."""
    if not name:
        return
    before = module.register_forward_pre_hook(lambda *_: tracer.push_scope(name))
    after = module.register_forward_hook(lambda *_: tracer.pop_scope())
    hooks.callback(before.remove)
    hooks.callback(after.remove)


def _argument_names(func: Callable[..., Any], count: int) -> list[str]:
    """The names of the arguments that the examples stand for."""
    target = func.forward if hasattr(func, "forward") else func
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds][:count]
    return names + [f"input{i}" for i in range(len(names), count)]


def _open_sizes(
    dynamic: Dynamic | None, names: Sequence[str], examples: Sequence[Tensor]
) -> dict[int, dict[int, str]]:
    """Which dimensions of which inputs may change, by number."""
    if dynamic is None:
        if all(example.dim() > 0 for example in examples):
            return {i: {0: "batch"} for i in range(len(examples))}
        return {}
    wanted: dict[int, dict[int, str]] = {}
    for key, sizes in dynamic.items():
        if isinstance(key, str) and key not in names:
            raise ValueError(f"trace: dynamic names input {key!r}, but the inputs are {', '.join(names)}")
        place = names.index(key) if isinstance(key, str) else key
        if not 0 <= place < len(examples):
            raise ValueError(f"trace: dynamic names input {place}, but there are {len(examples)}")
        for dim in sizes:
            if not -examples[place].dim() <= dim < examples[place].dim():
                raise ValueError(
                    f"trace: dynamic names dimension {dim} of an input of {examples[place].dim()}"
                )
        wanted[place] = {dim % examples[place].dim(): name for dim, name in sizes.items()}
    return wanted


def _open(
    recorder: _Recorder,
    graph: Any,
    examples: Sequence[Tensor],
    wanted: dict[int, dict[int, str]],
    strict: bool,
) -> None:
    """Record again with other sizes where they may change,
    and take over what both recordings have in common.
    """
    others = list(examples)
    for place, sizes in wanted.items():
        shape = list(examples[place].shape)
        for dim in sizes:
            shape[dim] += 1
        index = _C.zeros(1, dtype=_C.int64)
        for dim in sizes:  # one more of the last slice: values stay possible ones (indices, for example)
            last = _C.index_select(others[place], dim, index + (others[place].shape[dim] - 1))
            others[place] = _C.cat([others[place], last], dim)
    try:
        other, _ = recorder.record(others)
        merged = graph if strict else graph.clone()
        _C._generalize(merged, other)
    except (RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        if not strict:
            return  # the program needs the sizes of the examples
        if hasattr(error, "add_note"):
            names = ", ".join(
                f"dimension {dim} of {recorder.names[place]}"
                for place, sizes in wanted.items()
                for dim in sizes
            )
            error.add_note(
                f"trace: with {names} larger by one; dynamic says that the program allows any size"
            )
        raise
    if merged is not graph:
        _C._generalize(graph, other)
    for place, sizes in wanted.items():
        for dim, name in sizes.items():
            graph.set_dynamic(place, dim, name)


def _check(
    traced: TracedModule, examples: Sequence[Tensor], results: Sequence[Tensor], tolerance: float
) -> None:
    """Compare the graph with what the function gave.
    Random programs differ by nature and are not compared.
    """
    if _is_random(traced.graph):
        return
    again = traced.run(*examples)
    for i, (found, expected) in enumerate(zip(again, results, strict=True)):
        if tuple(found.shape) != tuple(expected.shape) or found.dtype != expected.dtype:
            raise RuntimeError(
                f"trace: result {i} of the graph is {found.dtype} {list(found.shape)}, of the function "
                f"{expected.dtype} {list(expected.shape)}"
            )
        if not found.numel():
            continue
        a, b = found.double(), expected.detach().double()
        scale = max(b.abs().max().item(), 1.0)
        difference = (a - b).abs().max().item()
        if difference > tolerance * scale:
            raise RuntimeError(
                f"trace: result {i} of the graph differs from the function's by {difference:.3g}; the "
                "function does "
                f"something that a recording cannot see (state of its own, values taken out and put back)"
            )


def _is_random(graph: Any) -> bool:
    random = {row["base"] for row in _C._op_table() if row["random"]}
    return any(node["op"] in random for node in graph.nodes())


class TracedModule:
    """A graph with its weights, callable like the function it was recorded from. Results need no gradient.

    `graph` is the graph; its text is str(traced.graph). `save(path)` writes a .moka package.
    """

    def __init__(self, graph: Any, single: bool = True) -> None:
        self.graph = graph
        self._single = single
        self._executable: Any = None

    def run(self, *inputs: Any) -> list[Any]:
        """The results as a list."""
        if self._executable is None:
            self._executable = _C.Executable(self.graph)
        return self._executable.run(*inputs)

    def __call__(self, *inputs: Any) -> Any:
        results = self.run(*inputs)
        return results[0] if self._single and len(results) == 1 else tuple(results)

    def state_dict(self) -> dict[str, Any]:
        """The states of the graph: parameters and buffers by name."""
        return dict(self.graph.states)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph with its weights as a .moka package."""
        save(self, path)

    def profile(self, *inputs: Any) -> str:
        """Run once and give the time of every step as Chrome trace JSON (open it in ui.perfetto.dev)."""
        if self._executable is None:
            self._executable = _C.Executable(self.graph)
        return self._executable.profile(*inputs)

    def __repr__(self) -> str:
        inputs = ", ".join(
            f"{n}: {t}" for n, t in zip(self.graph.inputs, self.graph.input_types, strict=True)
        )
        return f"TracedModule({self.graph.name}: {inputs} -> {', '.join(self.graph.outputs)})"


def freeze(traced: TracedModule) -> TracedModule:
    """A copy for inference: states become constants, batch norm is folded into what stands before it.

    Trace the module in evaluation mode (`model.eval()`); states that the graph writes stay states.
    """
    graph = traced.graph.clone()
    graph.freeze()
    graph.fold_constants()
    graph.fold_batch_norm()
    graph.share_common()
    graph.remove_dead()
    graph.verify()
    return TracedModule(graph, traced._single)


def save(traced: TracedModule, path: str | os.PathLike[str], *, onnx_view: bool = True) -> None:
    """Write a graph with its weights as a .moka package, which `load` and the native predictor read.

    Args:
        onnx_view: put an ONNX form beside it, so that graph viewers open the package; left out
            where ONNX cannot say what the graph does.
    """
    files = {}
    if onnx_view:
        try:
            files["model.onnx"] = _C._onnx_save(traced.graph, 18, {})
        except NotImplementedError:
            files = {}
    metadata = {"results": "one" if traced._single else "several"}
    _C._package_save(traced.graph, os.fspath(path), metadata, files)


def load(path: str | os.PathLike[str]) -> TracedModule:
    """Read a .moka package; the result is callable. Nothing in the file is run until it is called."""
    graph, metadata = _C._package_load(os.fspath(path))
    return TracedModule(graph, metadata.get("results", "one") == "one" and len(graph.outputs) == 1)
