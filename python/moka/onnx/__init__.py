"""ONNX models: load and run them, and write Moka's models as ONNX."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _C
from .exporting import Program, export

__all__ = ["Model", "Program", "Trainer", "convert", "export", "load"]

# Types that NumPy knows only through ml_dtypes, and an integer type of the same width.
_NUMBERS = frozenset("?bBhHiIlLqQefdFD")  # NumPy's characters for types that tensors take as they are
_AS_THEY_ARE = frozenset((_C.float32, _C.float64, _C.int64, _C.int32, _C.bool))
_BITS = {"bfloat16": "int16"} | dict.fromkeys(
    (
        "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float6_e2m3fn "
        "float6_e3m2fn float4_e2m1fn uint4 int4 uint2 int2"
    ).split(),
    "uint8",
)


_FORMS = 8  # graphs that one model keeps for inputs of different kinds


class _Form:
    """A graph and what runs it, whole or for some values alone.

    With a source the graph is kept only once somebody asks for it: what runs has the weights in the form that
    it needs, and the graph would hold them a second time.
    """

    def __init__(self, graph: Any = None, *, optimize: bool = True, source: Any = None) -> None:
        self._source, self._graph = source, graph
        if source:
            graph = source.read()
        self.name: str = graph.name
        self.inputs: list[str] = list(graph.inputs)
        self.outputs: list[str] = list(graph.outputs)
        self.input_types: list[str] = list(graph.input_types)
        self.output_types: list[str] = list(graph.output_types)
        self.executable = _C.Executable(graph, optimize=optimize, in_place=source is not None)
        self._fetching: dict[tuple[str, ...], Any] = {}
        if source:
            del graph
            _C._release_cache()  # what packing freed
            source.leave()

    @property
    def graph(self) -> Any:
        if self._graph is None:
            assert self._source
            self._graph = self._source.read()
        return self._graph

    def runner(self, names: Sequence[str] | None) -> Any:
        """What computes these values alone."""
        if names is None or list(names) == self.outputs:
            return self.executable
        known = {**dict(self.graph.values()), **dict.fromkeys(self.graph.outputs)}
        unknown = [name for name in names if name not in known]
        if unknown:
            import difflib

            near = difflib.get_close_matches(unknown[0], known, 3) or self.graph.outputs
            raise ValueError(
                f"run: there is no output or value {unknown[0]!r}; near it are {', '.join(near)}, "
                f"outputs are {', '.join(self.graph.outputs)}"
            )
        key = tuple(names)
        if key not in self._fetching:
            self._fetching[key] = _C.Executable(self.graph.with_outputs(list(names)))
        return self._fetching[key]


class Model:
    """A model that runs: `run` takes arrays or tensors and gives NumPy arrays.

    `graph` is the model as a graph; str(model.graph) shows it. `input_names` and `output_names` are those of
    the file; `inputs` and `outputs` say their types with named sizes, `values` those of everything between.

    A file may leave out ranks or sizes without which there is no graph: such a model gets its graph with the
    inputs of a run, another one for inputs of other ranks. A name that stands for two sizes is no name then.
    """

    def __init__(self, graph: Any, *, optimize: bool = True) -> None:
        self._start(_Form(graph, optimize=optimize))

    def _start(self, form: _Form) -> None:
        self._form: _Form | None = form
        self.input_names, self._input_types = form.inputs, form.input_types
        self.output_names, self._output_types = form.outputs, form.output_types
        self._source: tuple[bytes | str, str] | None = None
        self._made: list[_Form] = []  # for the inputs of runs, the newest first
        self._waits = ""  # why there is no graph yet
        self._lacks_ranks = False  # of inputs: runs use graphs for theirs

    @classmethod
    def _of_source(cls, source: Any) -> Model:
        """A model that reads its graph again when somebody asks for it."""
        model = cls.__new__(cls)
        model._start(_Form(source=source))
        return model

    @classmethod
    def _waiting(cls, deferred: Any, source: tuple[bytes | str, str], why: str) -> Model:
        """A model that has its graph with the first run."""
        model = cls.__new__(cls)
        model._form, model._made, model._source, model._waits = None, [], source, why
        model._lacks_ranks = True
        model.input_names, model._input_types = map(list, zip(*deferred.inputs, strict=True))
        model.output_names, model._output_types = map(list, zip(*deferred.outputs, strict=True))
        return model

    @property
    def graph(self) -> Any:
        """The model as a graph; NotImplementedError before the first run of a model that waits for it."""
        form = self._form or next(iter(self._made), None)
        if form is None:
            raise NotImplementedError(f"{self._waits}\n  The graph is there once the model has run")
        return form.graph

    @property
    def _executable(self) -> Any:
        assert self._form
        return self._form.executable

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs and their types: {"image": "float32[batch, 3, 224, 224]"}."""
        return dict(zip(self.input_names, self._input_types, strict=True))

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs and their types."""
        return dict(zip(self.output_names, self._output_types, strict=True))

    @property
    def values(self) -> dict[str, str]:
        """Everything that `run` can be asked for, in the order in which it is made, and its type."""
        return {**dict(self.graph.values()), **self.outputs}

    def run(
        self,
        inputs: Any = (),
        feeds: Any = None,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> list[Any]:
        """The outputs as NumPy arrays, all of them or those named in `outputs`.

        Args:
            inputs: a dict {name: array}, a list of arrays in the model's order, or one array. An array is
                whatever NumPy makes one of; tensors are taken as they are. What is optional may be missing.
            feeds: the inputs, where the outputs' names come first: `run(None, {"x": array})` as
                onnxruntime and onnx.reference have it.
            outputs: names of the outputs wanted, or of any value between; None for all outputs.
            timeout: seconds after which the run ends with TimeoutError, looked at between steps; None for no
                limit. A loop in a model may go on for ever.
        """
        if feeds is not None:
            if outputs is not None:
                raise TypeError("run: the outputs were named twice")
            inputs, outputs = feeds, inputs
        elif inputs is None:
            inputs = ()
        names = [outputs] if isinstance(outputs, str) else outputs
        return [_to_array(value) for value in self._run(self._in_order(inputs), names, timeout)]

    def _run(self, given: list[Any], names: Sequence[str] | None = None, timeout: float | None = None) -> Any:
        def run(form: _Form) -> Any:
            runner = form.runner(names)
            return runner.run(*given) if timeout is None else runner.run_within(timeout, *given)

        form = self._form
        if form and not self._lacks_ranks:
            try:
                return run(form)
            except RuntimeError:
                if self._source is None or form.executable.takes(*given):
                    raise
        return run(self._form_for(given))

    def _form_for(self, given: list[Any]) -> _Form:
        """A graph that takes these inputs; where there is none, one that says why."""
        for form in self._made:
            if form.executable.takes(*given):
                return form
        assert self._source
        made = _Form(_C._OnnxDeferred(*self._source).read_for(*given))
        if not made.executable.takes(*given):
            return self._form or made
        self._made = [made, *self._made[: _FORMS - 1]]
        return made

    def module(self) -> Any:
        """The model as a Module that can be trained.

        Its parameters and buffers have the names of the file's initializers; calling it takes and gives
        tensors, and gradients reach the parameters. Changes of the parameters are seen by the Module alone.
        """
        from ..jit.module import GraphModule

        return GraphModule(self.graph)

    def compile(self, *, freeze: bool = True) -> Any:
        """The model made ready for inference, as a traced module: parameters become constants and what
        depends on them alone is computed now. `freeze=False` keeps them states."""
        from .. import jit

        traced = jit.TracedModule(self.graph.clone())
        return jit.freeze(traced) if freeze else traced

    def save(self, path: str | os.PathLike[str], **settings: Any) -> None:
        """Write the model: as ONNX with the settings of `export`, or by its ending as a .moka package."""
        if os.fspath(path).endswith(".moka"):
            _C._package_save(self.graph, os.fspath(path), {}, {})
        else:
            export(self, path, **settings)

    def __call__(self, *inputs: Any) -> Any:
        """The outputs as tensors: one, or a tuple."""
        results = self._run(self._in_order(inputs))
        return results[0] if len(results) == 1 else tuple(results)

    def _in_order(self, inputs: Any) -> list[Any]:
        if isinstance(inputs, Mapping):
            unknown = [name for name in inputs if name not in self.input_names]
            optional = {name for name, kind in self.inputs.items() if kind.endswith("?")}
            missing = [name for name in self.input_names if name not in inputs and name not in optional]
            if unknown or missing:
                wrong = f"no input {unknown[0]!r}" if unknown else f"input {missing[0]!r} is not given"
                raise ValueError(f"run: {wrong}; inputs are {', '.join(self.input_names)}")
            given = [inputs.get(name) for name in self.input_names]
        elif isinstance(inputs, (list, tuple)):
            given = list(inputs)
        else:
            given = [inputs]
        if len(given) != len(self.input_names):
            raise ValueError(
                f"run: {len(given)} inputs were given, the model has {len(self.input_names)}: "
                f"{', '.join(self.input_names)}"
            )
        return [_to_value(value, kind) for value, kind in zip(given, self._input_types, strict=True)]

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}: {text}" for name, text in self.inputs.items())
        name = self._form.name if self._form else "waiting for inputs"
        return f"onnx.Model({name}: {inputs} -> {', '.join(self.output_names)})"


class Trainer:
    """A training algorithm that a model brings (TrainingInfoProto), ready to run.

    `step` runs the model and the algorithm on one batch and updates initializers of both; `states` are their
    values. It starts with what the initialization graph of the file gives, if it has one.

    Args:
        source: a path or the bytes of a model.
        algorithm: which one, where the model brings several.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, algorithm: int = 0) -> None:
        given = source if isinstance(source, bytes) else os.fspath(source)
        graph, self._initialization = _C._onnx_load_training(given, algorithm)
        self._source = source
        self._step = Model(graph, optimize=False)
        self.initialize()

    @property
    def inputs(self) -> dict[str, str]:
        """What `step` takes, and the types: inputs of the model and of the algorithm."""
        return self._step.inputs

    @property
    def outputs(self) -> dict[str, str]:
        """What `step` gives, and the types."""
        return self._step.outputs

    @property
    def states(self) -> dict[str, Any]:
        """Everything that training reads and writes, as NumPy arrays by name."""
        return {name: _to_array(self._step._executable.state(name)) for name in self._step.graph.states}

    def initialize(self) -> None:
        """Give the states the first values that the file's initialization graph computes."""
        if self._initialization is not None:
            first = Model(self._initialization)
            for name, value in zip(first.output_names, first._executable.run(), strict=True):
                self._step._executable.set_state(name, value)

    def step(self, inputs: Any = ()) -> list[Any]:
        """Train on one batch: the outputs of the model and of the algorithm as NumPy arrays."""
        return self._step.run(inputs)

    def model(self) -> Model:
        """The model with the parameters as they are now."""
        graph = load(self._source).graph
        for name in graph.states:
            if name in self._step.graph.states:
                graph.set_state(name, self._step._executable.state(name))
        return Model(graph)


