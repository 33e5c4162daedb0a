"""Random programs give the same from Python, node by node, planned, after every pass, saved and loaded."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from moka.jit.recording import writes

import moka
from moka import _C

from .call_programs import Program, flat_tensors
from .random_graphs import random_program

SEED = int(os.environ.get("MOKA_SEED", "0"))
PLANNED = 1e-6  # by how much a run without rewriting may differ: composites run as their parts
REWRITTEN = 2e-4  # by how much rewriting for speed may move results, relative to the largest value
NOISE = 1e-6  # what every step is moved by to see how far rounding can carry


def difference(found: Any, expected: Any) -> float:
    """The largest difference relative to the largest value; infinity where form, sign or NaN differ."""
    if tuple(found.shape) != tuple(expected.shape) or found.dtype != expected.dtype:
        return float("inf")
    if not expected.numel():
        return 0.0
    wide = moka.complex128 if expected.is_complex() else moka.float64
    a, b = found.detach().to(wide), expected.detach().to(wide)
    gap = moka.where((a == b) | ((a != a) & (b != b)), 0, a - b).abs().max().item()
    size = max(1.0, moka.where(b.isfinite(), b.abs(), 0).abs().max().item())
    return gap / size if gap == gap else float("inf")


class Compared:
    """One program in all its forms."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.program: Program = random_program(seed)
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.written: list[int] = []  # inputs that the program writes: further results of its graph
        self.expect(self.program.inputs)

    def expect(self, inputs: list[Any]) -> None:
        """What Python gives is what every form has to give, in a second run too."""
        self.expected = self.eager(inputs)
        self.runs: list[list[Any] | None] = [None]  # of each run; None: what is expected of the first
        try:  # the second differs where the program has states
            self.second = self.eager(inputs, run=2)
            self.runs.append(self.second)
        except (RuntimeError, ValueError, IndexError):  # sizes that states decide do not fit any more
            self.second = self.expected

    def eager(self, inputs: list[Any], run: int = 1) -> list[Any]:
        """What the `run`-th run of Python gives, from fresh states; the states are fresh afterwards."""
        with moka.no_grad():
            self.program.reset()
            try:
                for _ in range(run):
                    given = [value.clone() for value in inputs]
                    results = [*self.program(*given), *(given[place] for place in self.written)]
                return [value.detach().clone() for value in results]
            finally:
                self.program.reset()

    def shaken(self) -> list[float]:
        """How much noise in every step moves each result."""
        self.program.noise = NOISE
        try:
            return [
                difference(a, b) for a, b in zip(self.eager(self.program.inputs), self.expected, strict=True)
            ]
        finally:
            self.program.noise = 0.0

    def check(
        self, way: str, found: Any, expected: list[Any] | None = None, tolerance: float = PLANNED
    ) -> None:
        self.counts[way] += 1
        wanted = self.expected if expected is None else expected
        gaps = [difference(a, b) for a, b in zip(flat_tensors(found), wanted, strict=True)]
        bad = [i for i, gap in enumerate(gaps) if gap > tolerance]
        if bad and (expected is None or expected is self.second):
            moved = self.shaken()
            if all(gaps[i] <= tolerance + 100 * moved[i] for i in bad):
                self.counts["rounding carries far"] += 1
                return
        if bad:
            self.complaints.append(f"{way}: results {bad} differ by {[gaps[i] for i in bad]}")

    def attempt(self, way: str, run: Any) -> None:
        try:
            run()
        except Exception as error:  # every error is a finding: the program is valid
            self.complaints.append(f"{way}: {type(error).__name__}: {str(error)[:600]}")

    def run_all(self, folder: Path) -> None:
        inputs = self.program.inputs
        traced: Any = None

        def trace() -> None:
            nonlocal traced
            examples = tuple(value.clone() for value in inputs)
            traced = moka.jit.trace(self.program, examples, check_trace=False, dynamic=self.dynamic())

        try:
            trace()
        except NotImplementedError as error:  # writes into views that share their memory in odd ways
            if "a graph has no memory to share" not in str(error):
                raise
            self.counts["refused by the trace"] += 1
            return
        except Exception as error:
            self.complaints.append(f"trace: {type(error).__name__}: {str(error)[:600]}")
            return
        graph = traced.graph
        self.written = [place for _, place in writes(graph)]
        self.expect(inputs)
        self.attempt("traced", lambda: self.check("traced", self.interpreted(graph)))
        self.attempt("planned", lambda: self.planned("planned", graph))
        self.attempt("text", lambda: self.from_text(graph))
        self.attempt("package", lambda: self.from_package(traced, folder))
        self.attempt("passes", lambda: self.after_passes(graph))
        self.attempt("optimized", lambda: self.planned("optimized", graph, optimize=True))
        self.attempt("in a branch", lambda: self.in_a_branch(graph))
        self.attempt("other sizes", lambda: self.with_other_sizes(graph))
        self.attempt("ONNX", lambda: self.through_onnx(graph))

    def dynamic(self) -> dict[str, Any] | None:
        """Every second program lets the sizes that its steps allow stay open."""
        return {} if self.seed % 2 else None

    def interpreted(self, graph: Any) -> list[Any]:
        with moka.no_grad():
            states = {name: value.clone() for name, value in graph.states.items()}
            return _C._interpret(graph, [v.clone() for v in self.program.inputs], states, states.__setitem__)

    def planned(self, way: str, graph: Any, optimize: bool = False, tolerance: float | None = None) -> None:
        executable = _C.Executable(graph, optimize=optimize)
        if tolerance is None:
            tolerance = REWRITTEN if optimize else PLANNED
        for expected in self.runs:  # the second run finds the memory of the first
            inputs = [value.clone() for value in self.program.inputs]
            self.check(way, executable.run(*inputs), expected, tolerance)
            for i, (now, before) in enumerate(zip(inputs, self.program.inputs, strict=True)):
                if difference(now, before):
                    self.complaints.append(f"{way}: input {i} was written")

    def from_text(self, graph: Any) -> None:
        text, tensors = _C._graph_text(graph)
        again = _C._parse_graph(text, tensors)
        self.counts["text"] += 1
        if _C._graph_text(again)[0] != text:
            self.complaints.append("text: what was read prints otherwise")
        self.planned("read from text", again)

    def from_package(self, traced: Any, folder: Path) -> None:
        path = folder / "random.moka"
        moka.jit.save(traced, path, onnx_view=False)
        loaded = moka.jit.load(path)
        if str(loaded.graph) != str(traced.graph):
            self.complaints.append("package: the graph that is loaded prints otherwise")
        self.planned("loaded", loaded.graph)
        self.planned("loaded and optimized", loaded.graph, optimize=True)

    def after_passes(self, graph: Any) -> None:
        for i, (name, _, stage) in enumerate(_C._graph_stages(graph)):
            if i:
                self.planned(f"after {name}", stage, tolerance=REWRITTEN)
        for name, _, stage in _C._graph_stages(graph, optimize=False)[1:]:
            self.planned(f"clean: {name}", stage)

    def in_a_branch(self, graph: Any) -> None:
        """The whole program as one branch of a condition in the second turn of a loop."""
        text, tensors = _C._graph_text(graph)
        head, body, results = taken_apart(text)
        places = range(len(results))
        wrapped = [
            *head,
            f"  {', '.join(f'%loop{i}: any' for i in places)} = "
            f"loop(3, true{', none' * len(results)}) "
            f"(%turn: int, {', '.join(f'%start{i}: any' for i in places)}) {{",
            "%middle: bool = @eq(%turn, 1)",
            f"{', '.join(f'%branch{i}: any' for i in places)} = if %middle {{",
            *body,
            f"yield {', '.join(results)}",
            f"}} else {{ yield {', '.join(f'%start{i}' for i in places)} }}",
            f"yield true, {', '.join(f'%branch{i}' for i in places)}",
            f"}} return {', '.join(f'%loop{i}' for i in places)} }}",
        ]
        again = _C._parse_graph("\n".join(wrapped), tensors)
        self.planned("in a branch", again)
        self.planned("in a branch, optimized", again, optimize=True)

    def with_other_sizes(self, graph: Any) -> None:
        """Where the graph lets a size open, programs with other inputs give what the graph does."""
        names = sorted(
            {name for kind in graph.input_types for name in re.findall(r"[a-z_]\w*(?=[,\]])", kind)}
        )
        if not names:
            return
        for grow in (1, 3):
            inputs = []
            for value, kind in zip(self.program.inputs, graph.input_types, strict=True):
                sizes = re.search(r"\[(.*)\]", kind)
                for dim, size in enumerate(sizes[1].split(", ") if sizes and sizes[1] else []):
                    if not size.isdigit():
                        value = moka.cat([value] + [value.narrow(dim, 0, 1)] * grow, dim)
                inputs.append(value)
            try:
                expected = self.eager(inputs)
            except Exception:
                continue  # the program itself does not take them
            found = _C.Executable(graph).run(*[value.clone() for value in inputs])
            self.check("other sizes", found, expected)

    def through_onnx(self, graph: Any) -> None:
        """Written and read as ONNX, where it can say what the graph does."""
        frozen = graph.clone()
        frozen.freeze()
        try:
            data = _C._onnx_save(frozen, 18, {})
        except NotImplementedError:
            self.counts["not in ONNX"] += 1
            return
        again = _C._OnnxSource(data, "random.onnx").read()
        self.check(
            "ONNX", _C.Executable(again).run(*[v.clone() for v in self.program.inputs]), tolerance=REWRITTEN
        )


