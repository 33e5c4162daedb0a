"""Programs as graphs: trace records one run, the result runs without Python's code and can be saved."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _C
from .._C import Tensor
from .recording import Recorder, is_tracing, parameter_names
from .sizes import Dynamic
from .structure import Arguments, Results, rebuild_text

__all__ = ["TracedModule", "freeze", "is_tracing", "load", "save", "trace", "trace_module"]


def trace(
    func: Callable[..., Any],
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Sequence[Any] | None = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    *,
    example_kwarg_inputs: Mapping[str, Any] | None = None,
    dynamic: Dynamic | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> TracedModule:
    """Run `func` (a Module, a method of one, or a function) and record what it does, as a graph.

    Parameters and buffers of a Module become states of the graph under their dotted names. Writes in place,
    also into views, become new values. Python branches are recorded the way they went; asking for a tensor's
    value (item, bool, numpy) while recording is an error. Arguments and results may be tuples, lists and
    dictionaries of tensors; what is no tensor in them stays what it was.

    Args:
        example_inputs: a tensor, or a tuple of arguments.
        example_kwarg_inputs: arguments by name.
        check_trace: run the graph on the examples and compare with the function itself.
        check_inputs: further tuples of arguments to compare with.
        check_tolerance: by how much they may differ, relative to the largest value.
        dynamic: which sizes may change, as {input (number or name): {dimension: name}} or {input:
        [dimension]}.
            A name such as "8*width" says that only multiples of 8 will come. The program is recorded with
            further sizes; numbers that depend on them become computations of the graph.
            When None, the first size of all inputs stays open ("batch") if the program allows it; {} fixes
            all sizes.
        input_names, output_names: names in the graph; without them the arguments of func and "output".
        optimize, strict: taken for PyTorch's sake; they change nothing.
    """
    if not callable(func):
        raise TypeError(f"trace: a Module or a function is needed, but {type(func).__name__} came")
    arguments = _arguments(func, example_inputs, example_kwarg_inputs)
    names = list(input_names) if input_names is not None else arguments.names
    if len(names) != len(arguments.tensors):
        raise ValueError(f"trace: {len(arguments.tensors)} examples, but {len(names)} input names")
    recorder = Recorder(func, arguments, names, output_names, dynamic)
    graph, results = recorder.recorded()
    traced = TracedModule(graph, arguments, results)
    if check_trace:
        _check(graph, arguments.tensors, results.tensors, check_tolerance)
        for more in check_inputs or ():
            args = (more,) if isinstance(more, Tensor) else tuple(more)
            tensors = arguments.taken(args, {})
            _check(graph, tensors, recorder.record(tensors)[1].tensors, check_tolerance)
    return traced


def trace_module(
    mod: Any, inputs: Mapping[str, Any], optimize: Any = None, check_trace: bool = True, **options: Any
) -> TracedModule:
    """Record several methods of a Module: each is a method of the result, and `forward` is what a call runs.

    Args:
        inputs: {name of a method: its examples}, as `trace` takes them; it and all other arguments are
        `trace`'s.
    """
    if not inputs:
        raise ValueError("trace_module: inputs names no method")
    traced = {
        name: trace(
            mod if name == "forward" else getattr(mod, name), given, check_trace=check_trace, **options
        )
        for name, given in inputs.items()
    }
    main = traced.get("forward") or next(iter(traced.values()))
    for name, one in traced.items():
        if one is not main:
            setattr(main, name, one)
    return main


def _arguments(func: Callable[..., Any], examples: Any, keywords: Mapping[str, Any] | None) -> Arguments:
    if examples is None:
        examples = ()
    args = (examples,) if isinstance(examples, (Tensor, Mapping)) else tuple(examples)
    arguments = Arguments(args, dict(keywords or {}), parameter_names(func))
    if (args or keywords) and not arguments.tensors:
        first = (*args, *(keywords or {}).values())[0]
        raise TypeError(f"trace: example 0 must be a Tensor, but {type(first).__name__} came")
    return arguments


def _check(graph: Any, examples: Sequence[Tensor], results: Sequence[Tensor], tolerance: float) -> None:
    """Compare the graph with what the function gave.
    Random programs differ by nature and are not compared.
    """
    if _is_random(graph):
        return
    again = _C.Executable(graph).run(*examples)
    for i, (found, expected) in enumerate(zip(again, results, strict=True)):
        if tuple(found.shape) != tuple(expected.shape) or found.dtype != expected.dtype:
            raise RuntimeError(
                f"trace: result {i} of the graph is {found.dtype} {list(found.shape)}, of the function "
                f"{expected.dtype} {list(expected.shape)}"
            )
        if not found.numel():
            continue
        wide = _C.complex128 if expected.is_complex() else _C.float64
        a, b = found.to(wide), expected.detach().to(wide)
        same = (a == b) | ((a != a) & (b != b))  # also infinities, and NaN where NaN is expected
        difference = _C.where(same, 0, a - b).abs()
        if not difference.isfinite().all().item():
            difference = _C.full_like(difference, float("inf"))
        finite = _C.where(b.isfinite(), b, 0).abs()
        worst, scale = difference.max().item(), max(finite.max().item(), 1.0)
        if worst > tolerance * scale:
            raise RuntimeError(
                f"trace: result {i} of the graph differs from the function's by {worst:.3g}; the "
                f"function does "
                f"something that a recording cannot see (state of its own, values taken out and put back)"
            )


def _is_random(graph: Any) -> bool:
    random = {row["base"] for row in _C._op_table() if row["random"]}
    return any(node["op"] in random for node in graph.nodes())


class TracedModule:
    """A graph with its weights, callable like the function it was recorded from. Results need no gradient.

    `graph` is the graph; its text is str(traced.graph). `save(path)` writes a .moka package.
    """

    def __init__(
        self, graph: Any, arguments: Arguments | None = None, results: Results | str | None = None
    ) -> None:
        self.graph = graph
        self._arguments = arguments
        self._results = results
        self._executable: Any = None

    def run(self, *inputs: Any) -> list[Any]:
        """The results of the graph as a list, from its inputs in order."""
        return self._ready().run(*inputs)

    def _ready(self) -> Any:
        """What runs; a graph whose weights are constants is rewritten for speed first."""
        if self._executable is None:
            self._executable = _C.Executable(self.graph, optimize=not self.graph.states)
        return self._executable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments = self._arguments
        if arguments is not None:
            args = tuple(arguments.taken(args, kwargs))
        elif kwargs:
            args = self._by_name(args, kwargs)
        results = self.run(*args)
        if isinstance(self._results, Results):
            return self._results.rebuilt(results)
        if self._results is not None:
            return rebuild_text(self._results, results)
        return results[0] if len(results) == 1 else tuple(results)

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

        It runs operator by operator; calls take the graph's inputs in order or by name. Parameters are
        copies of the graph's.
        """
        from .module import GraphModule

        return GraphModule(self.graph)

    def state_dict(self) -> dict[str, Any]:
        """The states of the graph: parameters and buffers by name."""
        return dict(self.graph.states)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph with its weights as a .moka package."""
        save(self, path)

    def profile(self, *inputs: Any) -> str:
        """Run once and give the time of every step as Chrome trace JSON (open it in ui.perfetto.dev)."""
        return self._ready().profile(*inputs)

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
    return TracedModule(graph, traced._arguments, traced._results)


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
    form = traced._results
    text = form.text() if isinstance(form, Results) else form
    metadata = {"results": text} if text is not None else {}
    _C._package_save(traced.graph, os.fspath(path), metadata, files)


def load(path: str | os.PathLike[str]) -> TracedModule:
    """Read a .moka package; the result is callable. Nothing in the file is run until it is called."""
    graph, metadata = _C._package_load(os.fspath(path))
    return TracedModule(graph, None, _result_form(metadata.get("results"), len(graph.outputs)))


def _result_form(text: str | None, count: int) -> str | None:
    """The form of results that a package names; "one" and "several" are words of its first version."""
    if text in (None, "one"):
        return None
    if text == "several":
        return json.dumps({"tuple": [{"result": i} for i in range(count)]})
    try:
        rebuild_text(text, range(count))
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"the package describes its {count} results as {text[:60]!r}, which is no form"
        ) from error
    return text
