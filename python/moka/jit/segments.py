"""Parts of a recorded program that stay Python: the graph calls them back."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from .. import _C
from .._C import Tensor
from .numbers import SizeNumber
from .trees import Tree, build, tree_of

__all__ = ["PythonSegment", "Segments", "ignore", "segments_of"]

_F = TypeVar("_F", bound=Callable[..., Any])
_known: WeakValueDictionary[str, Segment] = WeakValueDictionary()
_numbers = itertools.count(1)
_current = threading.local()


class PythonSegment(NamedTuple):
    """A part of a graph that needs Python: its function and where the program calls it."""

    name: str
    file: str
    line: int
    scope: str

    def __str__(self) -> str:
        inside = f" in {self.scope}" if self.scope else ""
        return f"{self.name.partition('#')[0]} ({self.file}:{self.line}{inside}) is marked to stay Python"


class Segment:
    """A function, and what its arguments are around the tensors that the graph gives it."""

    def __init__(self, name: str, function: Callable[..., Any], arguments: Tree) -> None:
        self.name = name
        self.function = function
        self.arguments = arguments
        self.results: Tree | None = None

    def call(self, inputs: list[Any]) -> tuple[Any, list[Tensor]]:
        """The result, and the tensors in it; they must be built as in the recording."""
        args, kwargs = build(self.arguments, inputs)
        result = self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        tree = tree_of(result, tensors)
        if self.results is None:
            self.results = tree
        elif tree != self.results:
            raise RuntimeError(
                f"{self.name.partition('#')[0]}: it gave {len(tensors)} tensors and other values or "
                "containers than when the program was recorded; only tensors may change"
            )
        return result, tensors


class Segments:
    """The segments of one recorded program; it keeps them alive."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Tree, Segment]] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """A scope in which marked functions become segments of this program."""
        before = getattr(_current, "segments", None)
        _current.segments = self
        try:
            yield
        finally:
            _current.segments = before

    def find(self, function: Callable[..., Any], arguments: Tree) -> Segment:
        """The segment for such a call; recordings of other sizes find the same one."""
        for known, tree, segment in self._made:
            if known == function and tree == arguments:
                return segment
        word = f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
        segment = Segment(f"{word}#{next(_numbers)}", function, arguments)
        _known[segment.name] = segment
        self._made.append((function, arguments, segment))
        return segment


def ignore(function: _F) -> _F:
    """Keep a function as it is, in Python, when a program that calls it is recorded.

    The recorded graph calls it with the tensors of that run, so that it may look at their values, branch on
    them, and use any library. It takes and gives tensors and plain values, also in containers; it must not
    write its arguments, and what it gives has no gradient when the graph runs as a whole. Such a graph
    needs Python and this function: `TracedModule.python_segments` lists them, packages and ONNX refuse them.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        segments = getattr(_current, "segments", None)
        if segments is None or not _C._is_tracing():
            return function(*args, **kwargs)
        inputs: list[Any] = []
        arguments = tree_of((args, kwargs), inputs)
        segment = segments.find(function, arguments)
        plain = [int(value) if isinstance(value, SizeNumber) else value for value in inputs]
        versions = [value._version for value in plain if isinstance(value, Tensor)]
        result, tensors = _C._untraced(segment.call, plain)
        if versions != [value._version for value in plain if isinstance(value, Tensor)]:
            raise RuntimeError(
                f"{segment.name.partition('#')[0]}: it stays Python, and wrote one of its arguments in "
                "place, which the graph cannot see; give a new tensor back"
            )
        _C._call_python(segment.name, inputs, tensors)
        return result

    return wrapper  # type: ignore[return-value]


def _run(name: str, inputs: list[Any]) -> list[Tensor]:
    segment = _known.get(name)
    if segment is None:
        raise RuntimeError(
            f"python: the function {name.partition('#')[0]!r} of the graph is not known in this process; "
            "record the program here"
        )
    return segment.call(inputs)[1]


def segments_of(graph: Any) -> list[PythonSegment]:
    """What keeps a graph from running without Python, in order."""
    return [
        PythonSegment(node["name"], node["file"], node["line"], node["scope"])
        for node in graph.nodes()
        if node["kind"] == "python"
    ]


_C._set_segment_runner(_run)
