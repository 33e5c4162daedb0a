"""Runs ONNX's backend suite with Moka, each case in a process that may die: onnx_suite.py [--out file.json].

onnx_suite_failures.json beside this file names every case that fails, with the reason.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moka.onnx
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import moka

__all__ = ["FAILURES", "Case", "all_cases", "read", "run_cases"]

# Every case that fails, with the reason.
FAILURES: dict[str, str] = json.loads(
    Path(__file__).with_name("onnx_suite_failures.json").read_text(encoding="utf-8")
)


class Case:
    """One model with its data sets: name, category, and how far results may be off."""

    def __init__(self, category: str, test: Any) -> None:
        self.category = category
        self.name = test.name
        self.rtol, self.atol = test.rtol, test.atol
        self._test = test

    def model(self) -> onnx.ModelProto:
        if self._test.model is not None:
            return self._test.model
        return onnx.load(Path(self._test.model_dir) / "model.onnx")

    def data_sets(self, model: onnx.ModelProto) -> list[tuple[list[Any], list[Any]]]:
        if self._test.data_sets is not None:
            return [(list(inputs), list(outputs)) for inputs, outputs in self._test.data_sets]
        sets = []
        for folder in sorted(Path(self._test.model_dir).glob("test_data_set_*")):
            files = [sorted(folder.glob(f"{kind}_*.pb"), key=_number) for kind in ("input", "output")]
            infos = (model.graph.input, model.graph.output)
            sets.append(
                tuple(
                    [read(path, info.type) for path, info in zip(paths, values, strict=False)]
                    for paths, values in zip(files, infos, strict=True)
                )
            )
        return sets


class LightCase(Case):
    """A whole network whose weights are made by nodes; its output is stored, its input counts up to 1."""

    def __init__(self, test: Any) -> None:
        super().__init__("real", test)
        self._path = Path(onnx.__file__).parent.parent / test.url

    def model(self) -> onnx.ModelProto:
        return onnx.load(self._path)

    def data_sets(self, model: onnx.ModelProto) -> list[tuple[list[Any], list[Any]]]:
        given = {tensor.name for tensor in model.graph.initializer}
        (value,) = (v for v in model.graph.input if v.name not in given)
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        count = int(np.prod(shape))
        output = self._path.with_name(f"{self._path.stem}_output_0.pb").read_bytes()
        expected = numpy_helper.to_array(onnx.TensorProto.FromString(output))
        return [([(np.arange(count) / count).astype(np.float32).reshape(shape)], [expected])]


def _number(path: Path) -> int:
    return int(path.stem.split("_")[1])


def read(path: Path, kind: onnx.TypeProto) -> Any:
    """What a file of test data holds, as the type of the input or output says."""
    data = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def all_cases(pattern: str = "") -> list[Case]:
    """Every case of the suite whose name matches."""
    cases = []
    for category in ("node", "simple", "pytorch-converted", "pytorch-operator"):
        cases += [Case(category, test) for test in load_model_tests(kind=category)]
    cases += [LightCase(test) for test in load_model_tests(kind="real")]
    return [case for case in cases if re.search(pattern, case.name)]


def run_case(case: Case) -> str:
    """ "" when every output is as it should be; else what is wrong, in a line."""
    try:
        model = case.model()
        prepared = moka.onnx.load(model.SerializeToString())
        for inputs, expected in case.data_sets(model):
            arrays = [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in inputs]
            got = prepared.run(arrays)
            for name, a, b in zip(prepared.output_names, got, expected, strict=True):
                wanted = numpy_helper.to_array(b) if isinstance(b, onnx.TensorProto) else b
                _compare(name, a, wanted, case)
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return ""


def _compare(name: str, got: Any, wanted: Any, case: Case) -> None:
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            raise AssertionError(f"{name}: a list of {len(wanted)} was expected")
        for a, b in zip(got, wanted, strict=True):
            _compare(name, a, b, case)
        return
    wanted = np.asarray(wanted)
    if got.dtype != wanted.dtype:
        raise AssertionError(f"{name}: dtype {got.dtype}, {wanted.dtype} was expected")
    if got.shape != wanted.shape:
        raise AssertionError(f"{name}: shape {got.shape}, {wanted.shape} was expected")
    if wanted.dtype == bool or wanted.dtype.kind in "iuSUO":
        np.testing.assert_array_equal(got, wanted)
    else:
        rtol = max(case.rtol, 2.0**-6) if "bfloat16" in str(wanted.dtype) else case.rtol
        np.testing.assert_allclose(
            got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=case.atol
        )


class _Worker:
    """A process that runs cases by number. It is forked, so that the cases are made once."""

    def __init__(self, cases: list[Case]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=self._serve, args=(cases, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.index, self.until = -1, 0.0

    @staticmethod
    def _serve(cases: list[Case], pipe: Any) -> None:
        while True:
            pipe.send(run_case(cases[pipe.recv()]))

    def begin(self, index: int, seconds: float) -> None:
        self.index, self.until = index, time.monotonic() + seconds
        self.pipe.send(index)

    def result(self) -> tuple[str, bool]:
        """What the case came to, and whether the process lives on."""
        if not self.pipe.poll():
            self.process.kill()
            return "took too long", False
        try:
            return self.pipe.recv(), True
        except (EOFError, ConnectionError):
            self.process.join()
            return f"the process ended with {self.process.exitcode}", False

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_cases(
    cases: list[Case], processes: int | None = None, seconds: float = 120
) -> Iterator[tuple[Case, str]]:
    """Runs every case apart from the others; one that crashes or takes more than so many seconds has that as
    its error. Gives case and error ("" where it passes), in the order in which they end."""
    waiting = iter(range(len(cases)))
    busy: list[_Worker] = []
    try:
        for _ in range(processes or len(os.sched_getaffinity(0))):
            if (index := next(waiting, None)) is not None:
                busy.append(_Worker(cases))
                busy[-1].begin(index, seconds)
        while busy:
            left = min(worker.until for worker in busy) - time.monotonic()
            ready = multiprocessing.connection.wait([worker.pipe for worker in busy], max(left, 0))
            for worker in list(busy):
                if worker.pipe not in ready and worker.until > time.monotonic():
                    continue
                text, alive = worker.result()
                yield cases[worker.index], text
                index = next(waiting, None)
                if index is None or not alive:
                    busy.remove(worker)
                    worker.stop()
                if index is not None:
                    if not alive:
                        worker = _Worker(cases)
                        busy.append(worker)
                    worker.begin(index, seconds)
    finally:
        for worker in busy:
            worker.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, help="results as JSON: case name to error text, empty where it passes"
    )
    parser.add_argument("--match", default="", help="only cases whose name matches this regular expression")
    parser.add_argument("--width", type=int, default=160, help="how much of an error to print")
    options = parser.parse_args()
    started = time.perf_counter()
    results, categories = {}, {}
    for case, error in run_cases(all_cases(options.match)):
        results[case.name] = error
        categories[case.name] = case.category
    passed = Counter(categories[name] for name, error in results.items() if not error)
    total = Counter(categories.values())
    for category in total:
        print(f"{category}: {passed[category]} of {total[category]}")
    print(f"all: {sum(passed.values())} of {len(results)} in {time.perf_counter() - started:.0f} s")
    for name, error in sorted(results.items()):
        if error:
            print(f"  {name}: {FAILURES.get(name, error[: options.width])}")
    if options.out:
        options.out.write_text(json.dumps(results, indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