def _to_value(value: Any, kind: str) -> Any:
    """What an input of this type takes: a tensor, a list of tensors, or None where it is optional."""
    if kind.endswith("?"):
        return None if value is None else _to_value(value, kind[:-1])
    if kind.startswith("{") and isinstance(value, Mapping):
        return _to_map(value, kind)
    if kind.startswith("[") and isinstance(value, (list, tuple)):
        return [_to_value(item, kind[1:-1]) for item in value]
    tensor = _to_tensor(value)
    if kind.startswith("bfloat16") and tensor.dtype == _C.uint16:  # as onnx before 1.13 has them
        return _C._reinterpret(tensor, "bfloat16")
    return tensor


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
    plain = array.dtype.char in _NUMBERS  # a dtype's name takes longer than all else here
    if not plain and array.dtype.kind in "OUST":  # strings: objects, fixed widths, or NumPy's own
        return _C._string_tensor([_text(item) for item in array.ravel().tolist()], array.shape)
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = array.copy()  # keeps zero dimensions, which ascontiguousarray does not
    if not plain and array.dtype.name in _BITS:  # a type of ml_dtypes
        return _C._reinterpret(_C.from_numpy(array.view(_BITS[array.dtype.name])), array.dtype.name)
    return _C.from_numpy(array)


