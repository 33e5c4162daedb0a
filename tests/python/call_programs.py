"""Programs as lists of calls whose arguments are earlier values: what random_graphs makes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import moka
from moka import nn

__all__ = ["Program", "Ref", "Step", "flat_tensors"]


@dataclass(frozen=True)
class Ref:
    """A value of the program by its number, or a weight by its name."""

    index: int
    weight: str = ""


@dataclass
class Step:
    """One call; its tensors become the next values."""

    text: str
    call: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, program: Program, values: list[Any]) -> Iterator[Any]:
        return flat_tensors(
            self.call(*_bound(self.args, program, values), **_bound(self.kwargs, program, values))
        )


def _bound(item: Any, program: Program, values: list[Any]) -> Any:
    if isinstance(item, Ref):
        return getattr(program, item.weight) if item.weight else values[item.index]
    if isinstance(item, dict):
        return {key: _bound(value, program, values) for key, value in item.items()}
    return [_bound(value, program, values) for value in item] if isinstance(item, list) else item


def flat_tensors(result: Any) -> Iterator[Any]:
    """The tensors of a result, whatever its form."""
    if isinstance(result, moka.Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from flat_tensors(item)


class Program(nn.Module):
    """Inputs and the results of the steps are its values; some of them it returns.

    `noise` moves every result by that share of its size: what then changes much is no matter of rounding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Any] = []
        self.steps: list[Step] = []
        self.results: list[Ref] = []
        self.states: dict[str, Any] = {}  # the first values of what the program writes
        self.noise = 0.0

    def reset(self) -> None:
        """States as they were before the first run."""
        for name, value in self.states.items():
            getattr(self, name).copy_(value)

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        values = self.values_of(inputs)
        return tuple(_bound(self.results, self, values))

    def values_of(self, inputs: Any) -> list[Any]:
        """All values."""
        values = list(inputs)
        rng = np.random.default_rng(1)
        for step in self.steps:
            made = list(step.run(self, values))
            if self.noise:
                for value in made:
                    if value.is_floating_point() and value.numel():
                        shifts = rng.uniform(-self.noise, self.noise, tuple(value.shape))
                        value.mul_(moka.tensor(1 + shifts, dtype=value.dtype))
            values += made
        return values

    def text(self) -> str:
        """The program in words."""
        lines = [f"%{i} = input {list(v.shape)} {v.dtype}" for i, v in enumerate(self.inputs)]
        values: list[Any] = [value.clone() for value in self.inputs]
        for step in self.steps:
            made = list(step.run(self, values))
            names = ", ".join(f"%{len(values) + i}" for i in range(len(made)))
            lines.append(f"{names} = {step.text}{_shown(step.args)} {_shown(step.kwargs)}")
            values += made
        return "\n".join([*lines, f"return {_shown(self.results)}"])


def _shown(item: Any) -> str:
    if isinstance(item, Ref):
        return item.weight or f"%{item.index}"
    if isinstance(item, dict):
        return ", ".join(f"{key}={_shown(value)}" for key, value in item.items())
    if isinstance(item, list):
        return f"({', '.join(_shown(value) for value in item)})"
    return repr(item)
