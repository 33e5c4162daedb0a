"""Two processes, one library each, that work in turns: while one is timed the other sleeps."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def library(name: str, threads: int) -> Any:
    """The library of that name, limited to so many threads."""
    if name == "moka":
        import moka as lib
    else:
        import torch as lib
    lib.set_num_threads(threads)
    return lib


def seconds_of(call: Callable[[], Any], length: float) -> float:
    """Time of one call, from a loop of about that many seconds."""
    call()
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        taken = time.perf_counter() - start
        if taken > length:
            return taken / count
        count = max(count * 2, int(count * length / max(taken, 1e-9)))


def parser(about: str | None, seconds: float) -> argparse.ArgumentParser:
    """The options of all comparisons; `seconds` is the length of a turn."""
    options = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=5, help="turns of each library (default 5)")
    options.add_argument(
        "--seconds", type=float, default=seconds, help=f"length of a turn (default {seconds:g})"
    )
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--json", action="store_true", help="print the figures as JSON")
    options.add_argument("--work", help=argparse.SUPPRESS)
    return options


def geometric_mean(rows: Sequence[Mapping[str, Any]]) -> float:
    """Of the rows' ratios."""
    return math.exp(statistics.mean(math.log(row["ratio"]) for row in rows))


def peak_memory() -> float:
    """MiB of this process so far; getrusage would count those of its parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def processor_time() -> tuple[int, int]:
    """Ticks that the host of a virtual machine took since its start, and all ticks; (0, 0) if not known."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return (ticks[7], sum(ticks)) if len(ticks) == 8 else (0, 0)


def stolen_since(before: tuple[int, int]) -> float:
    """Share of the processor time that the host took since `before`; where it is large, no time is sound."""
    now = processor_time()
    return (now[0] - before[0]) / max(now[1] - before[1], 1)


def answer(ask: Callable[..., Any], at_end: Callable[[], Any] = lambda: None) -> None:
    """Answer each line of standard input, a JSON list of arguments, with what `ask` returns."""
    for line in sys.stdin:
        print(json.dumps(ask(*json.loads(line))), flush=True)
    print(json.dumps(at_end()), flush=True)


class Worker:
    """A process that runs `program --work LIBRARY ...` and answers questions."""

    def __init__(
        self, program: str, name: str, *words: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, program, "--work", name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ if environment is None else environment,
        )

    def ask(self, *question: Any) -> Any:
        """Its answer to these arguments."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the worker ended early; its error is above")
        return json.loads(line)

    def close(self) -> Any:
        """End it; what it says last."""
        out, _ = self.process.communicate()
        return json.loads(out)
