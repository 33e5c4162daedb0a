"""Runs programs with one library, torch or Moka under torch's names, and says what every name then holds.

Programs come and answers go as pickles over standard input and output; `compare` starts two such processes.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import dataclasses
import io
import math
import os
import pickle
import random
import re
import signal
import sys
import types
import warnings
from typing import Any, BinaryIO

import numpy as np

SECONDS = 60  # a program may take


@dataclasses.dataclass
class Tensor:
    """What is seen of a tensor; memory is a number that those share who share memory."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    memory: int
    requires_grad: bool
    is_leaf: bool
    version: int
    object: int
    values: np.ndarray | None
    grad: Tensor | None


@dataclasses.dataclass
class Failure:
    """An error: the names of its class and of the class's bases, and its text."""

    names: list[str]
    text: str


@dataclasses.dataclass
class Other:
    """What is compared by its text."""

    kind: str
    text: str


def numbers(x: Any) -> np.ndarray | None:
    if str(x.layout) != "torch.strided":
        x = x.to_dense()
    x = x.detach()
    if x.is_complex():
        x = x.resolve_conj()
    x = x.resolve_neg()
    if str(x.dtype).endswith("bfloat16"):
        x = x.float()
    try:
        return np.array(x.tolist(), dtype=x.numpy().dtype).reshape(tuple(x.shape))
    except (RuntimeError, TypeError):  # torch's zeros without memory
        return (x + 0).numpy() if x.dtype.is_floating_point else None


def seen_tensor(x: Any, with_grad: bool = True) -> Tensor | None:
    try:
        leaf = x.is_leaf
    except RuntimeError:  # parts of split refuse to say once they were written
        return None
    strided = str(x.layout) == "torch.strided" and x.device.type == "cpu"
    grad = x.grad if with_grad and leaf and x.requires_grad else None
    return Tensor(
        str(x.dtype).removeprefix("torch."),
        tuple(x.shape),
        tuple(x.stride()) if strided else (),
        x.storage_offset() if strided else 0,
        memory(x) if strided and x.numel() else 0,
        x.requires_grad,
        leaf,
        version(x),
        id(x),
        numbers(x) if x.device.type == "cpu" else None,
        seen_tensor(grad, False) if grad is not None else None,
    )


def memory(x: Any) -> int:
    try:
        return x.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


def version(x: Any) -> int:
    try:
        return x._version
    except RuntimeError:
        return -1


def seen(x: Any, tensor: type) -> Any:
    """A picture of a value that both processes can compare."""
    if isinstance(x, tensor):
        return seen_tensor(x)
    plain = (bool, int, float, complex, str, bytes, type(None))
    if isinstance(x, plain) and type(x).__module__ == "builtins":
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return x if x.dtype != object else Other("array of objects", str(x.shape))
    if isinstance(x, (tuple, list)) and type(x).__name__ != "Size":
        return [seen(one, tensor) for one in x]
    if isinstance(x, dict):
        return {str(key): seen(one, tensor) for key, one in x.items()}
    if isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
        return Other("name", "")
    if type(x).__module__.startswith(("torch", "moka", "builtins", "collections")):
        text = re.sub(r" at 0x[0-9a-f]+", "", repr(x)) if type(x).__repr__ is not object.__repr__ else ""
        return Other(type(x).__name__, text)
    return Other(type(x).__name__, "")


def names_for(T: Any) -> dict[str, Any]:
    def make(values: list, shape: tuple, dtype: str, grad: bool = False) -> Any:
        made = T.tensor(values, dtype=getattr(T, dtype)).reshape(shape)
        return made.requires_grad_() if grad else made

    return {
        "T": T,
        "F": T.nn.functional,
        "nn": T.nn,
        "D": T.distributions,
        "func": T.func,
        "autograd": T.autograd,
        "data": T.utils.data,
        "A": make,
        "np": np,
        "math": math,
        "nan": math.nan,
        "inf": math.inf,
        "io": io,
        "copy": copy,
        "pickle": pickle,
        "roundtrip": lambda x: pickle.loads(pickle.dumps(x)),
    }


def run(T: Any, program: list[str]) -> list[tuple[Failure | None, dict[str, Any]]]:
    """After every statement: the error that it raised, and what the single letters hold."""
    T.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    T.set_default_dtype(T.float32)
    T.set_printoptions(profile="default")
    T.set_grad_enabled(True)
    names, answers = names_for(T), []
    for statement in program:
        error = None
        try:
            exec(statement, names)
        except Exception as raised:
            bases = [k.__name__ for k in type(raised).__mro__ if k.__module__ == "builtins"]
            error = Failure([type(raised).__name__, *bases], str(raised))
        state = {}
        for name in [n for n in names if re.fullmatch(r"[a-z]\d*", n)]:
            try:
                state[name] = seen(names[name], T.Tensor)
            except Exception as raised:
                state[name] = Other("unseen", f"{type(raised).__name__}: {raised}"[:200])
        answers.append((error, state))
    return answers


def serve(T: Any, source: BinaryIO, sink: BinaryIO) -> None:
    while True:
        try:
            program = pickle.load(source)
        except EOFError:
            return
        signal.alarm(SECONDS)
        answer = run(T, program)
        signal.alarm(0)
        pickle.dump(answer, sink)
        sink.flush()


def main(library: str) -> None:
    """Serves standard input with "torch" or "moka" until it ends."""
    warnings.simplefilter("ignore")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if library == "moka":
        import moka.compat.torch  # noqa: F401 - from here on torch is Moka
    import torch
    import torch.distributions
    import torch.func
    import torch.utils.data
    import torch.utils.dlpack

    torch.set_num_threads(1)
    serve(torch, sys.stdin.buffer, sink)
