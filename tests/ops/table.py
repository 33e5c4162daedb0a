"""The operator table as test cases: every sample of every operator, made of fresh random numbers."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import moka
from moka import _C

TABLE = {op["name"]: op for op in _C._op_table()}


@dataclass
class Case:
    """One call of one operator: positional arguments in schema order, keywords, what tests may do."""

    op: dict
    index: int
    args: list = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    differentiable: bool = True

    @property
    def id(self) -> str:
        return f"{self.op['name']}-{self.index}"

    def call(self, args: list | None = None) -> Any:
        return _C._operators[self.op["base"]](*(self.args if args is None else args), **self.kwargs)


def numbers(rng: np.random.Generator, shape: tuple, domain: str, limit: int, dtype: str) -> np.ndarray:
    if domain == "positive":
        values = rng.uniform(0.2, 2.0, shape)
    elif domain == "unit":
        values = rng.uniform(-0.9, 0.9, shape)
    elif domain == "probability":
        values = rng.uniform(0.05, 0.95, shape)
    elif domain == "integer":
        values = rng.integers(-3, 4, shape)
    elif domain == "boolean":
        return rng.integers(0, 2, shape).astype(bool)
    elif domain == "index":
        return rng.integers(0, limit, shape).astype(np.int64)
    elif domain == "distinct":
        count = int(np.prod(shape))
        values = (rng.permutation(count).reshape(shape) - count / 2) * 0.37 + 0.11
    else:
        # Away from the kinks of piecewise functions, so that finite differences see one piece.
        values = rng.uniform(0.15, 1.9, shape) * rng.choice([-1.0, 1.0], shape)
    return np.asarray(values).astype(dtype)


def make_case(op: dict, index: int, dtype: str = "float64", seed: int = 0) -> Case:
    sample = op["samples"][index]
    rng = np.random.default_rng([seed, index, len(op["name"])])
    tensors = [
        None if t is None else moka.tensor(numbers(rng, tuple(t[0]), t[1], t[2], dtype))
        for t in sample["tensors"]
    ]
    case = Case(op, index, differentiable=sample["differentiable"])
    if sample["list"]:
        case.args = [tensors]
    else:
        case.args = list(tensors)
    settings = dict(sample["settings"])
    names = [a["name"] for a in op["args"] if not a["keyword_only"]]
    # Settings that stand between the tensors and the keywords go by position where their turn has come.
    args: list = []
    rest = list(case.args)
    for name in names:
        kind = next(a for a in op["args"] if a["name"] == name)
        if name in settings:
            args.append(settings.pop(name))
        elif (kind["tensor"] or sample["list"]) and rest:
            args.append(rest.pop(0))
        else:
            break
    assert not rest, f"{op['name']}: sample {index} has more tensors than arguments"
    case.args = args
    case.kwargs = settings
    return case


def cases(dtype: str = "float64", predicate: Any = None) -> list[Case]:
    out = []
    for op in TABLE.values():
        if predicate is None or predicate(op):
            out += [make_case(op, i, dtype) for i in range(len(op["samples"]))]
    return out


def outputs(result: Any) -> list[moka.Tensor]:
    """The tensors of a result, whatever its form."""
    return [result] if isinstance(result, moka.Tensor) else list(result)
