"""Runs one program, a list of statements, with both libraries and says where they first differ."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from serve import Failure, Other, Tensor

TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-5, "complex64": 4e-5}
WIDER = re.compile(
    r"not implemented|not supported|unsupported|only supports|[Ee]xpected.*(Float|dtype)|must be .*floating|"
    r"does not support|not yet|not support|dtype"
)


@dataclasses.dataclass
class Difference:
    kind: str
    at: str
    text: str


class Side:
    """A process that runs programs with one library; one that died is started again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen | None = None

    def start(self) -> subprocess.Popen:
        if self.process is None or self.process.poll() is not None:
            program = [sys.executable, "-c", f"import serve; serve.main({self.name!r})"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(program, cwd=Path(__file__).parent, **pipes)
        return self.process

    def send(self, program: list[str]) -> None:
        process = self.start()
        pickle.dump(program, process.stdin)
        process.stdin.flush()

    def answer(self) -> list[tuple[Failure | None, dict[str, Any]]] | None:
        """What the process saw; None where the program ended it."""
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            self.process.wait()
            return None


torch, moka = Side("torch"), Side("moka")


def difference(program: list[str], strides: bool = True) -> Difference | None:
    """The first statement after which the two differ; `strides` says whether strides count."""
    torch.send(program)
    moka.send(program)
    expected, found = torch.answer(), moka.answer()
    if expected is None:
        return None
    if found is None:
        return Difference("process died", program[-1], f"status {moka.process.returncode}")
    before: tuple[dict, dict] = {}, {}
    for statement, (e, theirs), (f, ours) in zip(program, expected, found, strict=True):
        if e is not None or f is not None:
            kind = compare_errors(e, f)
            if kind:
                return Difference(kind, statement, f"{statement}: {describe(e)} | moka: {describe(f)}")
            if (e is None) != (f is None):
                return None  # from here on the two are not alike
        else:
            problem = compare_states(theirs, ours, before, strides)
            if problem:
                return Difference(problem[0], statement, f"{statement}: {problem[1]}")
        before = theirs, ours
    return None


def function_of(statement: str) -> str:
    """The last function or method that a statement calls."""
    names = re.findall(r"(?:\.|\b)([A-Za-z_]\w*)\(", statement.split("#")[0])
    names = [n for n in names if n not in ("A", "tensor", "sum", "backward", "slice")]
    return names[0] if names else statement.split("=")[0].strip()


def describe(error: Failure | None) -> str:
    return "fine" if error is None else f"{error.names[0]}: {' '.join(error.text.split())[:150]}"


def compare_errors(expected: Failure | None, found: Failure | None) -> str | None:
    if any(e and e.names[0] == "NameError" for e in (expected, found)):
        return None
    if found is None:
        wider = WIDER.search(expected.text) or "NotImplementedError" in expected.names
        return None if wider else "lenient"
    if expected is None:
        return "refused"
    if expected.names[0] == "AttributeError" and {"AttributeError", "RuntimeError"} & set(found.names):
        return None
    if "NotImplementedError" in expected.names or WIDER.search(expected.text):
        return None if {"RuntimeError", "TypeError", "ValueError"} & set(found.names) else "error type"
    theirs = expected.names[1:]
    return None if not theirs or theirs[0] in found.names else "error type"


def compare_states(
    theirs: dict, ours: dict, before: tuple[dict, dict], strides: bool
) -> tuple[str, str] | None:
    for name, old in before[0].items():
        pair = old, theirs.get(name), before[1].get(name), ours.get(name)
        if all(isinstance(x, Tensor) and x.version >= 0 for x in pair) and pair[0].object == pair[1].object:
            written = pair[1].version - pair[0].version, pair[3].version - pair[2].version
            if pair[2].object == pair[3].object and written[0] != written[1]:
                return "version", f"{name} was written {written[0]} times | moka: {written[1]}"
    tensors: list[tuple[str, Tensor, Tensor]] = []
    for name in theirs:
        problem = compare_values(name, theirs[name], ours.get(name), tensors)
        if problem and (strides or problem[0] != "stride"):
            return problem
    return compare_aliases(tensors)


def compare_values(name: str, x: Any, y: Any, tensors: list) -> tuple[str, str] | None:
    if isinstance(x, Tensor):
        if not isinstance(y, Tensor):
            return "kind", f"{name} is a tensor | moka: {y!r:.80}"
        tensors.append((name, x, y))
        return compare_tensors(name, x, y)
    if isinstance(x, list):
        if not isinstance(y, list) or len(x) != len(y):
            return "kind", f"{name}: {len(x)} parts for {y!r:.160}"
        for i, (a, b) in enumerate(zip(x, y, strict=True)):
            problem = compare_values(f"{name}[{i}]", a, b, tensors)
            if problem:
                return problem
        return None
    if isinstance(x, dict):
        if not isinstance(y, dict) or list(x) != list(y):
            return "kind", f"{name}: {list(x)} | moka: {list(y) if isinstance(y, dict) else y!r}"
        for key in x:
            problem = compare_values(f"{name}[{key!r}]", x[key], y[key], tensors)
            if problem:
                return problem
        return None
    if isinstance(x, (np.ndarray, np.generic)):
        x, same = np.asarray(x), type(x) is type(y)
        y = np.asarray(y)
        if not same or (x.dtype, x.shape) != (y.dtype, y.shape) or (x.size and x.strides != y.strides):
            return "array", f"{name}: {x!r} {x.strides} | moka: {y!r} {y.strides}"
        if x.dtype.kind not in "biufc":
            return None if (x == y).all() else ("value", f"{name}: {x!r} | moka: {y!r}")
        return None if close(x, y, str(x.dtype)) else ("value", f"{name}: {x!r} | moka: {y!r}")
    if isinstance(x, complex) and isinstance(y, complex):
        return None if close(np.array(x), np.array(y), "complex64") else ("value", f"{name}: {x} | moka: {y}")
    if isinstance(x, float) and isinstance(y, float):
        if x == y or (x != x and y != y) or math.isclose(x, y, rel_tol=4e-5, abs_tol=1e-6):
            return None
        return "value", f"{name}: {x} | moka: {y}"
    if isinstance(x, Other) and isinstance(y, Other) and x.kind in ("name", "unseen"):
        return None
    if type(x) is not type(y):
        return "kind", f"{name}: {x!r:.160} | moka: {y!r:.160}"
    return None if x == y else ("value", f"{name}: {x!r:.400} | moka: {y!r:.400}")


def compare_tensors(name: str, x: Tensor, y: Tensor) -> tuple[str, str] | None:
    if x.dtype != y.dtype:
        return "dtype", f"{name} is {x.dtype} | moka: {y.dtype}"
    if x.shape != y.shape:
        return "shape", f"{name} has {list(x.shape)} | moka: {list(y.shape)}"
    if x.requires_grad != y.requires_grad or x.is_leaf != y.is_leaf:
        text = f"{name} requires_grad {x.requires_grad} leaf {x.is_leaf}"
        return "graph", f"{text} | moka: {y.requires_grad} {y.is_leaf}"
    if x.values is not None and y.values is not None and not close(x.values, y.values, x.dtype):
        return "value", f"{name}: {brief(x.values)} | moka: {brief(y.values)}"
    if x.values is not None and x.values.size and seen_strides(x) != seen_strides(y):
        return "stride", f"{name} {x.shape} has strides {x.stride} | moka: {y.stride}"
    if x.is_leaf and x.requires_grad:
        if (x.grad is None) != (y.grad is None):
            return "grad", f"{name}.grad is {x.grad} | moka: {y.grad}"
        if x.grad is not None:
            return compare_tensors(f"{name}.grad", x.grad, y.grad)
    return None


def brief(a: np.ndarray) -> str:
    return " ".join(repr(a.tolist()).split())[:160]


def seen_strides(x: Tensor) -> tuple:
    return tuple(s for n, s in zip(x.shape, x.stride, strict=True) if n > 1) if x.stride else ()


def close(a: np.ndarray, b: np.ndarray, dtype: str) -> bool:
    if a.dtype.kind not in "fc":
        return bool((a == b).all())
    if a.dtype.kind == "c":
        return close(a.real, b.real, dtype) and close(a.imag, b.imag, dtype)
    rtol = TOLERANCE.get(dtype, 1e-8)
    a, b = a.astype(np.float64), b.astype(np.float64)
    if (np.isnan(a) != np.isnan(b)).any() or (np.isinf(a) != np.isinf(b)).any():
        return False
    if (np.isinf(a) & (a != b)).any():
        return False
    finite = np.isfinite(a)
    a, b = a[finite], b[finite]
    if not a.size:
        return True
    limit = rtol * (np.abs(a) + min(float(np.median(np.abs(a))), float(np.abs(a).max())) + 0.1)
    with np.errstate(all="ignore"):
        return bool((np.abs(a - b) <= limit).all())


def compare_aliases(tensors: list[tuple[str, Tensor, Tensor]]) -> tuple[str, str] | None:
    """Which of the tensors share memory, and at which places."""
    for i, (name, x, y) in enumerate(tensors):
        if not x.memory:
            continue
        for other, u, v in tensors[:i]:
            if not u.memory:
                continue
            expected, found = x.memory == u.memory, y.memory == v.memory
            if expected != found:
                return "alias", f"{name} and {other} share memory: {expected} | moka: {not expected}"
            if expected and x.offset - u.offset != y.offset - v.offset:
                return "offset", f"{name}: {x.offset} | moka: {y.offset}"
    return None


def shrink(program: list[str], kind: str, strides: bool) -> list[str]:
    """Leaves out statements as long as the same kind of difference stays."""
    at = len(program) - 1
    while at >= 0:
        shorter = program[:at] + program[at + 1 :]
        found = difference(shorter, strides) if shorter else None
        if found and found.kind == kind and "not defined" not in found.text:
            program = shorter
        at -= 1
    return program
