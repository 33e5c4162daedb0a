"""Caffe2 models: init_net.pb and predict_net.pb, in and out."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _C
from .atomic import replace_file as _replace_file
from .onnx import Model

__all__ = ["export", "load"]

Path_ = str | os.PathLike[str]
InputType = tuple[Any, Sequence[int | str | None] | None]


def load(
    init_net: Path_ | bytes, predict_net: Path_ | bytes, inputs: Mapping[str, InputType] | None = None
) -> Model:
    """Read a pair of nets from paths or bytes; the result runs like an ONNX model: `load(...).run([array])`.

    Args:
        inputs: what NetDef does not say: {name: (dtype, sizes)}, sizes being numbers, names or None for open
            ones. Blobs named here are inputs even if the init net fills them.
    """
    types = dict(inputs or {})
    if not isinstance(init_net, bytes) and not isinstance(predict_net, bytes):
        return Model(_C._netdef_load_files(os.fspath(init_net), os.fspath(predict_net), types))
    init, predict = (
        net if isinstance(net, bytes) else Path(net).read_bytes() for net in (init_net, predict_net)
    )
    return Model(_C._netdef_load(init, predict, types))


def export(
    model: Any,
    args: Any = None,
    init_net: Path_ | None = None,
    predict_net: Path_ | None = None,
    *,
    name: str = "",
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> tuple[bytes, bytes] | None:
    """Write a model as init_net.pb (the parameters) and predict_net.pb (the operators).

    Args:
        model: a Module or function (traced with `args`, in evaluation mode), a traced module, or a graph.
        args: example inputs for tracing; None for what is a graph already.
        init_net, predict_net: paths; without them the bytes of both are returned.
        name: of the net; the graph's name when empty.

    Errors name every operator that Caffe2 does not have and where the program calls it.
    """
    if (init_net is None) != (predict_net is None):
        raise ValueError("caffe2.export: give both paths or none")
    graph = _graph_of(model, args, input_names, output_names)
    init, predict = _C._netdef_save(graph, name)
    if init_net is None or predict_net is None:
        return init, predict
    _replace_file(init_net, [init], "export")
    _replace_file(predict_net, [predict], "export")
    return None


def _graph_of(
    model: Any, args: Any, input_names: Sequence[str] | None, output_names: Sequence[str] | None
) -> Any:
    """The graph that `model` is or becomes; the first size of its inputs stays open where it can."""
    if isinstance(model, _C.Graph):
        return model
    if isinstance(getattr(model, "graph", None), _C.Graph):
        return model.graph
    if not callable(model):
        raise TypeError(
            f"export: a module, function, traced module or graph is needed, got {type(model).__name__}"
        )
    if args is None:
        raise TypeError("export: example inputs are needed to trace a module: export(model, args, ...)")
    from . import jit

    training = bool(getattr(model, "training", False))
    if training:
        model.eval()
    try:
        return jit.trace(model, args, input_names=input_names, output_names=output_names).graph
    finally:
        if training:
            model.train()
