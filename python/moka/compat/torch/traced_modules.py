"""What torch.jit.trace and torch.jit.load give: recorded programs as Modules whose results have gradients."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import moka.jit
from moka import _C
from moka.jit.module import GraphModule, check_inputs
from moka.jit.packages import load_all
from moka.jit.program import TracedModule
from moka.nn import Module, Parameter

from .jit_extras import ScriptModule

__all__ = ["ScriptFunction", "TopLevelTracedModule", "freeze", "load", "save", "trace", "trace_module"]


def _wants_gradient(tensors: Sequence[Any]) -> bool:
    return _C.is_grad_enabled() and any(isinstance(t, _C.Tensor) and t.requires_grad for t in tensors)


class ScriptFunction(TracedModule):
    """A recorded function.

    Where an argument or a state requires grad it runs operator by operator, otherwise as one program.
    """

    def __init__(self, program: TracedModule) -> None:
        super().__init__(program.graph, program._arguments, program._results, keep=program._keep)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self._inputs(args, kwargs)
        if not _wants_gradient([*inputs, *self.graph.states.values()]):
            return super().__call__(*args, **kwargs)
        check_inputs(self.graph, inputs)
        return self._rebuilt(self._interpreted(inputs), inputs)

    @property
    def code(self) -> str:
        """The graph as text."""
        return str(self.graph)

    inlined_graph = property(lambda self: self.graph)


class TopLevelTracedModule(GraphModule, ScriptModule):
    """A recorded Module: its parameters and buffers are those of the Module that was recorded.

    Where gradients are wanted, or parameters have another type now, it runs operator by operator, otherwise
    as one program. `train()` and `eval()` do not change what was recorded.
    """

    def __init__(self, program: TracedModule, training: bool = True, order: Sequence[str] = ()) -> None:
        super().__init__(program.graph, program, share=True, order=order)
        self._shared: dict[str, int] = {}  # where the program has its states
        for name, state in program.graph.states.items():
            owner, last = self._places[name]
            if isinstance(state, Parameter) and last in owner._parameters:
                owner._parameters[last] = state
            self._shared[name] = state.data_ptr()
        for name, method in program.methods.items():
            object.__setattr__(self, name, ScriptFunction(method))
        self.train(training)

    def _in_step(self) -> bool:
        """Whether the program's states are still the Module's."""
        return all(
            getattr(owner, last).data_ptr() == self._shared[name]
            for name, (owner, last) in self._places.items()
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What was recorded."""
        program = self._program
        inputs = program._inputs(args, kwargs)
        own = [getattr(owner, last) for owner, last in self._places.values()]
        moved = not self._in_step()
        if not (moved or _C._is_tracing() or _wants_gradient([*inputs, *own])):
            return program(*args, **kwargs)
        check_inputs(self.graph, inputs, types=not moved)
        return program._rebuilt(self._run(list(inputs)), inputs)

    def save(self, f: Any, _extra_files: Mapping[str, Any] | None = None) -> None:
        """Write the program with its weights as a .moka package."""
        save(self, f, _extra_files)

    def program(self) -> TracedModule:
        """The program with the values that the parameters have now."""
        if self._in_step():
            return self._program
        old = self._program
        graph = old.graph.clone()
        for name, (owner, last) in self._places.items():
            value = getattr(owner, last)
            if value.dtype != graph.states[name].dtype:
                was = graph.states[name].dtype
                raise RuntimeError(
                    f"a recorded program keeps the types of its states: {name!r} was {was} and is "
                    f"{value.dtype} now; trace the Module again"
                )
            graph._set_state(name, value.detach(), isinstance(value, Parameter))
        return TracedModule(graph, old._arguments, old._results, keep=old._keep)

    def __deepcopy__(self, memo: dict[int, Any]) -> TopLevelTracedModule:
        old = self.program()
        graph = old.graph.clone()
        for name, state in old.graph.states.items():
            graph._set_state(name, state.detach().clone(), name in set(graph.parameters))
        program = TracedModule(graph, old._arguments, old._results, keep=old._keep)
        made = memo[id(self)] = TopLevelTracedModule(program, self.training)
        return made

    @property
    def original_name(self) -> str:
        """The name of the recorded class."""
        return self.graph.name

    @property
    def code(self) -> str:
        """The graph as text."""
        return str(self.graph)

    inlined_graph = property(lambda self: self.graph)


def _of_module(program: TracedModule, module: Module) -> TopLevelTracedModule:
    names = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    return TopLevelTracedModule(program, module.training, names)


def trace(func: Callable[..., Any], example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """A Module or function as a program; arguments as moka.jit.trace has them, and PyTorch's own."""
    for name in ("_force_outplace", "_module_class", "_compilation_unit", "_store_inputs"):
        options.pop(name, None)
    if isinstance(func, (TopLevelTracedModule, ScriptFunction)):
        return func
    program = moka.jit.trace(func, example_inputs, *args, **options)
    return _of_module(program, func) if isinstance(func, Module) else ScriptFunction(program)


def trace_module(mod: Any, inputs: Mapping[str, Any], *args: Any, **options: Any) -> TopLevelTracedModule:
    """Several methods of a Module, as moka.jit.trace_module has it."""
    return _of_module(moka.jit.trace_module(mod, inputs, *args, **options), mod)


def _program_of(m: Any, name: str) -> TracedModule:
    if isinstance(m, TopLevelTracedModule):
        return m.program()
    if isinstance(m, TracedModule):
        return m
    raise TypeError(
        f"torch.jit.{name}: a recording of torch.jit.trace is needed, but {type(m).__name__} came; Moka "
        "compiles no Python code"
    )


def freeze(
    mod: Any, preserved_attrs: Sequence[str] | None = None, optimize_numerics: bool = True
) -> TopLevelTracedModule:
    """A copy for inference with the states as constants, as moka.jit.freeze."""
    if getattr(mod, "training", False):
        raise RuntimeError(
            "torch.jit.freeze: Freezing is currently only implemented for modules in eval mode. Please call "
            ".eval() on your module before freezing."
        )
    return TopLevelTracedModule(moka.jit.freeze(_program_of(mod, "freeze")), training=False)


def save(m: Any, f: Any, _extra_files: Mapping[str, Any] | None = None) -> None:
    """Write a recording with its weights as a .moka package, to a path or a file."""
    texts = {k: v.encode() if isinstance(v, str) else bytes(v) for k, v in (_extra_files or {}).items()}
    program = _program_of(m, "save")
    if not hasattr(f, "write"):
        return moka.jit.save(program, f, files=texts)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program.moka")
        moka.jit.save(program, path, files=texts)
        with open(path, "rb") as file:
            f.write(file.read())
    return None


def load(
    f: Any, map_location: Any = None, _extra_files: dict[str, Any] | None = None, **_: Any
) -> TopLevelTracedModule:
    """Read a .moka package from a path or a file; the result is in evaluation mode.

    The values of `_extra_files` become the bytes of the files that its keys name.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.fspath(f) if not hasattr(f, "read") else os.path.join(folder, "program.moka")
        if hasattr(f, "read"):
            with open(path, "wb") as file:
                file.write(f.read())
        program, _metadata = load_all(path, own=True)
        if _extra_files:
            with zipfile.ZipFile(path) as package:
                present = set(package.namelist())
                for name in _extra_files:
                    _extra_files[name] = package.read(name) if name in present else b""
    return TopLevelTracedModule(program, training=False)
