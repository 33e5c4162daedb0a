"""Programs as graphs: trace records one run, the result runs without Python's code and can be saved."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _C
from .._C import Tensor
from .packages import load, save
from .program import TracedModule
from .recording import Recorder, is_tracing, parameter_names
from .segments import ignore
from .sizes import Dynamic
from .structure import Arguments, Results

__all__ = ["TracedModule", "freeze", "ignore", "is_tracing", "load", "save", "trace", "trace_module"]


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

    Parameters and buffers of a Module become states of the graph under their dotted names; buffers that it
    writes are written by the graph too. Writes in place, also into views, become new values; an argument that
    the function writes is written when the graph runs. Python branches on sizes are recorded the way they
    went and checked; asking for a tensor's value (if, item, numpy) while recording is an error, except
    in functions marked with `ignore`. Arguments and results may be tuples, lists, dictionaries, named tuples
    and dataclasses of tensors; what is no tensor in them stays what it was.

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
    if check_trace:
        _check(graph, arguments.tensors, results, check_tolerance)
        for more in check_inputs or ():
            args = (more,) if isinstance(more, (Tensor, Mapping)) else tuple(more)
            tensors = arguments.taken(args, {})
            _check(graph, tensors, recorder.record(tensors)[1], check_tolerance)
    return TracedModule(graph, arguments, results.tree, keep=recorder.segments)


def trace_module(
    mod: Any, inputs: Mapping[str, Any], optimize: Any = None, check_trace: bool = True, **options: Any
) -> TracedModule:
    """Record several methods of a Module: each is a method of the result, and `forward` is what a call runs.
    They share the Module's states, also in a package.

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
            main.add_method(name, one)
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


def _check(graph: Any, examples: Sequence[Tensor], results: Results, tolerance: float) -> None:
    """Compare the graph with what the function gave.
    Random programs differ by nature and are not compared.
    """
    if _is_random(graph):
        return
    again = _C.Executable(graph).run(*examples)
    for i, (found, expected) in enumerate(zip(again, [*results.tensors, *results.written], strict=True)):
        if not isinstance(expected, Tensor):
            if found != expected:
                raise RuntimeError(f"trace: number {i} of the graph is {found}, of the function {expected}")
            continue
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
                f"trace: result {i} of the graph differs from the function's by {worst:.3g}; the function "
                "does something that a recording cannot see (state of its own, values taken out and put back)"
            )


def _is_random(graph: Any) -> bool:
    random = {row["base"] for row in _C._op_table() if row["random"]}
    return any(node["op"] in random for node in graph.nodes())


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
    return TracedModule(graph, traced._arguments, traced._results, keep=traced._keep)
