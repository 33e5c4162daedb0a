"""Recorded programs as .moka packages."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from .. import _C
from .program import TracedModule
from .structure import Arguments, read_results
from .trees import write

__all__ = ["load", "save"]


def save(
    traced: TracedModule,
    path: str | os.PathLike[str],
    *,
    onnx_view: bool = True,
    metadata: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write a graph with its weights and its methods as a .moka package, which `load` and the native
    predictor read. A program that needs Python is refused with the lines that do.

    Args:
        onnx_view: put an ONNX form beside it, so that graph viewers open the package; left out
            where ONNX cannot say what the graph does.
        metadata, files: texts and files of one's own.
    """
    programs = {traced.graph.name: traced, **traced.methods}
    if len(programs) != 1 + len(traced.methods):
        raise ValueError(f"save: a method has the name of the graph, {traced.graph.name!r}")
    needing = [segment for one in programs.values() for segment in one.python_segments]
    if needing:
        lines = "".join(f"\n  {segment}" for segment in needing)
        raise NotImplementedError(f"save: a package runs without Python, but this program does not:{lines}")
    extra = dict(files or {})
    if onnx_view:
        try:
            extra["model.onnx"] = _C._onnx_save(traced.graph, 18, {})
        except NotImplementedError:
            pass
    texts = dict(metadata or {})
    for name, one in programs.items():
        mark = "" if one is traced else f" of {name}"
        if one._results is not None:
            texts[f"results{mark}"] = json.dumps(write(one._results))
        if one._arguments is not None:
            texts[f"arguments{mark}"] = one._arguments.text()
    graphs = {name: one.graph for name, one in programs.items()}
    _C._program_save(graphs, traced.graph.name, os.fspath(path), texts, extra)


def load(path: str | os.PathLike[str]) -> TracedModule:
    """Read a .moka package; the result is callable. Nothing in the file is run until it is called."""
    return load_all(path)[0]


def load_all(path: str | os.PathLike[str], own: bool = False) -> tuple[TracedModule, dict[str, str]]:
    """The program of a package and the package's metadata; `own`: its states are no views of the file."""
    graphs, main, metadata = _C._program_load(os.fspath(path))
    programs = {}
    copies: dict[int, Any] = {}  # what methods share they share again
    written = {name for graph in graphs.values() for name in graph.written_states}
    for name, graph in graphs.items():
        mark = "" if name == main else f" of {name}"
        for state, value in graph.states.items():
            if own or state in written:
                copy = copies.setdefault(value._storage_id(), value.clone())
                graph._set_state(state, copy, False)
        arguments = metadata.get(f"arguments{mark}")
        taken = None if arguments is None else Arguments.from_text(arguments, len(graph.inputs))
        results = read_results(metadata.get(f"results{mark}"), len(graph.outputs))
        programs[name] = TracedModule(graph, taken, results)
    for name, program in programs.items():
        if name != main and not hasattr(programs[main], name):
            programs[main].add_method(name, program)
    return programs[main], metadata
