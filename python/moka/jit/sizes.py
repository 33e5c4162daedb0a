"""Sizes that may change: what the user says of them, and examples with other sizes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import _C
from .._C import Tensor

__all__ = ["Dynamic", "Range", "Size", "grown", "open_sizes", "rules"]

Dynamic = Mapping[int | str, Mapping[int, str] | Sequence[int]]
Open = dict[int, dict[int, str]]  # name by input and dimension


class Range(NamedTuple):
    """Between which numbers a size lies; None: no limit above."""

    least: int = 0
    most: int | None = None


class Size(NamedTuple):
    """factor * word + offset, as "2*height", "height+1" and "height" say it."""

    word: str
    factor: int = 1
    offset: int = 0


_FORM = re.compile(r"(?:(\d+)\s*\*\s*)?(.+?)(?:\s*([+-])\s*(\d+))?$")


def parsed(name: str) -> Size:
    """2*height: sizes that are even, and grow with all others called height."""
    match = _FORM.match(name.strip())
    if match is None or not match[2].isidentifier():
        return Size(name)
    offset = int(match[4] or 0) * (-1 if match[3] == "-" else 1)
    return Size(match[2], int(match[1] or 1), offset)


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
        if sizes:
            wanted[place] = {dim % rank: str(name) for dim, name in sizes.items()}
    return wanted


def rules(wanted: Open, ranges: Mapping[str, Range]) -> list[tuple[int, int, str, int, int, int, int]]:
    """What the graph checks: (input, dimension, word, factor, offset, least, most); plain sizes first."""
    out = []
    for place, sizes in wanted.items():
        for dim, name in sizes.items():
            size = parsed(name)
            least, most = ranges.get(size.word, Range())
            if least > 0 or most is not None or size.factor != 1 or size.offset:
                out.append((place, dim, *size, least, -1 if most is None else most))
    plain = {parsed(name).word for sizes in wanted.values() for name in sizes.values() if name.isidentifier()}
    for place, sizes in wanted.items():  # what the others are compared with
        for dim, name in sizes.items():
            if name in plain and any(rule[2] == name for rule in out):
                plain.discard(name)
                if not any(rule[:2] == (place, dim) for rule in out):
                    out.append((place, dim, name, 1, 0, 0, -1))
    return sorted(out, key=lambda rule: (rule[3] != 1 or rule[4] != 0, rule[:2]))


def _numbers(examples: Sequence[Tensor], wanted: Open, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The range of every word, with the word's number in the examples as what it is now."""
    now: dict[str, int] = {}
    for place, sizes in wanted.items():
        for dim, name in sizes.items():
            word, factor, offset = parsed(name)
            number = examples[place].shape[dim] - offset
            if number % factor:
                raise ValueError(
                    f"trace: dimension {dim} of input {place} is to be {name}, but the example has "
                    f"{examples[place].shape[dim]}"
                )
            number //= factor
            if now.setdefault(word, number) != number:
                raise ValueError(
                    f"trace: size {word!r} is {now[word]} in one example, but {number} in dimension {dim} of "
                    f"input {place}"
                )
            least, most = ranges.get(word, Range())
            if number < least or (most is not None and number > most):
                limits = f"at least {least}" if most is None else f"between {least} and {most}"
                raise ValueError(f"trace: size {word!r} is to be {limits}, but the example has {number}")
    return {word: Range(number, (ranges.get(word) or Range()).most) for word, number in now.items()}


def grown(
    examples: Sequence[Tensor],
    wanted: Open,
    turn: int,
    ranges: Mapping[str, Range] | None = None,
    down: bool = False,
) -> list[Tensor]:
    """Examples with other open sizes: each name grows by another number, and by another one in each turn;
    where that is more than its range allows, or `down` asks for it, it shrinks while it can.
    """
    numbers = _numbers(examples, wanted, ranges or {})
    change: dict[str, int] = {}
    for order, (word, (now, most)) in enumerate(numbers.items()):
        step = turn * (turn + 1) // 2 + order * turn
        least = max((ranges or {}).get(word, Range()).least, 2)
        above = most is not None and now + step > most
        if not above and not (down and now > least):
            change[word] = step
            continue
        taken = {numbers[other].least + more for other, more in change.items()}
        smaller = range(now - 1, least - 1, -1) if turn == 1 else range(least, now)
        tries = [now - step, *smaller]
        if above:
            tries += range(now + 1, (most or 0) + 1)
        change[word] = next((n for n in tries if n >= least and n not in taken), now) - now
    others: list[Any] = list(examples)
    for place, sizes in wanted.items():
        for dim, name in sizes.items():
            word, factor, _ = parsed(name)
            others[place] = _resized(others[place], place, dim, factor * change[word])
    return others


def _resized(value: Tensor, place: int, dim: int, more: int) -> Tensor:
    size = value.shape[dim]
    if not size:
        raise ValueError(f"trace: dimension {dim} of input {place} is empty; an example needs elements there")
    if more <= 0:
        return value.narrow(dim, 0, size + more) if more else value
    # More of the last slice: values stay possible ones (indices, for example).
    last = _C.index_select(value, dim, _C.full([more], size - 1, dtype=_C.int64))
    return _C.cat([value, last], dim)
