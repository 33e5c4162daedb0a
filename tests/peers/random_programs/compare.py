"""Runs one program, a list of statements, with both libraries and says where they first differ."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import dataclasses
import io
import math
import pickle
import re
from typing import Any

import numpy as np
import torch

import moka

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


def array(library: Any) -> Any:
    """A(values, shape, dtype): the tensor of these values."""

    def make(values: list, shape: tuple, dtype: str, grad: bool = False) -> Any:
        made = library.tensor(values, dtype=getattr(library, dtype)).reshape(shape)
        return made.requires_grad_() if grad else made

    return make


def names_for(library: Any) -> dict[str, Any]:
    return {
        "T": library,
        "F": library.nn.functional,
        "nn": library.nn,
        "D": library.distributions,
        "func": library.func,
        "autograd": library.autograd,
        "A": array(library),
        "np": np,
        "math": math,
        "nan": math.nan,
        "inf": math.inf,
        "io": io,
        "copy": copy,
        "pickle": pickle,
        "roundtrip": lambda x: pickle.loads(pickle.dumps(x)),
    }


def function_of(statement: str) -> str:
    """The last function or method that a statement calls."""
    names = re.findall(r"(?:\.|\b)([A-Za-z_]\w*)\(", statement.split("#")[0])
    names = [n for n in names if n not in ("A", "tensor", "sum", "backward", "slice")]
    return names[0] if names else statement.split("=")[0].strip()


def difference(program: list[str], strides: bool = True) -> Difference | None:
    """The first statement after which the two differ; `strides` says whether strides count."""
    theirs, ours = names_for(torch), names_for(moka)
    torch.manual_seed(0)
    moka.manual_seed(0)
    try:
        for statement in program:
            before = {n: versions(theirs[n], ours.get(n)) for n in plain_names(theirs)}
            expected, found = attempt(statement, theirs), attempt(statement, ours)
            if expected is not None or found is not None:
                kind = compare_errors(expected, found)
                if kind:
                    text = f"{describe(expected)} | moka: {describe(found)}"
                    return Difference(kind, statement, f"{statement}: {text}")
                continue
            problem = compare_states(theirs, ours, before, strides)
            if problem:
                return Difference(problem[0], statement, f"{statement}: {problem[1]}")
    finally:
        for library in (torch, moka):
            library.set_default_dtype(library.float32)
            library.set_printoptions(profile="default")
    return None


def attempt(statement: str, names: dict[str, Any]) -> Exception | None:
    try:
        exec(statement, names)
        return None
    except Exception as error:
        return error


def describe(error: Exception | None) -> str:
    return "fine" if error is None else f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def compare_errors(expected: Exception | None, found: Exception | None) -> str | None:
    if isinstance(expected, NameError) or isinstance(found, NameError):
        return None
    if found is None:
        return None if WIDER.search(str(expected)) or isinstance(expected, NotImplementedError) else "lenient"
    if expected is None:
        return "refused"
    if isinstance(expected, AttributeError) and isinstance(found, AttributeError | RuntimeError):
        return None
    if isinstance(expected, NotImplementedError) or WIDER.search(str(expected)):
        return None if isinstance(found, (RuntimeError, TypeError, ValueError)) else "error type"
    theirs = next(k for k in type(expected).__mro__ if k.__module__ == "builtins")
    return None if isinstance(found, theirs) else "error type"


def plain_names(names: dict[str, Any]) -> list[str]:
    return [n for n in names if re.fullmatch(r"[a-z]\d*", n)]


def versions(x: Any, y: Any) -> tuple | None:
    try:
        return (id(x), x._version, y._version) if isinstance(x, torch.Tensor) else None
    except RuntimeError:
        return None


def compare_states(
    theirs: dict[str, Any], ours: dict[str, Any], before: dict[str, Any], strides: bool
) -> tuple[str, str] | None:
    for name, old in before.items():
        new = versions(theirs[name], ours[name])
        if old and new and old[0] == new[0] and new[1] - old[1] != new[2] - old[2]:
            return "version", f"{name} was written {new[1] - old[1]} times | moka: {new[2] - old[2]}"
    tensors: list[tuple[str, Any, Any]] = []
    for name in plain_names(theirs):
        problem = compare_values(name, theirs[name], ours.get(name), tensors)
        if problem and (strides or problem[0] != "stride"):
            return problem
    return compare_aliases(tensors)


def compare_values(name: str, x: Any, y: Any, tensors: list) -> tuple[str, str] | None:
    if isinstance(x, torch.Tensor):
        if not isinstance(y, moka.Tensor):
            return "kind", f"{name} is {type(y).__name__}"
        tensors.append((name, x, y))
        return compare_tensors(name, x, y)
    if isinstance(x, (tuple, list)) and type(x) is not torch.Size:
        if not isinstance(y, (tuple, list)) or len(x) != len(y):
            return "kind", f"{name}: {len(x)} parts for {y!r:.60}"
        for i, (a, b) in enumerate(zip(x, y, strict=True)):
            problem = compare_values(f"{name}[{i}]", a, b, tensors)
            if problem:
                return problem
        return None
    if isinstance(x, np.ndarray):
        if not isinstance(y, np.ndarray) or (x.dtype, x.shape, x.strides) != (y.dtype, y.shape, y.strides):
            return "array", f"{name}: {x!r} | moka: {y!r}"
        return None if close(x, y, str(x.dtype)) else ("value", f"{name}: {x!r} | moka: {y!r}")
    if isinstance(x, complex) and isinstance(y, complex):
        return None if close(np.array(x), np.array(y), "complex64") else ("value", f"{name}: {x} | moka: {y}")
    if isinstance(x, float) and isinstance(y, float):
        if x == y or (x != x and y != y) or math.isclose(x, y, rel_tol=4e-5, abs_tol=1e-6):
            return None
        return "value", f"{name}: {x} | moka: {y}"
    if isinstance(x, torch.dtype) or type(x).__module__.startswith("torch"):
        x, y = str(x).replace("torch.", ""), str(y).replace("moka.", "").replace("torch.", "")
    elif callable(x):
        return None
    if type(x) is not type(y) and not isinstance(x, type):
        return "kind", f"{name}: {x!r:.80} | moka: {y!r:.80}"
    if isinstance(x, np.generic) and x.dtype.kind in "fc":
        alike = close(np.asarray(x), np.asarray(y), str(x.dtype))
        return None if alike else ("value", f"{name}: {x!r} | moka: {y!r}")
    if isinstance(y, str):
        y = y.replace("moka.", "torch.")
    return None if x == y else ("value", f"{name}: {x!r:.200} | moka: {y!r:.200}")


def compare_tensors(name: str, x: Any, y: Any) -> tuple[str, str] | None:
    try:
        x.is_leaf  # noqa: B018 - parts of split refuse to say once they were written
    except RuntimeError:
        return None
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype != str(y.dtype).split(".")[-1]:
        return "dtype", f"{name} is {dtype} | moka: {y.dtype}"
    if tuple(x.shape) != tuple(y.shape):
        return "shape", f"{name} has {list(x.shape)} | moka: {list(y.shape)}"
    if x.requires_grad != y.requires_grad or x.is_leaf != y.is_leaf:
        text = f"{name} requires_grad {x.requires_grad} leaf {x.is_leaf}"
        return "graph", f"{text} | moka: {y.requires_grad} {y.is_leaf}"
    a, b = numbers(x), numbers(y)
    if not close(a, b, dtype):
        return "value", f"{name}: {brief(a)} | moka: {brief(b)}"
    if x.numel() and seen_strides(x) != seen_strides(y):
        return "stride", f"{name} {tuple(x.shape)} has strides {x.stride()} | moka: {y.stride()}"
    if x.is_leaf and x.requires_grad:
        if (x.grad is None) != (y.grad is None):
            return "grad", f"{name}.grad is {x.grad} | moka: {y.grad}"
        if x.grad is not None:
            return compare_tensors(f"{name}.grad", x.grad, y.grad)
    return None


def brief(a: np.ndarray) -> str:
    return " ".join(repr(a.tolist()).split())[:160]


def seen_strides(x: Any) -> tuple:
    return tuple(s for n, s in zip(x.shape, x.stride(), strict=True) if n > 1)


def numbers(x: Any) -> np.ndarray:
    x = x.detach()
    if x.is_complex():
        x = x.resolve_conj()
    x = x.resolve_neg() if hasattr(x, "resolve_neg") else x
    if str(x.dtype).endswith("bfloat16"):
        x = x.float()
    return np.array(x.tolist(), dtype=x.numpy().dtype).reshape(tuple(x.shape))


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


def memory(x: Any) -> int:
    return x.untyped_storage().data_ptr()


def compare_aliases(tensors: list) -> tuple[str, str] | None:
    """Which of the tensors share memory, and whether each is a view."""
    for i, (name, x, y) in enumerate(tensors):
        if x.layout != torch.strided or not x.numel():
            continue
        for other, u, v in tensors[:i]:
            if not u.numel():
                continue
            expected, found = memory(x) == memory(u), memory(y) == memory(v)
            if expected != found:
                return "alias", f"{name} and {other} share memory: {expected} | moka: {not expected}"
            apart = x.storage_offset() - u.storage_offset()
            if expected and apart != y.storage_offset() - v.storage_offset():
                return "offset", f"{name}: {x.storage_offset()} | moka: {y.storage_offset()}"
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
