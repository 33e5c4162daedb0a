"""Names of torch.onnx by which packages teach torch's exporter their operators; Moka's exporter reads its
own table.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from moka._C import Tensor
from moka.onnx import Program as ONNXProgram

from .refusing import refused_class, refused_function
from .root_switches import _shape_as_tensor

__all__ = [
    "ExportOptions",
    "ONNXProgram",
    "OperatorExportTypes",
    "TensorProtoDataType",
    "TrainingMode",
    "dynamo_export",
    "is_in_onnx_export",
    "parse_args",
    "register_custom_op_symbolic",
    "select_model_mode_for_export",
    "shape_as_tensor",
    "unregister_custom_op_symbolic",
]

_WHY = "Moka's exporter writes a recorded run; use torch.onnx.export with example inputs"


class TrainingMode(enum.IntEnum):
    """The mode in which a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.IntEnum):
    """How torch writes operators that ONNX lacks."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


class TensorProtoDataType(enum.IntEnum):
    """ONNX's numbers for types of elements."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16


ExportOptions = refused_class("torch.onnx.ExportOptions", _WHY)
dynamo_export = refused_function("torch.onnx.dynamo_export", _WHY)
select_model_mode_for_export = refused_function("torch.onnx.select_model_mode_for_export", _WHY)


def is_in_onnx_export() -> bool:
    """Whether a run is being recorded for a file."""
    from moka import jit

    return jit.is_tracing()


def shape_as_tensor(x: Tensor) -> Tensor:
    """The sizes as a tensor."""
    return _shape_as_tensor(x)


def parse_args(*arg_descriptors: Any) -> Callable[[Any], Any]:
    """A decorator that gives the function back; it is never called."""
    return lambda function: function


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Kept out: only operators of Moka are exported, and those it knows how to write."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Nothing: none is registered."""


def __getattr__(name: str) -> Any:
    # Functions of symbolic_opset7 to 20 are for torch's exporter only.
    if name.startswith("__") or name[:1].isupper():
        raise AttributeError(name)
    return refused_function(f"torch.onnx.symbolic_opset.{name}", _WHY)
