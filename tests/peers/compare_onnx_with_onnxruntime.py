"""ONNX files in Moka and in onnxruntime: results, times and memory, a line a file.

python compare_onnx_with_onnxruntime.py [--seconds S] [--threads N] FILES

A model DIR/NAME.x.y.onnx takes its inputs from DIR/NAME.npz, by name or in order. Needs both libraries in
one Python. Times are medians of runs in turn, ratios those of medians and of the least; memory is what
stays of loading and three runs in a fresh process, and in brackets the most they took on the way.
1 where results differ by more than 1e-4 of the largest element, or a file does not load.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FAR = 1e-4


def feeds(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """The inputs that lie beside a model."""
    with np.load(path.parent / (path.name.split(".")[0] + ".npz"), allow_pickle=True) as found:
        given = dict(found)
    if set(names) <= set(given):
        return {name: given[name] for name in names}
    return dict(zip(names, given.values(), strict=True))


def session(path: Path, threads: int) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def distance(found: Any, wanted: Any) -> float:
    """How far results lie apart, in parts of the largest element; infinite where their form differs."""
    if isinstance(wanted, (list, dict)):
        if not isinstance(found, type(wanted)) or len(found) != len(wanted):
            return math.inf
        keys = wanted if isinstance(wanted, dict) else range(len(wanted))
        return max((distance(found[k], wanted[k]) for k in keys), default=0.0)
    a, b = np.asarray(found), np.asarray(wanted)
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind and a.dtype.kind not in "OU"):
        return math.inf
    if b.dtype.kind not in "fc":
        return 0.0 if a.tolist() == b.tolist() else math.inf
    whole = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), whole):
        return math.inf
    if not whole.any():
        return 0.0
    return float(np.abs(a[whole] - b[whole]).max() / max(np.abs(b[whole]).max(), 1e-12))


def memory_of(library: str, path: Path, threads: int) -> str:
    """Megabytes that loading and three runs take, in a process of its own: those that stay (the most)."""
    command = [sys.executable, __file__, "--memory", library, "--threads", str(threads), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "-"
    stays, most = map(float, done.stdout.split()[-2:])
    return f"{stays:.0f} ({most:.0f})"


def resident() -> tuple[float, float]:
    """Megabytes of this process, now and at most; a parent's are not counted, unlike with getrusage."""
    status = Path("/proc/self/status").read_text()
    now, most = (int(status.split(name)[1].split()[0]) / 1024 for name in ("VmRSS:", "VmHWM:"))
    return now, most


def measure_memory(library: str, path: Path, threads: int) -> None:
    import moka.onnx
    import onnxruntime  # noqa: F401 (both are loaded, whichever is measured)

    import moka

    moka.set_num_threads(threads)
    before = resident()
    if library == "moka":
        model = moka.onnx.load(path)
        given = feeds(path, list(model.input_names))
        for _ in range(3):
            model.run(given)
    else:
        other = session(path, threads)
        given = feeds(path, [value.name for value in other.get_inputs()])
        for _ in range(3):
            other.run(None, given)
    print(*(after - start for after, start in zip(resident(), before, strict=True)))


def compare(path: Path, seconds: float, threads: int) -> tuple[float, float, float, float]:
    """How far results lie apart, the median times of both in milliseconds, the ratio of the least."""
    import moka.onnx

    other = session(path, threads)
    given = feeds(path, [value.name for value in other.get_inputs()])
    model = moka.onnx.load(path)
    apart = distance(list(model.run(given)), other.run(None, given))
    ours: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ours) < 3:
        for run, times in ((lambda: model.run(given), ours), (lambda: other.run(None, given), theirs)):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
    return apart, statistics.median(ours), statistics.median(theirs), min(theirs) / min(ours)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing for each file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times-only", action="store_true", help="do not measure memory")
    parser.add_argument("--memory", choices=["moka", "onnxruntime"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory, options.files[0], options.threads)
        return 0
    import moka

    moka.set_num_threads(options.threads)
    ratios, least_ratios, wrong = [], [], 0
    print("| model | apart | Moka ms | onnxruntime ms | median | least | file MiB | MiB |")
    print("|---" * 8 + "|")
    for path in options.files:
        try:
            apart, ours, theirs, least = compare(path, options.seconds, options.threads)
        except Exception as error:  # the next file is compared all the same
            wrong += 1
            text = " ".join(str(error).split())[:200]
            print(f"| {path.stem} | {type(error).__name__}: {text} |", flush=True)
            continue
        wrong += apart > FAR
        ratios.append(theirs / ours)
        least_ratios.append(least)
        libraries = () if options.times_only else ("moka", "onnxruntime")
        memory = [memory_of(library, path, options.threads) for library in libraries]
        size = path.stat().st_size / 2**20
        print(
            f"| {path.stem} | {apart:.0e} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} | {least:.2f} "
            f"| {size:.1f} | {' / '.join(memory)} |",
            flush=True,
        )
    if ratios:
        means = [statistics.geometric_mean(r) for r in (ratios, least_ratios)]
        print(f"geometric means {means[0]:.2f}, {means[1]:.2f} of {len(ratios)}; wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
