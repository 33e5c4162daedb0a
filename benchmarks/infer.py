"""Inference of eight networks against onnxruntime and openvino: time, first run, peak memory, in turns.

Run with `./dev bench infer`. The networks are built with moka.nn and random weights and exported to ONNX
for the peers. Each runtime works in a process of its own; while one is timed the others sleep. The table
gives the median over the rounds, and the time of the faster peer over ours, of medians and of least times;
"difference" is each runtime's largest one from eager Moka, relative to its largest result: all are asked
for float32. Load and first run are the least of three processes, one after another; as in an installed
library, Python's bytecode is kept.
A round in which the host of a virtual machine took more than 2 % of the processors is measured again, at
most as many as were asked for; "stolen" is what the host took in the rounds that count, the quietest ones.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _workers
import numpy as np

RUNTIMES = ("moka", "onnxruntime", "openvino")
QUIET = 0.02  # the share of stolen processor time up to which a round counts as quiet


def export(name: str, folder: str) -> None:
    """The network as a package and as ONNX, its input and its result."""
    import _networks

    import moka

    net, example = _networks.build(name)
    with moka.no_grad():
        result = net(example)
    traced = moka.jit.freeze(moka.jit.trace(net, example, input_names=["x"], dynamic={}))
    traced.save(os.path.join(folder, "model.moka"))
    moka.onnx.export(traced, path=os.path.join(folder, "model.onnx"))
    np.savez(os.path.join(folder, "data.npz"), x=example.numpy(), y=result.detach().numpy())


def runner(runtime: str, folder: str, x: np.ndarray, threads: int) -> Callable[[], Any]:
    """A call that runs the network once."""
    if runtime == "moka":
        import moka

        moka.set_num_threads(threads)
        model, value = moka.jit.load(os.path.join(folder, "model.moka")), moka.from_numpy(x)
        return lambda: model.run(value)[0]
    model = os.path.join(folder, "model.onnx")
    if runtime == "onnxruntime":
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})[0]
    import openvino

    # Where the processor multiplies bfloat16, openvino would compute in it unless told otherwise.
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer({0: x})[0]


def work(runtime: str, folder: str, threads: int) -> None:
    """Answer seconds with the time of a call; at the end with what the first run and memory were."""
    data = np.load(os.path.join(folder, "data.npz"))
    if runtime == "moka":
        import moka.jit  # noqa: F401  (imports are not part of the first run)
    elif runtime == "onnxruntime":
        import onnxruntime  # noqa: F401
    else:
        import openvino  # noqa: F401
    before = _workers.peak_memory()
    start = time.perf_counter()
    call = runner(runtime, folder, data["x"], threads)
    result = np.asarray(call())
    first = time.perf_counter() - start
    difference = float(np.abs(result - data["y"]).max() / max(np.abs(data["y"]).max(), 1e-30))

    def end() -> dict[str, float]:
        memory = _workers.peak_memory() - before
        return {"first_ms": first * 1e3, "memory_mib": memory, "difference": difference}

    _workers.answer(lambda seconds: _workers.seconds_of(call, seconds), end)


def kept_bytecode(folder: str) -> dict[str, str]:
    """The environment of processes that share compiled Python there, also where ours keeps none."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode")}


def compare(name: str, rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        export(name, folder)
        words = ("--folder", folder, "--threads", str(threads))

        def start(runtime: str) -> _workers.Worker:
            return _workers.Worker(__file__, runtime, *words, environment=kept_bytecode(folder))

        firsts = {runtime: min(start(runtime).close()["first_ms"] for _ in range(3)) for runtime in RUNTIMES}
        workers = {runtime: start(runtime) for runtime in RUNTIMES}
        turns: list[tuple[float, dict[str, float]]] = []  # share stolen, milliseconds of each runtime
        while sum(stolen <= QUIET for stolen, _ in turns) < rounds and len(turns) < 2 * rounds:
            before = _workers.processor_time()
            taken = {runtime: worker.ask(seconds) * 1e3 for runtime, worker in workers.items()}
            turns.append((_workers.stolen_since(before), taken))
        kept = sorted(turns, key=lambda turn: turn[0])[:rounds]
        times = {runtime: [taken[runtime] for _, taken in kept] for runtime in RUNTIMES}
        ends = {r: worker.close() | {"first_ms": firsts[r]} for r, worker in workers.items()}
        size = Path(folder, "model.onnx").stat().st_size / 2**20
    median = {runtime: statistics.median(taken) for runtime, taken in times.items()}
    least = {runtime: min(taken) for runtime, taken in times.items()}

    def ratio(ms: dict[str, float]) -> float:
        return min(ms[runtime] for runtime in RUNTIMES[1:]) / ms["moka"]

    return {
        "name": name,
        "ms": median,
        "least_ms": least,
        "ratio": ratio(median),
        "least_ratio": ratio(least),
        "ends": ends,
        "file_mib": size,
        "stolen": statistics.mean(stolen for stolen, _ in kept),
    }


def show(row: dict[str, Any]) -> None:
    """A line of the table."""
    ms, ends = row["ms"], row["ends"]
    print(
        f"{row['name']:20}"
        + "".join(f"{ms[r]:10.3f}" for r in RUNTIMES)
        + f"  {row['ratio']:5.2f}x {row['least_ratio']:5.2f}x |"
        + "".join(f"{ends[r]['first_ms']:9.0f}" for r in RUNTIMES)
        + " |"
        + "".join(f"{ends[r]['memory_mib']:7.0f}" for r in RUNTIMES)
        + " |"
        + "".join(f" {ends[r]['difference']:.0e}" for r in RUNTIMES)
        + f" | {row['stolen']:.0%}",
        flush=True,
    )


def main() -> int:
    import _networks

    parser = _workers.parser(__doc__, 1.0)
    parser.add_argument("--models", nargs="*", default=list(_networks.NETWORKS), help="which (default: all)")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder, options.threads)
        return 0
    if not options.json:
        print("ms a run, of load and first run, MiB beyond the import; difference from eager; stolen")
        print(f"{'':20}{'Moka':>10}{'ort':>10}{'openvino':>10}   ratio  least")
    rows = []
    for name in options.models:
        rows.append(compare(name, options.rounds, options.seconds, options.threads))
        if not options.json:
            show(rows[-1])
    mean = _workers.geometric_mean(rows)
    print(json.dumps(rows, indent=1) if options.json else f"{'geometric mean':50}  {mean:5.2f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
