"""Random shapes, numbers and tensors as text."""
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one call a line

from __future__ import annotations

import random
from typing import Any

FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTS = ["int64", "int32", "int16", "int8", "uint8"]
WIDE_UNSIGNED = ["uint16", "uint32", "uint64"]
COMPLEX = ["complex64", "complex128"]
ALL = [*FLOATS, *INTS, "bool", *COMPLEX]
LIMITS = {"int64": 63, "int32": 31, "int16": 15, "int8": 7, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
CORNERS = {
    "float32": ["inf", "-inf", "nan", "-0.0", "0.0", "1e-40", "-1e-40", "3.4028234e38", "1.1754944e-38", "1e-45"],
    "float64": ["inf", "-inf", "nan", "-0.0", "0.0", "1e-310", "-1e-310", "1.7976931348623157e308", "2.2250738585072014e-308", "5e-324"],
    "float16": ["inf", "-inf", "nan", "-0.0", "0.0", "65504.0", "6e-08", "6.104e-05", "-65504.0"],
    "bfloat16": ["inf", "-inf", "nan", "-0.0", "0.0", "3.38e38", "1e-40", "1.1754944e-38"],
}  # fmt: skip


class Values(random.Random):
    """A source of random parts of programs."""

    def pick(self, choices: Any) -> Any:
        return self.choice(list(choices))

    def chance(self, p: float) -> bool:
        return self.random() < p

    def shape(self, low: int = 0, high: int = 4, empty: float = 0.1, most: int = 4) -> tuple[int, ...]:
        sides = [self.randint(1, most) for _ in range(self.randint(low, high))]
        if sides and self.chance(empty):
            sides[self.randrange(len(sides))] = 0
        return tuple(sides)

    def broadcast(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with it."""
        kept = [1 if self.chance(0.25) else n for n in shape]
        cut = self.randrange(len(kept) + 1) if self.chance(0.3) else 0
        return tuple(kept[cut:]) if self.chance(0.9) else (self.randint(1, 3), *kept)

    def dim(self, shape: tuple[int, ...], wrong: float = 0.03) -> int:
        rank = max(len(shape), 1)
        if self.chance(wrong):
            return self.pick([rank, -rank - 1])
        return self.randint(-rank, rank - 1)

    def number(self, dtype: str, corners: float = 0.0) -> str:
        if dtype == "bool":
            return self.pick(["True", "False"])
        if dtype in LIMITS:
            bits = LIMITS[dtype]
            signed = dtype.startswith("i")
            if self.chance(corners):
                return str(self.pick([0, 1, -1 if signed else 1, 2**bits - 1, -(2**bits) if signed else 0, bits]))
            return str(self.randint(-9 if signed else 0, 9))
        if dtype in COMPLEX:
            part = {"complex64": "float32", "complex128": "float64"}[dtype]
            return f"complex({self.number(part, corners)}, {self.number(part, corners)})"
        if self.chance(corners):
            return self.pick(CORNERS[dtype])
        return repr(round(self.uniform(-4, 4), self.pick([0, 1, 2])))

    def tensor(
        self, shape: tuple[int, ...], dtype: str = "float32", corners: float = 0.0, grad: bool = False, distinct: bool = False
    ) -> str:
        count = 1
        for n in shape:
            count *= n
        if distinct:
            numbers = list(range(count))
            self.shuffle(numbers)
            values = ", ".join(str(n) if dtype in LIMITS else repr(n / 4 - 1) for n in numbers)
        else:
            values = ", ".join(self.number(dtype, corners) for _ in range(count))
        flag = ", True" if grad else ""
        return f"A([{values}], {shape}, {dtype!r}{flag})"

    def positive(self, shape: tuple[int, ...], dtype: str = "float64", low: float = 0.2, high: float = 2.0, grad: bool = False) -> str:
        count = 1
        for n in shape:
            count *= n
        values = ", ".join(repr(round(self.uniform(low, high), 3)) for _ in range(count))
        return f"A([{values}], {shape}, {dtype!r}{', True' if grad else ''})"

    def indices(self, shape: tuple[int, ...], below: int, negative: bool = False, wrong: float = 0.03) -> str:
        count = 1
        for n in shape:
            count *= n
        low = -below if negative else 0
        values = [self.randint(low, max(below - 1, low)) for _ in range(count)]
        if values and self.chance(wrong):
            values[0] = below
        return f"A({values}, {shape}, {self.pick(['int64'] * 5 + ['int32'])!r})"

    def layout(self, name: str, rank: int) -> str:
        """The same values in another layout."""
        return self.pick(
            [name] * 4
            + [f"{name}.mT.contiguous().mT" if rank > 1 else name]
            + [f"T.stack([{name}, {name}], -1)[..., 0]"]
            + [f"{name}.movedim(0, -1).contiguous().movedim(-1, 0)" if rank > 0 else name]
        )
