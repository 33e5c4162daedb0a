"""Sizes that may change: what the user says of them, and examples with other sizes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _C
from .._C import Tensor

__all__ = ["Dynamic", "grown", "open_sizes"]

Dynamic = Mapping[int | str, Mapping[int, str] | Sequence[int]]
Open = dict[int, dict[int, str]]  # name by input and dimension


def open_sizes(dynamic: Dynamic | None, names: Sequence[str], examples: Sequence[Tensor]) -> Open:
    """Which dimensions of which inputs may change, by number.

    None stands for the first dimension of all inputs that are as long there as the first input.
    """
    if dynamic is None:
        if not examples or not all(example.dim() > 0 for example in examples):
            return {}
        batch = examples[0].shape[0]
        return {i: {0: "batch"} for i, example in enumerate(examples) if example.shape[0] == batch}
    wanted: Open = {}
    for key, sizes in dynamic.items():
        if isinstance(key, str) and key not in names:
            raise ValueError(f"trace: dynamic names input {key!r}, but the inputs are {', '.join(names)}")
        place = names.index(key) if isinstance(key, str) else key
        if not 0 <= place < len(examples):
            raise ValueError(f"trace: dynamic names input {place}, but there are {len(examples)}")
        if not isinstance(sizes, Mapping):
            sizes = {dim: f"{names[place]}_{dim}" for dim in sizes}
        rank = examples[place].dim()
        for dim in sizes:
            if not -rank <= dim < rank:
                raise ValueError(f"trace: dynamic names dimension {dim} of an input of {rank}")
        wanted[place] = {dim % rank: str(name) for dim, name in sizes.items()}
    return wanted


def _factor(name: str) -> tuple[int, str]:
    """2*height: sizes that are even, and grow with all others called height."""
    factor, star, word = name.partition("*")
    return (int(factor), word.strip()) if star and factor.strip().isdigit() else (1, name)


def grown(examples: Sequence[Tensor], wanted: Open, turn: int) -> list[Tensor]:
    """Examples whose open sizes are larger; each name grows by another number, and by another one in each
    turn.
    """
    parts = {name: _factor(name) for sizes in wanted.values() for name in sizes.values()}
    order = list(dict.fromkeys(word for _, word in parts.values()))
    more = {
        name: factor * (turn * (turn + 1) // 2 + order.index(word) * turn)
        for name, (factor, word) in parts.items()
    }
    others: list[Any] = list(examples)
    for place, sizes in wanted.items():
        for dim, name in sizes.items():
            value = others[place]
            size = value.shape[dim]
            if not size:
                raise ValueError(
                    f"trace: dimension {dim} of input {place} is empty; an example needs elements there"
                )
            # More of the last slice: values stay possible ones (indices, for example).
            last = _C.index_select(value, dim, _C.full([more[name]], size - 1, dtype=_C.int64))
            others[place] = _C.cat([value, last], dim)
    return others