def taken_apart(text: str) -> tuple[list[str], list[str], list[str]]:
    """Head with states, lines of the body, what is returned."""
    lines = text.rstrip("\n").split("\n")
    begin = next(i for i, line in enumerate(lines) if line.startswith("graph ")) + 1
    while lines[begin].startswith(("  state ", "  metadata ")):
        begin += 1
    returned = re.sub(r' as "[^"]*"', "", lines[-2].removeprefix("  return "))
    return lines[:begin], lines[begin:-2], re.split(r", (?![^\[{]*[\]}])", returned)


def compare(seeds: range, folder: Path) -> Counter[str]:
    """How often each way was taken; no program may differ anywhere."""
    counts: Counter[str] = Counter()
    bad = []
    for seed in seeds:
        compared = Compared(seed)
        compared.run_all(folder)
        counts += compared.counts
        counts["programs"] += 1
        if compared.complaints:
            bad.append("\n".join([f"seed {seed}", *compared.complaints, compared.program.text()]))
    assert not bad, f"{len(bad)} of {len(seeds)} programs differ:\n" + "\n\n".join(bad[:5])
    assert counts["refused by the trace"] + counts["rounding carries far"] <= 0.02 * counts["programs"] + 2
    return counts


def test_a_few_programs_agree_in_every_form(tmp_path):
    counts = compare(range(SEED, SEED + 40), tmp_path)
    ways = (
        "traced",
        "planned",
        "read from text",
        "loaded",
        "optimized",
        "in a branch",
        "other sizes",
        "ONNX",
    )
    assert all(counts[way] for way in ways), counts


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_programs_agree_in_every_form(tmp_path, part):
    counts = compare(range(SEED + 500 * part, SEED + 500 * (part + 1)), tmp_path)
    assert counts["programs"] == 500 and counts["loaded and optimized"] >= 900
