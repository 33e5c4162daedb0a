"""The interface that ONNX's own test suite drives: prepare, run_model, run_node, supports_device."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

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
    """Runs ONNX models with Moka."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model is known."""
        try:
            load(model.SerializeToString())
        except (NotImplementedError, OSError, RuntimeError, ValueError):
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> MokaRep:
        """Read the model; errors name what is not known."""
        if not cls.supports_device(device):
            raise RuntimeError(f"device {device} is not supported; use CPU")
        return MokaRep(load(model.SerializeToString()))

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Read the model and run it once."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Run one node on the inputs, in the opset given as `opset_version` or the newest."""
        import numpy as np
        from onnx import helper

        arrays = [np.asarray(value) for value in inputs]
        names = [name for name in node.input if name]
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        results = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        opset = helper.make_opsetid(node.domain, kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        graph = helper.make_graph([node], "node", values, results)
        return cls.run_model(helper.make_model(graph, opset_imports=[opset]), arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Models run on the CPU."""
        return device.split(":")[0] == "CPU"


prepare = MokaBackend.prepare
run_model = MokaBackend.run_model
run_node = MokaBackend.run_node
supports_device = MokaBackend.supports_device
