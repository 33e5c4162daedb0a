"""Small models shared by the tests of formats and the fuzzers' seeds."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IR_OF", "make_model", "one_node"]

IR_OF = {6: 3, 7: 3, 9: 4, 11: 6, 12: 7, 13: 7, 15: 8, 18: 8, 20: 9, 21: 10, 23: 11, 24: 12, 26: 13, 28: 14}


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    initializers: Mapping[str, Any] | None = None,
    opset: int = 18,
    dtypes: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model of float32 inputs (other types in `dtypes`) in an opset and its IR."""
    kinds = dtypes or {}
    values = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
        for name, shape in inputs.items()
    ]
    tensors = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in (initializers or {}).items()
    ]
    if opset < 9:  # before IR 4 every initializer was an input too
        values += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(list(nodes), "model", values, results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = IR_OF[opset]
    return onnx.shape_inference.infer_shapes(model)


def one_node(
    op: str,
    shapes: Sequence[Sequence[int | str]],
    opset: int = 18,
    initializers: Mapping[str, Any] | None = None,
    outputs: int = 1,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node; inputs x0, x1, ... and then the initializers in order."""
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)}
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, [*inputs, *(initializers or {})], names, name=f"the_{op}", **attributes)
    return make_model([node], inputs, names, initializers, opset)