def _text(item: Any) -> str | bytes:
    if isinstance(item, (str, bytes)):
        return item
    raise TypeError(f"run: an array of objects must hold str, but {type(item).__name__} came")


def _to_array(value: Any) -> Any:
    if isinstance(value, _C.Tensor):
        if value.dtype in _AS_THEY_ARE:
            return value.numpy()
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


def load(source: Any) -> Model:
    """Read an ONNX model from a path, from bytes, from a file opened for reading bytes, or a ModelProto.

    Tensors that the model keeps in files beside it are found when it is loaded by path, inside its folder
    only. Errors name the file, the node and what does not fit.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _load(bytes(source), "model")
    if hasattr(source, "SerializeToString"):
        return _load(source.SerializeToString(), "model")
    if hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise TypeError("onnx.load: the file must be opened for reading bytes, mode 'rb'")
        return _load(data, getattr(source, "name", "model"))
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"onnx.load: a path or the bytes of a model are needed, but {type(source).__name__} came"
        )
    path = os.fspath(source)
    return _load(path, path)


def _load(source: bytes | str, name: str) -> Model:
    try:
        model = Model._of_source(_C._OnnxSource(source, name))
    except NotImplementedError as error:
        deferred = _C._OnnxDeferred(source, name)
        if not deferred.helps:
            raise
        return Model._waiting(deferred, (source, name), str(error))
    model._lacks_ranks = any(
        kind[0] not in "[({" and ("[...]" in kind or "[" not in kind) for kind in model._input_types
    )
    if isinstance(source, str) or model._lacks_ranks or _says_sizes_alike(model):
        model._source = source, name
    return model


def _says_sizes_alike(model: Model) -> bool:
    sizes = [size for kind in model.inputs.values() for size in kind.rstrip("]?").split("[")[-1].split(", ")]
    names = [size for size in sizes if size != "?" and not size.isdigit()]
    return len(set(names)) < len(names)


def convert(
    source: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int,
) -> bytes | None:
    """A model in another opset: written to `path`, or as bytes when there is none.

    Names, weights and nodes that mean the same in both opsets stay as they are; attributes that became inputs
    are moved, and what the other opset says in another way is rewritten.

    Args:
        source: a path, the bytes of a model, or a ModelProto.
        path: where the result goes; tensors that the model keeps beside it go into a file beside that.
        opset: the version of ONNX's operators, 9 to 28, older or newer than the model's.

    Raises NotImplementedError naming the node that the opset cannot say.
    """
    given: Any
    if isinstance(source, (bytes, bytearray, memoryview)):
        given = bytes(source)
    elif hasattr(source, "SerializeToString"):
        given = source.SerializeToString()
    elif isinstance(source, (str, os.PathLike)):
        given = os.fspath(source)
    else:
        raise TypeError(
            f"onnx.convert: a path or the bytes of a model are needed, but {type(source).__name__} came"
        )
    result: bytes | None = _C._onnx_convert(given, int(opset), None if path is None else os.fspath(path))
    return result
