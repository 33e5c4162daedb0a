"""Programs as graphs with all their states, declared sizes and a signature: export, save, load."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from .. import jit as _jit
from ..jit import packages as _packages
from ..jit.program import TracedModule
from ..jit.recording import Recorder, parameter_names
from ..jit.sizes import Range
from ..jit.structure import Arguments
from ..jit.trees import register as _register
from .dims import AdditionalInputs, Dim, ExportError, Hint, Shapes, ShapesCollection, dims, names_of
from .program import CallSpec, ExportedProgram, GuardError, ValueRanges
from .signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

__all__ = [
    "AdditionalInputs",
    "CallSpec",
    "ConstantArgument",
    "Dim",
    "ExportError",
    "ExportGraphSignature",
    "ExportedProgram",
    "GuardError",
    "InputKind",
    "InputSpec",
    "OutputKind",
    "OutputSpec",
    "ShapesCollection",
    "TensorArgument",
    "ValueRanges",
    "default_decompositions",
    "dims",
    "draft_export",
    "export",
    "load",
    "python_segment",
    "register_dataclass",
    "save",
    "unflatten",
]

python_segment = _jit.ignore


def export(
    mod: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: tuple[str, ...] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
    check: bool = True,
) -> ExportedProgram:
    """Record what a Module, a method of one, or a function does, as a graph with all its states.

    Args:
        args: example arguments; tensors in them become inputs, other values stay what they are.
        kwargs: example arguments by name.
        dynamic_shapes: which sizes are open, by argument: {"x": {0: Dim("batch", min=1, max=64)}}, or a tuple
            in the order of the arguments. For each tensor {dimension: size} or a tuple of all sizes, where a
            size is a Dim, Dim.DYNAMIC, Dim.AUTO, or None, an int or Dim.STATIC for one that stays. Arguments
            that are containers take containers. None: all sizes stay.
        check: run the graph on the examples and compare with the function itself.
        strict, preserve_module_call_signature, prefer_deferred_runtime_asserts_over_guards: taken for
            PyTorch's sake; they change nothing.

    Raises:
        ExportError: arguments or dynamic_shapes do not fit together, or the program needs a size that was
            declared open; the text names the line.
        RuntimeError: the program asks for a tensor's values in Python.
    """
    if not callable(mod):
        raise ValueError(f"Expected `mod` to be a Module or a function, got {type(mod)}.")
    if not isinstance(args, (tuple, list)):
        raise ExportError(f"Expecting `args` to be a tuple of example positional inputs, got {type(args)}")
    kwargs = dict(kwargs or {})
    if isinstance(dynamic_shapes, (ShapesCollection, AdditionalInputs)):
        dynamic_shapes = dynamic_shapes.dynamic_shapes(mod, tuple(args), kwargs)
    arguments = Arguments(tuple(args), kwargs, parameter_names(mod))
    shapes = Shapes(mod, arguments, dynamic_shapes)
    recorder = Recorder(mod, arguments, arguments.names, None, {})
    graph, results, ranges = _recorded(recorder, shapes)
    if check:
        _jit._check(graph, arguments.tensors, results, 1e-5)
    hidden, order = _add_unused(recorder.module, graph)
    traced = TracedModule(graph, arguments, results.tree, keep=recorder.segments)
    return ExportedProgram(traced, ranges, hidden, (tuple(args), kwargs), order)


def _recorded(recorder: Recorder, shapes: Shapes) -> tuple[Any, Any, dict[str, Range]]:
    """The graph of a program whose sizes are open as the user says, and what the program gave."""
    recorder.follows_sizes = bool(shapes.open)
    graph, results = recorder.record(recorder.arguments.tensors)
    if not shapes.open:
        return graph, results, {}
    failed: Exception | None = None
    for wanted, ranges in names_of(shapes, recorder.names):
        if failed is not None:
            graph, results = recorder.record(recorder.arguments.tensors)
        try:
            return *recorder.open_as(graph, results, wanted, ranges), ranges
        except Exception as error:  # whatever the program raises where sizes are others
            failed = error
    assert failed is not None
    declared = ", ".join(
        f"dimension {o.dim} of {recorder.names[o.place]} ({_name(o.spec)})"
        for o in shapes.open
        if not (isinstance(o.spec, Hint) and o.spec.kind == "AUTO")
    )
    raise ExportError(
        f"Constraints violated: the program does not allow other sizes in {declared}: {failed}"
        f"{_line_of(failed)}\n"
        "Declare them as Dim.STATIC or as Dim.AUTO, give them limits, or change the line"
    ) from failed


def _name(spec: Any) -> str:
    if isinstance(spec, Hint):
        return repr(spec)
    return spec if isinstance(spec, str) else f"Dim {spec.__name__!r}"


def _line_of(error: BaseException) -> str:
    """The innermost line of the user's program that an error came through."""
    inside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    place = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not os.path.abspath(code.co_filename).startswith(inside + os.sep):
            place = f"\n  at {os.path.basename(code.co_filename)}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return place


