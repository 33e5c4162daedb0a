"""ONNX models: load and run them, and write Moka's models as ONNX."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _C
from .. import jit as _jit
from ..atomic import replace_file as _replace_file

__all__ = ["Model", "export", "load"]

# Types that NumPy knows only through ml_dtypes, and an integer type of the same width.
_BITS = {"bfloat16": "int16"} | dict.fromkeys(
    (
        "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float6_e2m3fn "
        "float6_e3m2fn float4_e2m1fn uint4 int4 uint2 int2"
    ).split(),
    "uint8",
)
Dynamic = Mapping[str, Mapping[int, str] | Sequence[int]]


class Model:
    """A model that runs: `run` takes arrays or tensors and gives NumPy arrays.

    `graph` is the model as a graph; str(model.graph) shows it. `input_names` and `output_names` are those of
    the file.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.input_names: list[str] = list(graph.inputs)
        self.output_names: list[str] = list(graph.outputs)
        self._executable = _C.Executable(graph)

    def run(self, inputs: Any = (), *, outputs: Sequence[str] | None = None) -> list[Any]:
        """The outputs as NumPy arrays, all of them or those named in `outputs`.

        Args:
            inputs: a dict {name: array}, a list of arrays in the model's order, or one array. An array is
                whatever NumPy makes one of; tensors are taken as they are.
            outputs: names of the outputs wanted; None for all.
        """
        results = [_to_array(value) for value in self._executable.run(*self._in_order(inputs))]
        if outputs is None:
            return results
        unknown = [name for name in outputs if name not in self.output_names]
        if unknown:
            raise ValueError(
                f"run: there is no output {unknown[0]!r}; outputs are {', '.join(self.output_names)}"
            )
        return [results[self.output_names.index(name)] for name in outputs]

    def __call__(self, *inputs: Any) -> Any:
        """The outputs as tensors: one, or a tuple."""
        results = self._executable.run(*self._in_order(inputs))
        return results[0] if len(results) == 1 else tuple(results)

    def _in_order(self, inputs: Any) -> list[Any]:
        if isinstance(inputs, Mapping):
            unknown = [name for name in inputs if name not in self.input_names]
            missing = [name for name in self.input_names if name not in inputs]
            if unknown or missing:
                wrong = f"no input {unknown[0]!r}" if unknown else f"input {missing[0]!r} is not given"
                raise ValueError(f"run: {wrong}; inputs are {', '.join(self.input_names)}")
            given = [inputs[name] for name in self.input_names]
        elif isinstance(inputs, (list, tuple)):
            given = list(inputs)
        else:
            given = [inputs]
        if len(given) != len(self.input_names):
            raise ValueError(
                f"run: {len(given)} inputs were given, the model has {len(self.input_names)}: "
                f"{', '.join(self.input_names)}"
            )
        return [_to_value(value, kind) for value, kind in zip(given, self.graph.input_types, strict=True)]

    def __repr__(self) -> str:
        pairs = zip(self.input_names, self.graph.input_types, strict=True)
        inputs = ", ".join(f"{name}: {text}" for name, text in pairs)
        return f"onnx.Model({self.graph.name}: {inputs} -> {', '.join(self.output_names)})"


def _to_value(value: Any, kind: str) -> Any:
    """What an input of this type takes: a tensor, a list of tensors, or None where it is optional."""
    if kind.endswith("?"):
        return None if value is None else _to_value(value, kind[:-1])
    if kind.startswith("{") and isinstance(value, Mapping):
        return _to_map(value, kind)
    if kind.startswith("[") and isinstance(value, (list, tuple)):
        return [_to_value(item, kind[1:-1]) for item in value]
    return _to_tensor(value)


def _to_map(value: Mapping[Any, Any], kind: str) -> dict[str, Any]:
    """A map as one tensor of its keys and one of its values, with the types that the model declares."""
    import numpy as np

    types = [part.strip().split("[")[0] for part in kind[1:-1].split(":", 1)]
    parts = []
    for name, items in zip(types, (list(value.keys()), list(value.values())), strict=True):
        array = np.array([np.asarray(item).item() for item in items], dtype=object)
        parts.append(_to_tensor(array if name.startswith("string") else array.astype(name)))
    return {"keys": parts[0], "values": parts[1]}


