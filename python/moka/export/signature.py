"""What an exported program takes and gives: parameters, buffers, inputs, results and what is written."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from ..jit.trees import Tree, leaves

__all__ = [
    "ConstantArgument",
    "ExportGraphSignature",
    "InputKind",
    "InputSpec",
    "OutputKind",
    "OutputSpec",
    "TensorArgument",
]


@dataclasses.dataclass
class TensorArgument:
    """A tensor of the graph."""

    name: str


@dataclasses.dataclass
class ConstantArgument:
    """A value that the recording kept."""

    name: str
    value: Any


class InputKind(enum.Enum):
    """Where an input comes from."""

    USER_INPUT = enum.auto()
    PARAMETER = enum.auto()
    BUFFER = enum.auto()
    CONSTANT_TENSOR = enum.auto()
    CUSTOM_OBJ = enum.auto()
    TOKEN = enum.auto()


class OutputKind(enum.Enum):
    """What an output is."""

    USER_OUTPUT = enum.auto()
    LOSS_OUTPUT = enum.auto()
    BUFFER_MUTATION = enum.auto()
    PARAMETER_MUTATION = enum.auto()
    GRADIENT_TO_PARAMETER = enum.auto()
    GRADIENT_TO_USER_INPUT = enum.auto()
    USER_INPUT_MUTATION = enum.auto()
    TOKEN = enum.auto()


@dataclasses.dataclass
class InputSpec:
    """One input; `target` is the name of a state."""

    kind: InputKind
    arg: TensorArgument | ConstantArgument
    target: str | None
    persistent: bool | None = None

    def __str__(self) -> str:
        target = "" if self.target is None else f" target='{self.target}'"
        persistent = "" if self.persistent is None else f" persistent={self.persistent}"
        return f"{self.arg.name}: {self.kind.name}{target}{persistent}"


@dataclasses.dataclass
class OutputSpec:
    """One output; `target` is what is written."""

    kind: OutputKind
    arg: TensorArgument | ConstantArgument
    target: str | None

    def __str__(self) -> str:
        target = "" if self.target is None else f" target='{self.target}'"
        return f"{self.arg.name}: {self.kind.name}{target}"


@dataclasses.dataclass
class ExportGraphSignature:
    """All inputs and outputs: states first, then what the user gives; what is written, then results."""

    input_specs: list[InputSpec]
    output_specs: list[OutputSpec]

    def _targets(self, kind: InputKind) -> list[str]:
        return [str(spec.target) for spec in self.input_specs if spec.kind is kind]

    def _inputs_to(self, kind: InputKind) -> Mapping[str, str]:
        return {spec.arg.name: str(spec.target) for spec in self.input_specs if spec.kind is kind}

    def _writes(self, kind: OutputKind) -> Mapping[str, str]:
        return {spec.arg.name: str(spec.target) for spec in self.output_specs if spec.kind is kind}

    @property
    def parameters(self) -> Sequence[str]:
        """Names of parameters."""
        return self._targets(InputKind.PARAMETER)

    @property
    def buffers(self) -> Sequence[str]:
        """Names of buffers."""
        return self._targets(InputKind.BUFFER)

    @property
    def non_persistent_buffers(self) -> Sequence[str]:
        """Names of buffers that are not in the state dict."""
        return [
            str(s.target) for s in self.input_specs if s.kind is InputKind.BUFFER and s.persistent is False
        ]

    @property
    def lifted_tensor_constants(self) -> Sequence[str]:
        """Tensors outside of states: they stand in the graph."""
        return self._targets(InputKind.CONSTANT_TENSOR)

    @property
    def user_inputs(self) -> Sequence[Any]:
        """Names of the user's tensors, and the values between them."""
        return [_name_or_value(s.arg) for s in self.input_specs if s.kind is InputKind.USER_INPUT]

    @property
    def user_outputs(self) -> Sequence[Any]:
        """Names of the results, and the values between them."""
        return [_name_or_value(s.arg) for s in self.output_specs if s.kind is OutputKind.USER_OUTPUT]

    @property
    def inputs_to_parameters(self) -> Mapping[str, str]:
        """{input: parameter}"""
        return self._inputs_to(InputKind.PARAMETER)

    @property
    def inputs_to_buffers(self) -> Mapping[str, str]:
        """{input: buffer}"""
        return self._inputs_to(InputKind.BUFFER)

    @property
    def buffers_to_mutate(self) -> Mapping[str, str]:
        """{output: the buffer that it is written to}"""
        return self._writes(OutputKind.BUFFER_MUTATION)

    @property
    def user_inputs_to_mutate(self) -> Mapping[str, str]:
        """{output: the input that it is written to}"""
        return self._writes(OutputKind.USER_INPUT_MUTATION)

    def __str__(self) -> str:
        inputs = "\n".join(map(str, self.input_specs))
        outputs = "\n".join(map(str, self.output_specs))
        return f"\n# inputs\n{inputs}\n\n# outputs\n{outputs}\n"


def _name_or_value(arg: TensorArgument | ConstantArgument) -> Any:
    return arg.value if isinstance(arg, ConstantArgument) else arg.name


def signature_of(
    graph: Any,
    names: Sequence[str],
    arguments: Sequence[Tree],
    results: Tree | None,
    writes: Sequence[tuple[int, int]],
    hidden: set[str],
) -> ExportGraphSignature:
    """The signature of a graph with states of these names; buffers in `hidden` are not persistent."""
    inputs, outputs = [], []
    parameters = set(graph.parameters)
    for kind in (InputKind.PARAMETER, InputKind.BUFFER):
        for name in names:
            if (name in parameters) is (kind is InputKind.PARAMETER):
                short = ("p_" if kind is InputKind.PARAMETER else "b_") + name.replace(".", "_")
                persistent = None if kind is InputKind.PARAMETER else name not in hidden
                inputs.append(InputSpec(kind, TensorArgument(short), name, persistent))
    for tree in arguments:
        for _, leaf in leaves(tree):
            inputs.append(InputSpec(InputKind.USER_INPUT, _argument(leaf, graph.inputs), None))
    for name in graph.written_states:
        arg = TensorArgument(f"{name.replace('.', '_')}_after")
        outputs.append(OutputSpec(OutputKind.BUFFER_MUTATION, arg, name))
    for output, place in writes:
        arg = TensorArgument(graph.outputs[output])
        outputs.append(OutputSpec(OutputKind.USER_INPUT_MUTATION, arg, graph.inputs[place]))
    for _, leaf in leaves(results) if results is not None else ():
        outputs.append(OutputSpec(OutputKind.USER_OUTPUT, _argument(leaf, graph.outputs), None))
    return ExportGraphSignature(inputs, outputs)


def _argument(leaf: Tree, names: Sequence[str]) -> TensorArgument | ConstantArgument:
    return TensorArgument(names[leaf.value]) if leaf.kind == "tensor" else ConstantArgument("", leaf.value)
