"""Training steps of five models against torch: milliseconds a step and peak memory, in turns in one run.

Run with `./dev bench train`. Each library works in a process of its own; while one is timed the other
sleeps. The table gives the median over the rounds and torch's time over ours.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import _models
import _workers


def work(library: str, name: str, threads: int) -> None:
    """Answer N with the seconds that N steps took; at the end with the memory in MiB beyond the import's."""
    lib = _workers.library(library, threads)
    before = _workers.peak_memory()
    _, step = _models.build(lib, name)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        taken = time.perf_counter() - start
        _models.check(loss)
        return taken

    _workers.answer(seconds, lambda: _workers.peak_memory() - before)


def compare(name: str, rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """One row of the table."""
    words = ("--models", name, "--threads", str(threads))
    workers = {library: _workers.Worker(__file__, library, *words) for library in ("moka", "torch")}
    steps = {}
    for library, worker in workers.items():
        worker.ask(3)
        steps[library] = max(1, round(seconds / max(worker.ask(3) / 3, 1e-6)))
    times: dict[str, list[float]] = {"moka": [], "torch": []}
    for _ in range(rounds):
        for library, worker in workers.items():
            times[library].append(worker.ask(steps[library]) / steps[library] * 1e3)
    memory = {library: worker.close() for library, worker in workers.items()}
    mine, peer = (statistics.median(times[library]) for library in ("moka", "torch"))
    return {"name": name, "moka_ms": mine, "torch_ms": peer, "ratio": peer / mine, "memory_mib": memory}


def main() -> int:
    parser = _workers.parser(__doc__, 1.0)
    parser.add_argument("--models", nargs="*", default=list(_models.MODELS), help="which (default: all)")
    options = parser.parse_args()
    if options.work:
        work(options.work, options.models[0], options.threads)
        return 0
    rows = []
    if not options.json:
        print(f"{'milliseconds a step':34} {'Moka':>9} {'torch':>9}   ratio   MiB: Moka, torch")
    for name in options.models:
        row = compare(name, options.rounds, options.seconds, options.threads)
        rows.append(row)
        if not options.json:
            memory = row["memory_mib"]
            print(
                f"{name:34} {row['moka_ms']:9.2f} {row['torch_ms']:9.2f}  {row['ratio']:5.2f}x   "
                f"{memory['moka']:8.0f} {memory['torch']:8.0f}",
                flush=True,
            )
    mean = _workers.geometric_mean(rows)
    print(json.dumps(rows, indent=1) if options.json else f"{'geometric mean':54}  {mean:5.2f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