def _to_tensor(value: Any) -> Any:
    if isinstance(value, _C.Tensor):
        return value
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "OUS" or array.dtype.kind == "T":  # strings: objects, fixed widths, or NumPy's own
        return _C._string_tensor([_text(item) for item in array.ravel().tolist()], array.shape)
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = array.copy()  # keeps zero dimensions, which ascontiguousarray does not
    if array.dtype.name in _BITS:  # a type of ml_dtypes
        return _C._reinterpret(_C.from_numpy(array.view(_BITS[array.dtype.name])), array.dtype.name)
    return _C.from_numpy(array)


def _text(item: Any) -> str | bytes:
    if isinstance(item, (str, bytes)):
        return item
    raise TypeError(f"run: an array of objects must hold str, but {type(item).__name__} came")


def _to_array(value: Any) -> Any:
    if isinstance(value, _C.Tensor):
        name = str(value.dtype).removeprefix("moka.")
        if name == "string":
            import numpy as np

            array = np.empty(value.numel(), dtype=object)
            array[:] = value.reshape(-1).tolist()
            return array.reshape(tuple(value.shape))
        if name in _BITS:
            import ml_dtypes

            return _C._reinterpret(value, _BITS[name]).numpy().view(getattr(ml_dtypes, name))
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return [_to_array(item) for item in value]
    return value


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Model:
    """Read an ONNX model from a path or from bytes.

    Tensors that the model keeps in files beside it are found when it is loaded by path, inside its folder
    only. Errors name the file, the node and what does not fit.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Model(_C._onnx_load_bytes(bytes(source), "model"))
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"onnx.load: a path or the bytes of a model are needed, but {type(source).__name__} came"
        )
    return Model(_C._onnx_load(os.fspath(source)))


def export(
    model: Any,
    args: Any = None,
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int = 18,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Dynamic | None = None,
) -> bytes | None:
    """Write a model as ONNX: into `path`, or as bytes when there is none.

    Args:
        model: a Module or function (traced with `args`, in evaluation mode), a traced module, a Model, or a
            graph.
        args: example inputs for tracing: a tensor or a tuple of tensors. `export(traced, path)` works too.
        opset: the version of ONNX's operators, 13 to 28.
        input_names, output_names: names in the file when the model is traced here.
        dynamic_axes: sizes that may vary, as {input: {dimension: name}} or {input: [dimensions]}.

    Errors name every operator that the opset cannot say and where the program calls it.
    """
    if path is None and isinstance(args, (str, os.PathLike)):
        args, path = None, args
    lowest, highest = _C._onnx_opsets
    if not lowest <= opset <= highest:
        raise ValueError(f"onnx.export: opset {opset} is not written; choose one from {lowest} to {highest}")
    dynamic = _dynamic_sizes(dynamic_axes or {})
    graph = _graph_of(model, args, input_names, output_names, dynamic)
    inputs = set(graph.inputs)
    data = _C._onnx_save(graph, opset, {name: sizes for name, sizes in dynamic.items() if name in inputs})
    if path is None:
        return data
    _replace_file(path, [data], "export")
    return None


def _dynamic_sizes(axes: Dynamic) -> dict[str, dict[int, str]]:
    out = {}
    for name, sizes in axes.items():
        pairs = sizes.items() if isinstance(sizes, Mapping) else ((d, f"{name}_dim_{d}") for d in sizes)
        out[name] = {int(dim): str(symbol) for dim, symbol in pairs}
    return out


def _graph_of(
    model: Any,
    args: Any,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
    dynamic: Mapping[str, Mapping[int, str]],
) -> Any:
    """The graph that `model` is or becomes."""
    if isinstance(model, _C.Graph):
        return model
    if isinstance(getattr(model, "graph", None), _C.Graph):
        return model.graph
    if not callable(model):
        raise TypeError(
            f"export: a module, function, traced module or graph is needed, got {type(model).__name__}"
        )
    if args is None:
        raise TypeError("export: example inputs are needed to trace a module: export(model, args, path)")
    training = bool(getattr(model, "training", False))
    if training:
        model.eval()
    try:
        names = list(input_names) if input_names is not None else None
        traced = _jit.trace(model, args, input_names=names, output_names=output_names)
    finally:
        if training:
            model.train()
    unknown = [name for name in dynamic if name not in traced.graph.inputs]
    outputs = list(traced.graph.outputs)
    if any(name not in outputs for name in unknown):
        wrong = next(name for name in unknown if name not in outputs)
        raise ValueError(f"export: dynamic_axes names {wrong!r}; inputs are {', '.join(traced.graph.inputs)}")
    return traced.graph
