"""moka annotate program.py: its lines with time, memory, kernels, and what keeps them from capture."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _C

__all__ = ["Line", "annotate", "main"]

_VALUE = (
    "the program looks at a tensor's value here ({}); a graph has no Python: compute with where() or masks"
)


@dataclass
class Line:
    """What one line of a program did."""

    calls: int = 0
    seconds: float = 0.0
    made: int = 0  # bytes of results
    flop: int = 0
    kernels: dict[str, float] = field(default_factory=dict)
    shapes: list[str] = field(default_factory=list)
    not_captured: list[str] = field(default_factory=list)


def annotate(
    program: str, arguments: Sequence[str] = (), attempts: int = 4
) -> tuple[dict[str, dict[int, Line]], int]:
    """Run a program; what each line of its files did, and the program's exit code.

    Args:
        attempts: how many of the modules it calls are traced afterwards, to say what keeps lines from
            capture.
    """
    recorder = _C._Profile()
    modules: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    with _as_main(program, arguments), _first_calls(modules, attempts):
        recorder.start(True, False, True)
        try:
            code = _run(program)
        finally:
            recorder.stop()
    found: dict[str, dict[int, Line]] = {}
    for event, own in _self_times(recorder.events()):
        name, kernel, place, shapes, _, _, flop, _, made, _, step, _, part = event
        file, _, number = place.rpartition(":")
        if part or step >= 0 or not file or not number.isdigit():
            continue
        line = found.setdefault(file, {}).setdefault(int(number), Line())
        if kernel == "value":
            _note(line, _VALUE.format(name))
            continue
        line.calls += 1
        line.seconds += own * 1e-9
        line.made += made
        line.flop += flop
        what = f"{name} {kernel}" if kernel not in ("formula", "view", "composite") else name
        line.kernels[what] = line.kernels.get(what, 0.0) + own
        if shapes and shapes not in line.shapes and len(line.shapes) < 4:
            line.shapes.append(shapes)
    for module, args, kwargs in modules:
        _try_to_trace(module, args, kwargs, found)
    return found, code


def _note(line: Line, text: str) -> None:
    if text not in line.not_captured:
        line.not_captured.append(text)


def _self_times(events: Sequence[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Each event with the nanoseconds that no event inside it has."""
    order = sorted(range(len(events)), key=lambda i: (events[i][11], events[i][4], -events[i][5]))
    own = [event[5] - event[4] for event in events]
    open_: list[int] = []
    for i in order:
        while open_ and (events[open_[-1]][11] != events[i][11] or events[open_[-1]][5] < events[i][5]):
            open_.pop()
        if open_:
            own[open_[-1]] -= events[i][5] - events[i][4]
        open_.append(i)
    return ((events[i], own[i]) for i in order)


@contextmanager
def _as_main(program: str, arguments: Sequence[str]) -> Iterator[None]:
    before, path = sys.argv, list(sys.path)
    sys.argv = [program, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = before, path


@contextmanager
def _first_calls(found: list[Any], most: int) -> Iterator[None]:
    """Keeps the first call of each module that no other module calls."""
    from .nn import Module

    plain, inside = Module.__call__, [0]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not inside[0] and len(found) < most and all(self is not known for known, _, _ in found):
            found.append((self, args, kwargs))
        inside[0] += 1
        try:
            return plain(self, *args, **kwargs)
        finally:
            inside[0] -= 1

    Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        Module.__call__ = plain  # type: ignore[method-assign]


def _run(program: str) -> int:
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _try_to_trace(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], found: dict[str, dict[int, Line]]
) -> None:
    from .jit import trace

    try:
        trace(module, args, example_kwarg_inputs=kwargs, check_trace=False, dynamic={})
    except Exception as error:
        here = str(Path(__file__).parent) + os.sep
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(here)]
        if frames and frames[-1].lineno:
            lines = found.setdefault(os.path.basename(frames[-1].filename), {})
            text = str(error).partition("\n")[0]
            line = lines.setdefault(frames[-1].lineno, Line())
            if not ("is asked for while a trace records" in text and line.not_captured):
                _note(line, f"{type(module).__name__} cannot be traced: {text}")


# ---- as text


def _sources(program: str, found: dict[str, dict[int, Line]]) -> dict[str, Path]:
    """The files that lines belong to: the program, and modules beside it, by their last name."""
    folder = Path(program).resolve().parent
    paths = {Path(program).name: Path(program)}
    for module in list(sys.modules.values()):
        with suppress(AttributeError, TypeError, ValueError):
            path = Path(module.__file__).resolve()  # type: ignore[arg-type]
            if path.name in found and folder in path.parents and "site-packages" not in path.parts:
                paths.setdefault(path.name, path)
    return paths


def _text(path: Path, lines: dict[int, Line], whole: float) -> Iterator[str]:
    yield f"{path}: {sum(line.calls for line in lines.values())} calls, {_time(whole)}"
    yield f"{'time':>9} {'share':>6} {'calls':>6} {'makes':>9}  kernel"
    for number, source in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        line = lines.get(number)
        if line is None or not line.calls:
            head = " " * 33
        else:
            made = _memory(line.made) if line.made else ""
            share = 100 * line.seconds / whole if whole else 0.0
            head = f"{_time(line.seconds):>9} {share:5.1f}% {line.calls:>6} {made:>9}"
        most = max(line.kernels, key=lambda name: line.kernels[name]) if line and line.kernels else ""
        yield f"{head}  {most[:24]:<24} {number:>4}  {source}".rstrip()
        if line is None:
            continue
        indent = " " * 66 + " " * (len(source) - len(source.lstrip()))
        for shapes in line.shapes:
            yield f"{indent}^ {shapes}"
        for reason in line.not_captured:
            yield f"{indent}! not captured: {reason}"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def _memory(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the program's exit code."""
    parser = argparse.ArgumentParser(
        prog="moka annotate",
        description="Runs a program and prints its lines with shapes of operands, bytes of results, time, "
        "kernel, and what keeps a line from being captured as a graph.",
    )
    parser.add_argument("--torch", action="store_true", help="`import torch` in the program gives Moka")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the lines")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of standard output")
    parser.add_argument("program", help="the program: a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(list(arguments))
    if not Path(options.program).is_file():
        print(f"moka annotate: there is no program {options.program!r}", file=sys.stderr)
        return 2
    if options.torch:
        from .compat import torch

        torch.install()
    found, code = annotate(options.program, options.arguments)
    paths = _sources(options.program, found)
    if options.json:
        text = json.dumps(
            {name: {n: vars(line) for n, line in lines.items()} for name, lines in found.items()}
        )
    else:
        whole = sum(line.seconds for lines in found.values() for line in lines.values())
        parts = [_text(path, found.get(name, {}), whole) for name, path in paths.items()]
        text = "\n\n".join("\n".join(part) for part in parts)
    if options.output:
        Path(options.output).write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return code
