"""The parameters, gradients and loss on which optimizers are compared with recorded ways of torch."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

STEPS = 20
SHAPES = {"default": [(3, 4), (5,), (2, 3, 2)], "Muon": [(3, 4), (5, 2)], "SparseAdam": [(6, 3), (4, 2)]}


def shapes(kind: str) -> list[tuple[int, ...]]:
    return SHAPES.get(kind, SHAPES["default"])


def number_type(kind: str) -> str:
    """L-BFGS magnifies rounding over its many iterations; it goes in double precision."""
    return "float64" if kind == "LBFGS" else "float32"


def wave(shape: tuple[int, ...], phase: float, scale: float = 1.0) -> list[float]:
    """Numbers that look random and are the same on every machine (to a last bit or two)."""
    return [scale * math.sin(12.9898 * (i + 1) + 78.233 * phase) for i in range(math.prod(shape))]


def gradient(kind: str, place: int, shape: tuple[int, ...], step: int) -> list[float]:
    """The gradient of parameter `place` in a step; rows are left out for SparseAdam."""
    values = wave(shape, 1 + place + 0.37 * step, 0.5 + 0.1 * place)
    if kind == "SparseAdam":
        width = shape[1]
        values = [v if (i // width + step + place) % 3 else 0.0 for i, v in enumerate(values)]
    return values


def loss(parameters):
    """A curved valley for LBFGS (Rosenbrock's function along all elements, and a bowl)."""
    total = None
    for parameter in parameters:
        flat = parameter.reshape(-1)
        left, right = flat[:-1], flat[1:]
        term = ((right - left * left) * (right - left * left)).sum() * 2 + ((1 - left) * (1 - left)).sum()
        term = term + 0.1 * (flat * flat * flat * flat).sum()
        total = term if total is None else total + term
    return total