def _add_unused(module: Any, graph: Any) -> tuple[set[str], list[str]]:
    """Give a graph the states of its Module that it does not use.

    Returns:
        the names of buffers that are not saved, and all names in the Module's order.
    """
    if module is None:
        return set(), []
    known = set(graph.states)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    buffers = dict(module.named_buffers(remove_duplicate=False))
    for name, value in (parameters | buffers).items():
        if name not in known:
            graph._set_state(name, value, name in parameters)
    hidden = set()
    for prefix, part in module.named_modules(remove_duplicate=False):
        hidden |= {f"{prefix}.{name}" if prefix else name for name in part._non_persistent_buffers_set}
    return hidden, [*parameters, *buffers]


def draft_export(
    mod: Callable[..., Any], args: tuple[Any, ...], kwargs: Any = None, **options: Any
) -> ExportedProgram:
    """The same as export."""
    return export(mod, args, kwargs, **options)


def save(
    ep: ExportedProgram,
    f: Any,
    *,
    extra_files: Mapping[str, Any] | None = None,
    opset_version: Mapping[str, int] | None = None,
    pickle_protocol: int | None = None,
) -> None:
    """Write an exported program as a .moka package, to a path or into a file that is open for writing bytes.

    Args:
        extra_files: {name: text or bytes} to be put beside it.
        opset_version, pickle_protocol: taken for PyTorch's sake.
    """
    if not isinstance(ep, ExportedProgram):
        raise TypeError(
            f"The 'ep' parameter must be an instance of 'ExportedProgram', got '{type(ep).__name__}' instead."
        )
    files = {
        f"extra/{name}": data.encode() if isinstance(data, str) else bytes(data)
        for name, data in (extra_files or {}).items()
    }
    if not hasattr(f, "write"):
        return _packages.save(ep._traced, f, metadata=ep._metadata(), files=files)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program.moka")
        _packages.save(ep._traced, path, metadata=ep._metadata(), files=files)
        with open(path, "rb") as written:
            shutil.copyfileobj(written, f)


def load(
    f: Any,
    *,
    extra_files: dict[str, Any] | None = None,
    expected_opset_version: Mapping[str, int] | None = None,
) -> ExportedProgram:
    """Read what `save` wrote. Nothing in the file is run until it is called.

    Args:
        extra_files: {name: ""}; the values become the contents of these files.
        expected_opset_version: taken for PyTorch's sake.
    """
    if hasattr(f, "read"):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "program.moka")
            with open(path, "wb") as copy:
                shutil.copyfileobj(f, copy)
            return load(path, extra_files=extra_files)
    traced, metadata = _packages.load_all(f, own=True)
    if extra_files:
        with zipfile.ZipFile(f) as archive:
            for name in extra_files:
                extra_files[name] = archive.read(f"extra/{name}").decode()
    return ExportedProgram._from_package(traced, metadata.get("exported"))


def register_dataclass(cls: type, *, serialized_type_name: str | None = None) -> None:
    """Let loaded programs give instances of a dataclass; recordings know dataclasses by themselves."""
    import dataclasses

    if not dataclasses.is_dataclass(cls):
        raise AssertionError(f"Only dataclasses can be registered with this function: {cls}")
    _register(cls)


def unflatten(module: ExportedProgram, flat_args_adapter: Any = None) -> Any:
    """The program as a Module whose parameters lie in modules, as in the program that was exported."""
    return module.module()


def default_decompositions() -> dict[Any, Any]:
    """Nothing: composite operators are written out by `run_decompositions`."""
    return {}
