"""Modules and functions become ONNX files."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _C
from ..jit.recording import Recorder as _Recorder
from ..jit.recording import parameter_names as _parameter_names
from ..jit.structure import Arguments as _Arguments

__all__ = ["Program", "export"]

Dynamic = Mapping[str, Mapping[int, Any] | Sequence[int]]
DEFAULT_OPSET = 18


class Program:
    """A model that has been exported: `save` writes it, calling it runs it.

    `model_proto` is the file as the `onnx` package reads it.
    """

    def __init__(self, graph: Any, settings: Mapping[str, Any]) -> None:
        self.graph = graph
        self._settings = dict(settings)

    def save(
        self, destination: str | os.PathLike[str], *, external_data: bool | None = None, **_: Any
    ) -> None:
        """Write the model; its tensors into a file beside it where `external_data` says so."""
        settings = dict(self._settings)
        if external_data is not None:
            settings["external_data"] = external_data
        _C._onnx_save(self.graph, path=os.fspath(destination), **settings)

    def to_bytes(self) -> bytes:
        """The model as the bytes of a file."""
        return _C._onnx_save(self.graph, **self._settings)

    @property
    def model_proto(self) -> Any:
        """The model as an onnx.ModelProto (needs the `onnx` package)."""
        import onnx

        return onnx.load_from_string(self.to_bytes())

    def __call__(self, *inputs: Any) -> Any:
        """The results as a tuple of tensors."""
        return tuple(_C.Executable(self.graph).run(*inputs))

    def __repr__(self) -> str:
        inputs, outputs = ", ".join(self.graph.inputs), ", ".join(self.graph.outputs)
        return f"onnx.Program({self.graph.name}: {inputs} -> {outputs})"


def export(
    model: Any,
    args: Any = None,
    f: str | os.PathLike[str] | Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int | None = None,
    opset_version: int | None = None,
    dynamic_axes: Dynamic | None = None,
    dynamic_shapes: Any = None,
    external_data: bool = False,
    external_threshold: int = 1024,
    metadata: Mapping[str, str] | None = None,
    training: Any = None,
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    export_modules_as_functions: bool | set[type] = False,
    dynamo: bool | None = None,
    path: str | os.PathLike[str] | None = None,
    verbose: bool | None = None,
    do_constant_folding: bool = True,
    verify: bool = False,
    **further: Any,
) -> Any:
    """Write a model as ONNX: into `f`, or as bytes when there is none.

    Args:
        model: a Module or function (traced with `args`), a traced module, a Model, or a graph.
        args: example inputs: a tensor, or a tuple of tensors, numbers, None, lists and dicts; a dict at its
            end holds keyword arguments. `export(traced, path)` works too.
        f: a path, or a file object that is open for writing bytes. `path` means the same.
        kwargs: keyword arguments of the model.
        opset_version: the version of ONNX's operators, 9 to 28 (18). `opset` means the same.
        input_names, output_names: names in the file when the model is traced here.
        dynamic_axes: sizes that may vary, as {input: {dimension: name}} or {input: [dimensions]}.
        dynamic_shapes: the same as torch.export writes it: {argument: {dimension: Dim, name or None}}, or a
            tuple in the order of the arguments. Sizes of one name are one size.
        external_data: put tensors of at least `external_threshold` bytes into a file beside the model; this
            happens by itself where the model would have more than 2 GiB.
        metadata: texts for the file's properties.
        training: a torch.onnx.TrainingMode: EVAL (the default), PRESERVE or TRAINING.
        keep_initializers_as_inputs: list parameters among the inputs, as old files have it.
        export_modules_as_functions: True, or classes of modules: each of these modules, or of the model's
            children, becomes a function of the file (opset 15 or later).
        dynamo: True gives a Program, as torch does, and writes `f` where there is one.
        verify: run the file on the examples and compare; RuntimeError where it differs.

    ONNX computes with no complex numbers: complex inputs, outputs and parameters become real ones with a last
    dimension of size 2, as view_as_real gives them.

    Errors name every operator that the opset cannot say and where the program calls it.
    """
    _check_further(further)
    f = path if f is None else f
    if f is None and isinstance(args, (str, os.PathLike)):
        args, f = None, args
    version = opset_version if opset_version is not None else opset
    version = DEFAULT_OPSET if version is None else int(version)
    lowest, highest = _C._onnx_opsets
    if not lowest <= version <= highest:
        raise ValueError(
            f"onnx.export: opset {version} is not written; choose one from {lowest} to {highest}"
        )
    if not export_params:
        raise NotImplementedError("onnx.export: models are written with their parameters")
    graph, module, dynamic, examples = _graph_of(
        model, args, kwargs, input_names, output_names, dynamic_axes, dynamic_shapes, training
    )
    settings = {
        "opset": version,
        "dynamic": dynamic,
        "metadata": {str(key): str(value) for key, value in (metadata or {}).items()},
        "functions": _function_scopes(module, export_modules_as_functions),
        "external_data": bool(external_data),
        "external_threshold": external_threshold,
        "parameters_as_inputs": bool(keep_initializers_as_inputs),
    }
    data = _C._onnx_save(graph, **settings) if f is None and not dynamo else None
    if f is not None:
        _write(f, graph, settings)
    if verify:
        inputs, wanted = examples or (None, None)
        source = f if isinstance(f, (str, os.PathLike)) else data or _C._onnx_save(graph, **settings)
        _verify(source, graph, inputs, wanted)
    return Program(graph, settings) if dynamo else data


_IGNORED = {
    "operator_export_type",
    "custom_opsets",
    "autograd_inlining",
    "custom_translation_table",
    "report",
    "optimize",
    "profile",
    "dump_exported_program",
    "artifacts_dir",
    "fallback",
    "example_outputs",
    "strip_doc_string",
    "enable_onnx_checker",
    "use_external_data_format",
}


def _check_further(further: Mapping[str, Any]) -> None:
    """Settings of torch that choose among its own ways are taken; others are a mistake."""
    unknown = [name for name in further if name not in _IGNORED]
    if unknown:
        raise TypeError(f"export() got an unexpected keyword argument '{unknown[0]}'")
    if further.get("custom_opsets") or further.get("custom_translation_table"):
        raise NotImplementedError("onnx.export: operators of other domains are not written")


def _write(f: Any, graph: Any, settings: Mapping[str, Any]) -> None:
    if isinstance(f, (str, os.PathLike)):
        _C._onnx_save(graph, path=os.fspath(f), **settings)
    elif hasattr(f, "write"):
        f.write(_C._onnx_save(graph, **settings))
    else:
        raise TypeError(f"onnx.export: f must be a path or a file, but {type(f).__name__} came")


def _graph_of(
    model: Any,
    args: Any,
    kwargs: Mapping[str, Any] | None,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
    dynamic_axes: Dynamic | None,
    dynamic_shapes: Any,
    training: Any,
) -> tuple[Any, Any, dict[str, dict[int, str]], tuple[list[Any], list[Any] | None] | None]:
    """The graph that `model` is or becomes, its module, sizes that are still to be opened, and example inputs
    with the results for them where the model has run."""
    from ..nn import Module

    module = model if isinstance(model, Module) else None
    if module is None and (
        isinstance(model, _C.Graph) or isinstance(getattr(model, "graph", None), _C.Graph)
    ):
        graph = model if isinstance(model, _C.Graph) else model.graph
        dynamic = _named_axes(dynamic_axes or {})
        unknown = [name for name in dynamic if name not in graph.inputs and name not in graph.outputs]
        if unknown:
            raise ValueError(
                f"export: dynamic_axes names {unknown[0]!r}; inputs are {', '.join(graph.inputs)}"
            )
        opened = {name: sizes for name, sizes in dynamic.items() if name in graph.inputs}
        if args is None:
            return graph, None, opened, None
        return graph, None, opened, (list(args) if isinstance(args, (tuple, list)) else [args], None)
    if not callable(model):
        raise TypeError(
            f"export: a module, function, traced module or graph is needed, got {type(model).__name__}"
        )
    if args is None and not kwargs:
        raise TypeError("export: example inputs are needed to trace a module: export(model, args, path)")
    arguments = _arguments_of(model, args, kwargs)
    names = _names(arguments, input_names)
    dynamic = _opened(arguments, names, dynamic_axes, dynamic_shapes)
    mode = int(training) if training is not None else 0  # EVAL, PRESERVE, TRAINING
    recorder = _Recorder(model, arguments, names, None, dynamic)
    with _mode_of(module, mode):
        graph, results = recorder.recorded()
    _name_outputs(graph, output_names)
    unknown = [name for name in dynamic_axes or {} if name not in graph.inputs and name not in graph.outputs]
    if unknown:
        raise ValueError(f"export: dynamic_axes names {unknown[0]!r}; inputs are {', '.join(graph.inputs)}")
    return graph, module, {}, (arguments.tensors, results.tensors)


class _mode_of:
    """Training or evaluation mode for a while."""

    def __init__(self, module: Any, mode: int) -> None:
        self.before = [(m, m.training) for m in module.modules()] if module is not None else []
        self.mode = mode

    def __enter__(self) -> None:
        if self.mode != 1:
            for module, _ in self.before:
                module.training = self.mode == 2

    def __exit__(self, *_: object) -> None:
        for module, training in self.before:
            module.training = training


def _arguments_of(model: Any, args: Any, kwargs: Mapping[str, Any] | None) -> _Arguments:
    """The call that is recorded; a dict at the end of the arguments holds keywords."""
    if args is None:
        args = ()
    elif isinstance(args, _C.Tensor) or not isinstance(args, (tuple, list)):
        args = (args,)
    args, keywords = tuple(args), dict(kwargs or {})
    if args and isinstance(args[-1], dict) and not keywords and not _takes_dict(model, len(args)):
        args, keywords = args[:-1], dict(args[-1])
    return _Arguments(args, keywords, _parameter_names(model))


def _takes_dict(model: Any, count: int) -> bool:
    """Whether the last of `count` arguments is an argument of its own, and no keywords."""
    import inspect

    target = model.forward if hasattr(model, "forward") else model
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return False
    annotation = str(parameters[count - 1].annotation).lower() if len(parameters) >= count else ""
    return "dict" in annotation or "mapping" in annotation


def _names(arguments: _Arguments, given: Sequence[str] | None) -> list[str]:
    """Names of the inputs: those that are given, then those of the arguments."""
    names = list(given or [])
    if len(names) > len(arguments.tensors):
        raise ValueError(f"export: {len(names)} input names for {len(arguments.tensors)} tensors")
    for name in arguments.names[len(names) :]:
        one, count = name, 1
        while one in names:
            one, count = f"{name}_{count}", count + 1
        names.append(one)
    return names


def _name_outputs(graph: Any, given: Sequence[str] | None) -> None:
    if not given:
        return
    names, outputs = list(given), list(graph.outputs)
    if len(names) > len(outputs):
        raise ValueError(f"export: {len(names)} output names for {len(outputs)} results")
    graph.name_outputs(names + outputs[len(names) :])


def _verify(written: Any, graph: Any, inputs: list[Any] | None, wanted: list[Any] | None) -> None:
    """Compare what the file gives with what the model gave, or else with what its graph gives."""
    import numpy as np

    from . import _to_array, load

    if inputs is None:
        raise TypeError("export: verify=True needs example inputs: export(model, args, path, verify=True)")
    results = _C.Executable(graph).run(*inputs) if wanted is None else wanted
    file = load(written)
    found_all = file.run([_parts(tensor) for tensor in inputs])
    arrays = [_to_array(_parts(tensor)) for tensor in results]
    for name, found, expected in zip(file.output_names, found_all, arrays, strict=True):
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise RuntimeError(
                f"export: output {name!r} of the file is {found.dtype}{list(found.shape)}, the model's is "
                f"{expected.dtype}{list(expected.shape)}"
            )
        if found.dtype.kind not in "fV":
            off = np.count_nonzero(found != expected)
        else:
            a, b = found.astype(np.float64), expected.astype(np.float64)
            off = np.count_nonzero(~np.isclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True))
        if off:
            raise RuntimeError(
                f"export: {off} of {expected.size} elements of output {name!r} of the file differ from the "
                "model's by more than 0.1 %"
            )


def _parts(tensor: Any) -> Any:
    """Complex tensors as files have them."""
    tensor = tensor.detach()
    return _C.view_as_real(tensor) if tensor.is_complex() else tensor


def _named_axes(axes: Dynamic) -> dict[str, dict[int, str]]:
    out = {}
    for name, sizes in axes.items():
        pairs = sizes.items() if isinstance(sizes, Mapping) else ((d, f"{name}_dim_{d}") for d in sizes)
        out[name] = {int(dim): str(symbol) for dim, symbol in pairs}
    return out


def _opened(
    arguments: _Arguments, names: list[str], dynamic_axes: Dynamic | None, dynamic_shapes: Any
) -> dict[int, dict[int, str]]:
    """Which dimensions of which inputs may change: {input: {dimension: name}}."""
    out: dict[int, dict[int, str]] = {}
    for name, sizes in _named_axes(dynamic_axes or {}).items():
        if name in names:
            place = names.index(name)
            rank = arguments.tensors[place].dim()
            for dim in sizes:
                if not -rank <= dim < rank:
                    raise ValueError(
                        f"export: input {name!r} has {rank} dimensions, dimension {dim} was to be dynamic"
                    )
            out[place] = {dim % rank: symbol for dim, symbol in sizes.items()}
    if dynamic_shapes is None:
        return out
    for place, sizes in enumerate(_shapes_of_leaves(arguments, names, dynamic_shapes)):
        for dim, symbol in sizes.items():
            out.setdefault(place, {})[dim] = symbol
    return out


def _shapes_of_leaves(arguments: _Arguments, names: list[str], shapes: Any) -> list[dict[int, str]]:
    """dynamic_shapes in the order of the tensors."""
    args, keywords = arguments.rebuilt(arguments.tensors)
    keys = [arguments.positional(i) for i in range(len(args))]
    if isinstance(shapes, Mapping):
        unknown = [key for key in shapes if key not in keys and key not in keywords and key not in names]
        if unknown:
            raise ValueError(
                f"export: dynamic_shapes names {unknown[0]!r}; arguments are {', '.join([*keys, *keywords])}"
            )
        if not any(key in shapes for key in [*keys, *keywords]):  # names of inputs
            pairs = zip(names, arguments.tensors, strict=True)
            return [_sizes_of(shapes.get(name), example) for name, example in pairs]
        by_argument = [shapes.get(key) for key in [*keys, *keywords]]
    else:
        by_argument = [*shapes, *[None] * (len(args) + len(keywords) - len(shapes))]
    out: list[dict[int, str]] = []

    def walk(value: Any, shape: Any) -> None:
        if isinstance(value, _C.Tensor):
            out.append(_sizes_of(shape, value))
        elif isinstance(value, Mapping):
            for key in value:
                walk(value[key], shape.get(key) if isinstance(shape, Mapping) else None)
        elif isinstance(value, (tuple, list)):
            for i, item in enumerate(value):
                walk(item, shape[i] if isinstance(shape, (tuple, list)) and i < len(shape) else None)

    for value, shape in zip([*args, *keywords.values()], by_argument, strict=False):
        walk(value, shape)
    return out


_unnamed = 0


def _sizes_of(shape: Any, example: Any) -> dict[int, str]:
    global _unnamed
    if shape is None:
        return {}
    pairs = shape.items() if isinstance(shape, Mapping) else enumerate(shape)
    out = {}
    for dim, size in pairs:
        if size is None or (isinstance(size, int) and not isinstance(size, bool)):
            continue
        name = (
            size if isinstance(size, str) else getattr(size, "__name__", None) or getattr(size, "name", None)
        )
        if not isinstance(name, str) or name in ("AUTO", "DYNAMIC", "STATIC"):
            if name == "STATIC" or "STATIC" in str(size):
                continue
            _unnamed += 1
            name = f"s{_unnamed}"
        out[dim % max(example.dim(), 1)] = name
    return out


def _function_scopes(module: Any, wanted: bool | set[type]) -> list[str]:
    """The paths of the modules that become functions, outermost only."""
    if not wanted or module is None:
        return []
    if wanted is True:
        return [name for name, _ in module.named_children()]
    out: list[str] = []
    for name, child in module.named_modules():
        if name and type(child) in wanted and not any(name.startswith(f"{outer}.") for outer in out):
            out.append(name)
    return out
