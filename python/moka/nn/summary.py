"""A table of a module's layers: output shapes, parameters, multiply-adds, bytes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any, NamedTuple

from moka._C import Tensor
from moka.autograd import no_grad

from .convolution import _Convolution
from .linear import Linear
from .module import Module

__all__ = ["LayerSummary", "Summary", "summarize"]


class LayerSummary(NamedTuple):
    """One line: a module, what it gave, what it holds itself, and the multiply-adds of its own arithmetic."""

    name: str
    kind: str
    depth: int
    output_shape: tuple[int, ...] | None
    parameters: int
    trainable: int
    multiply_adds: int


class Summary:
    """The lines and totals of a model; its text is a table."""

    def __init__(
        self, layers: list[LayerSummary], total: int, trainable: int, size: int, activations: int
    ) -> None:
        self.layers = layers
        self.parameters = total
        self.trainable = trainable
        self.bytes = size
        self.activation_bytes = activations
        self.multiply_adds = sum(layer.multiply_adds for layer in layers)

    def __repr__(self) -> str:
        rows = [("layer", "output shape", "parameters", "multiply-adds")]
        for layer in self.layers:
            label = "  " * layer.depth + (f"{layer.name} ({layer.kind})" if layer.name else layer.kind)
            shape = "-" if layer.output_shape is None else str(list(layer.output_shape))
            numbers = (f"{n:,}" if n else "-" for n in (layer.parameters, layer.multiply_adds))
            rows.append((label, shape, *numbers))  # type: ignore[arg-type]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip()
            for a, b, c, d in rows
        ]
        rule = "-" * max(map(len, lines))
        lines = [lines[0], rule, *lines[1:], rule]
        lines.append(
            f"{self.parameters:,} parameters ({self.trainable:,} trained), {self.bytes / 1e6:,.2f} MB; "
            f"{self.multiply_adds:,} multiply-adds; outputs {self.activation_bytes / 1e6:,.2f} MB"
        )
        return "\n".join(lines)


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (tuple, list)):
        return next((found for item in value if (found := _first_tensor(item)) is not None), None)
    return None


def _multiply_adds(module: Module, output: Tensor | None) -> int:
    if output is None:
        return 0
    if isinstance(module, Linear):
        return output.numel() * module.in_features
    if isinstance(module, _Convolution):
        return output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
    return 0


def summarize(model: Module, inputs: tuple[Any, ...]) -> Summary:
    """Run `model(*inputs)` once in evaluation mode without gradients, and note what every module gave."""
    outputs: dict[int, Tensor | None] = {}
    work: dict[int, int] = {}

    def note(module: Module, _args: Any, output: Any) -> None:
        outputs[id(module)] = tensor = _first_tensor(output)
        work[id(module)] = work.get(id(module), 0) + _multiply_adds(module, tensor)

    modes = [(module, module.training) for module in model.modules()]
    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        model.eval()
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode

    layers = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        output = outputs.get(id(module))
        layers.append(
            LayerSummary(
                name.rpartition(".")[2],
                type(module).__name__,
                name.count(".") + 1 if name else 0,
                None if output is None else tuple(output.shape),
                sum(p.numel() for p in own),
                sum(p.numel() for p in own if p.requires_grad),
                work.get(id(module), 0),
            )
        )
    everything = [*model.parameters(), *model.buffers()]
    leaves = [out for m in model.modules() if not m._modules and (out := outputs.get(id(m))) is not None]
    return Summary(
        layers,
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        sum(t.numel() * t.element_size() for t in everything),
        sum(t.numel() * t.element_size() for t in leaves),
    )
