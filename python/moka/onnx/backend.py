"""The interface that ONNX's own test suite drives: prepare, run_model, run_node, supports_device."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx.backend.base import Backend, BackendRep

from . import Model, load

__all__ = ["MokaBackend", "MokaRep", "prepare", "run_model", "run_node", "supports_device"]


class MokaRep(BackendRep):
    """A model that has been prepared; `run` takes a list or dict of arrays."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs as arrays."""
        return tuple(self.model.run(inputs))


class MokaBackend(Backend):
    """Runs ONNX models with Moka. A model is a ModelProto, a path or the bytes of a file."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model is known."""
        try:
            load(model)
        except (NotImplementedError, OSError, RuntimeError, ValueError):
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> MokaRep:
        """Read the model; errors name what is not known."""
        if not cls.supports_device(device):
            raise RuntimeError(f"device {device} is not supported; use CPU")
        return MokaRep(load(model))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Read the model and run it once."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Run one node on the inputs, in the opset given as `opset_version` or the newest.

        Inputs are arrays, lists of arrays for sequences, and None for those that the node leaves out; a dict
        names them.
        """
        from onnx import helper

        names = [name for name in node.input if name]
        if isinstance(inputs, Mapping):
            given = {name: inputs[name] for name in names}
        else:
            values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(values) == len(node.input):  # None stands where a name is empty
                values = [value for value, name in zip(values, node.input, strict=True) if name]
            if len(values) != len(names):
                raise ValueError(f"run_node: {node.op_type} reads {len(names)} inputs, {len(values)} came")
            given = dict(zip(names, values, strict=True))
        infos = [helper.make_value_info(name, _type_of(value)) for name, value in given.items()]
        results = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        newest = {"": onnx.defs.onnx_opset_version(), "ai.onnx": onnx.defs.onnx_opset_version()}
        version = kwargs.get("opset_version", newest.get(node.domain, 0)) or _newest_of(node.domain)
        opsets = [helper.make_opsetid(node.domain, version)]
        if node.domain not in newest:
            opsets.append(helper.make_opsetid("", newest[""]))
        graph = helper.make_graph([node], "node", infos, results)
        return cls.run_model(helper.make_model(graph, opset_imports=opsets), given, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Models run on the CPU."""
        return device.split(":")[0].upper() == "CPU"


def _newest_of(domain: str) -> int:
    versions = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.domain == domain]
    return max(versions, default=1)


def _type_of(value: Any) -> onnx.TypeProto:
    """The type of an input: a tensor, or a sequence of them."""
    import numpy as np
    from onnx import TensorProto, helper

    if isinstance(value, (list, tuple)) and value and isinstance(value[0], np.ndarray):
        element = _type_of(value[0]).tensor_type.elem_type
        return helper.make_sequence_type_proto(helper.make_tensor_type_proto(element, None))
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if array.dtype.kind in "OUS":
        return helper.make_tensor_type_proto(TensorProto.STRING, array.shape)
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


prepare = MokaBackend.prepare
run_model = MokaBackend.run_model
run_node = MokaBackend.run_node
supports_device = MokaBackend.supports_device
