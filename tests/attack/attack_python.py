#!/usr/bin/env python3
"""Calls everything that Python can reach with arguments that nobody would give.

A call may raise; it may not kill the process, hang, or make an internal error.

    python tests/attack/attack_python.py 20000 7            20,000 calls from number 7 on
    python tests/attack/attack_python.py 1 1234 --show      that one call, here, for a debugger
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import faulthandler
import mmap
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import moka
from moka import _C

SECONDS = 20  # of one call
MEMORY = 8 << 30  # bytes of address space for a child
# They end or stop the process, wait for someone, break what comes after them, or write where they are told.
LEFT_OUT = (
    "TransformerEncoder TransformerDecoder "  # 2 ** 31 layers are made one by one, as asked for
    "_fail_allocation_after _call_python set_num_threads set_num_interop_threads _set_package_folder save "
    "export run spawn _package_save _onnx_save _netdef_save _program_save share_memory compile breakpoint "
    "input _set_segment_runner _set_size_number _dispatch_handler tofile"
).split()


class Wrong:
    """An object whose special methods all lie or raise."""

    def __init__(self, draw: random.Random) -> None:
        self.kind = draw.randrange(4)

    def __index__(self) -> Any:
        return (-1, 1 << 70, "x", 3)[self.kind]  # type: ignore[return-value]

    def __float__(self) -> Any:
        return (float("nan"), "x", 1e300, None)[self.kind]  # type: ignore[return-value]

    def __len__(self) -> int:
        return (-1, 1 << 40, 3, 0)[self.kind]

    def __getitem__(self, item: Any) -> Any:
        if self.kind == 2:
            raise IndexError(item)
        return self

    def __iter__(self) -> Iterator[Any]:
        if self.kind == 3:
            raise RuntimeError("no elements")
        return iter([self, 1, None])

    def __array__(self, *args: Any, **kinds: Any) -> Any:
        return ("x", np.zeros(3), None, self)[self.kind]

    def __dlpack__(self, **kinds: Any) -> Any:
        return (None, "x", self, 1)[self.kind]

    def __hash__(self) -> int:
        raise TypeError("no hash")

    def __eq__(self, other: object) -> Any:
        raise ValueError("not comparable")


def strange_list(draw: random.Random, depth: int = 0) -> Any:
    inner = [value(draw, depth + 1) for _ in range(draw.choice((0, 1, 2, 3, 7)))]
    if draw.random() < 0.05:
        inner.append(inner)  # contains itself
    return inner if draw.random() < 0.6 else tuple(inner)


INTEGERS = (
    0, 1, 2, 3, -1, -2, 5, 64, 127, 255, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63), 1 << 64, 10**30
)  # fmt: skip
FLOATS = (0.0, 1.0, -1.5, 0.5, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, -0.0)
TEXTS = (
    "", "mean", "sum", "none", "constant", "ij,jk->ik", "...", "i" * 3000, "\0", "cpu", "cuda:99", "float32",
    "é\ud800"
)  # fmt: skip
SHAPES = (
    (), (0,), (1,), (3,), (2, 3), (3, 3), (4, 1, 3), (0, 3), (2, 3, 4, 5), (1, 1, 5, 5), (2,) * 5, (1,) * 20
)  # fmt: skip
DTYPES = [value for name in dir(moka) if isinstance(value := getattr(moka, name), moka.dtype)]
NUMPY = "f4 f8 i8 u2 >f4 c16 O U3 M8[s] V3".split()


def tensor(draw: random.Random) -> Any:
    shape, dtype = draw.choice(SHAPES), draw.choice((moka.float32, moka.float32, *DTYPES))
    try:
        made = moka.zeros(shape, dtype=dtype) if draw.random() < 0.3 else moka.ones(shape).mul(3).to(dtype)
        way = draw.randrange(12)
        if way == 0:
            made = made.expand(2, *shape)
        elif way == 1:
            made = made.t() if made.dim() <= 2 else made.transpose(0, -1)
        elif way == 2 and dtype.is_floating_point:
            made = made.requires_grad_()
        elif way == 3 and dtype.is_floating_point:
            made = made.requires_grad_() * 2
        elif way == 4:
            made = made.to("meta")
        elif way == 5:
            made = made.to_sparse()
        elif way == 6 and made.dim() == 2:
            made = made.to_sparse_csr()
        elif way == 7:
            made = made[..., :1]
        elif way == 8 and dtype.is_floating_point:
            made = made * float("nan")
        return made
    except (RuntimeError, ValueError, TypeError, IndexError):
        return moka.zeros(2)


def array(draw: random.Random) -> Any:
    made: Any = np.ones(draw.choice(SHAPES[:-1]), draw.choice(NUMPY))
    if draw.random() < 0.2 and made.ndim:
        made = made[::-1]
    if draw.random() < 0.2:
        made.flags.writeable = False
    return made


def value(draw: random.Random, depth: int = 0) -> Any:
    """Something that a call might be given by mistake, by a broken program, or by an enemy."""
    kinds: list[Callable[[], Any]] = [
        lambda: tensor(draw),
        lambda: tensor(draw),
        lambda: tensor(draw),
        lambda: draw.choice(INTEGERS),
        lambda: draw.choice(INTEGERS),
        lambda: draw.choice(FLOATS),
        lambda: draw.choice((None, True, False, ..., complex(1, 2))),
        lambda: draw.choice(TEXTS),
        lambda: draw.choice(DTYPES),
        lambda: array(draw),
        lambda: Wrong(draw),
        lambda: draw.choice((moka.device("cpu"), moka.device("meta"), moka.contiguous_format, moka.strided)),
        lambda: draw.choice((b"", b"\x80\x02.", bytearray(7), memoryview(b"abc"), bytes(100))),
        lambda: draw.choice((slice(None), slice(-1, 1 << 62, -3), slice("a", None), range(10**12))),
        lambda: draw.choice(({}, {"a": 1}, set(), len, int, object(), moka.Tensor, moka)),
        lambda: draw.choice((moka.nn.Linear(2, 2), moka.relu, moka.Generator())),
        lambda: strange_list(draw, depth) if depth < 3 else 0,
        lambda: [draw.choice(INTEGERS[:9]) for _ in range(draw.randrange(4))],
        lambda: [tensor(draw) for _ in range(draw.randrange(4))],
    ]
    return draw.choice(kinds)()


# They turn switches for all calls that follow.
SWITCHES = tuple(
    "_set _vmap_ _forward_ _push _pop _open _close _leave _function_modes _draws set_ _dispatch _watch "
    "_add_overriding _overrides _fill_allocations _default_device _autocast".split()
)


def reachable() -> list[tuple[str, Any]]:
    """Every function and class by its name, in a fixed order; methods of tensors come as functions."""
    places: list[tuple[str, Any]] = [("_C", _C), ("moka", moka), ("Tensor", moka.Tensor)]
    for name in (
        "nn.functional",
        "linalg",
        "fft",
        "special",
        "nn.init",
        "nn.utils",
        "func",
        "autograd",
        "sparse",
    ):
        owner: Any = moka
        for part in name.split("."):
            owner = getattr(owner, part)
        places.append((name, owner))
    for kind in ("Graph", "Node", "Executable", "Generator", "Size", "_Profile", "_TracedNumber", "_Tracer"):
        if hasattr(_C, kind):
            places.append((kind, getattr(_C, kind)))
    found: dict[str, Any] = {}
    for place, owner in places:
        for name in sorted(dir(owner)):
            if (
                name in LEFT_OUT
                or (place != "Tensor" and name.startswith(SWITCHES))
                or (name.startswith("__") and place in ("moka", "_C"))
            ):
                continue
            if name in (
                "__class__",
                "__init_subclass__",
                "__subclasshook__",
                "__new__",
                "__dict__",
                "__doc__",
            ):
                continue
            try:
                function = getattr(owner, name)
            except Exception:
                continue
            if callable(function):
                found[f"{place}.{name}"] = function
    for name in sorted(dir(moka.nn)):
        if isinstance(kind := getattr(moka.nn, name), type) and issubclass(kind, moka.nn.Module):
            found[f"nn.{name}"] = kind
    return sorted(found.items())


def call(number: int, functions: list[tuple[str, Any]], show: bool = False) -> str:
    """What became of call `number`: "" or the text of an internal error."""
    draw = random.Random(number)
    name, function = functions[draw.randrange(len(functions))]
    is_method = name.startswith(("Tensor.",))
    arguments = [tensor(draw)] if is_method else []
    arguments += [value(draw) for _ in range(draw.choice((0, 1, 1, 2, 2, 3, 4, 6)))]
    named = {}
    if draw.random() < 0.3:
        keys = (
            "dim",
            "out",
            "dtype",
            "keepdim",
            "generator",
            "device",
            "size",
            "reduction",
            "weight",
            "mode",
            "input",
        )
        named = {draw.choice(keys): value(draw) for _ in range(draw.choice((1, 2)))}
    if show:
        print(name, arguments, named, flush=True)
    try:
        result = function(*arguments, **named)
        if isinstance(result, moka.nn.Module):
            result = result(tensor(draw))
        if isinstance(result, moka.Tensor) and result.requires_grad and draw.random() < 0.5:
            result.sum().backward()
        repr(result)
    except MemoryError:
        return ""
    except RecursionError:
        return ""
    except Exception as error:
        if isinstance(error, SystemError) or "internal error" in str(error):
            return f"{name}: {type(error).__name__}: {str(error)[:200]}"
    return ""


def child(first: int, count: int, path: str, show: bool) -> None:
    """Runs the calls; the number of the present one stands in the file, for the parent."""
    warnings.simplefilter("ignore")
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    moka.set_num_threads(1)
    functions = reachable()
    with open(path, "r+b") as file:
        place = mmap.mmap(file.fileno(), 8)
        for number in range(first, first + count):
            place[:] = struct.pack("<q", number)
            signal.alarm(SECONDS)
            # Calls draw their own numbers; switches that one of them turned must not reach the next.
            moka.set_grad_enabled(True)
            if told := call(number, functions, show):
                print(f"{number}: {told}", flush=True)
        signal.alarm(0)


def main() -> int:
    """The exit code is 1 when a call killed the process, hung, or met an internal error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument(
        "--show", action="store_true", help="in this process, every call printed before it runs"
    )
    parser.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child or options.show:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(8))
            file.flush()
            child(options.first, options.count, options.child or file.name, options.show)
        return 0
    deaths, errors, last = [], 0, options.first + options.count
    functions = reachable()
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        number = options.first
        while number < last:
            command = [sys.executable, __file__, str(last - number), str(number), "--child", file.name]
            result = subprocess.run(command, capture_output=True, text=True, errors="replace")
            for line in result.stdout.splitlines():
                if "Error: " in line:
                    errors += 1
                    print("internal:", line)
            if result.returncode == 0:
                break
            with open(file.name, "rb") as now:
                number = struct.unpack("<q", now.read(8))[0]
            name = functions[random.Random(number).randrange(len(functions))][0]
            deaths.append(number)
            said = result.stderr.strip()[-300:]
            print(f"death: call {number}, {name}, ended with {result.returncode}: {said}", flush=True)
            number += 1
    print(
        f"{options.count} calls of {len(functions)} functions: {len(deaths)} deaths, {errors} internal errors"
    )
    return int(bool(deaths or errors))


if __name__ == "__main__":
    sys.exit(main())
