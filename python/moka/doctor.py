"""moka doctor: what this installation runs on, what it computes with, and what is wrong with it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Finding", "examine", "main"]


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and whether something should be done about it."""

    subject: str
    found: str
    advice: str = ""  # empty where all is well


def _processor() -> list[Finding]:
    from . import _C

    cores = len(os.sched_getaffinity(0))
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    threads = _C.get_num_threads()
    advice = ""
    if threads > cores:
        advice = f"{threads} threads share {cores} cores: call moka.set_num_threads({cores})"
    return [
        Finding("processor", f"{model}, {cores} cores for this process"),
        Finding("kernels", f"{_C._cpu_isa()}, {threads} threads", advice),
    ]


def _limits() -> list[Finding]:
    quota = ""
    advice = ""
    try:
        amount, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if amount != "max":
            share = int(amount) / int(period)
            quota = f"{share:.1f} cores' time"
            if share < len(os.sched_getaffinity(0)):
                few = max(int(share), 1)
                advice = f"the container may use {share:.1f} cores: call moka.set_num_threads({few})"
    except (OSError, ValueError):
        pass
    return [Finding("container limit", quota, advice)] if quota else []


def _openmp() -> list[Finding]:
    """OpenMP runtimes in this process: two of them fight for the cores, or abort."""
    from . import _C  # noqa: F401  (loads ours)

    loaded = set()
    try:
        for line in Path("/proc/self/maps").read_text().splitlines():
            name = os.path.basename(line.split(maxsplit=5)[-1]) if len(line.split()) > 5 else ""
            if name.startswith(("libgomp", "libiomp5", "libomp")):
                loaded.add(os.path.realpath(line.split(maxsplit=5)[-1]))
    except OSError:
        return []
    names = ", ".join(sorted(os.path.basename(path) for path in loaded)) or "none"
    advice = (
        "two OpenMP runtimes are loaded; one of the imported packages brings its own"
        if len(loaded) > 1
        else ""
    )
    return [Finding("OpenMP", names, advice)]


def _variables() -> list[Finding]:
    found = []
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "LD_PRELOAD"):
        value = os.environ.get(name)
        if value is not None:
            advice = ""
            if name == "OMP_NUM_THREADS" and not value.replace(",", "").isdigit():
                advice = "OMP_NUM_THREADS must be a number"
            found.append(Finding(f"variable {name}", value, advice))
    return found


def _memory() -> list[Finding]:
    found = []
    try:
        disk = os.statvfs("/dev/shm")
        free = disk.f_bavail * disk.f_frsize
        advice = (
            "less than 64 MB of shared memory: start the container with --shm-size" if free < 1 << 26 else ""
        )
        found.append(Finding("/dev/shm", f"{free / 1e6:,.0f} MB free", advice))
    except OSError:
        found.append(
            Finding("/dev/shm", "not there", "mount it, or programs with worker processes will fail")
        )
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
        found.append(
            Finding("memory", f"{free / 1e9:.1f} GB free", "little memory is free" if free < 5e8 else "")
        )
    except (OSError, KeyError, ValueError):
        pass
    return found


def _package() -> list[Finding]:
    import numpy

    from . import __version__

    here = Path(__file__).absolute().parent
    native = here / "bin" / "moka"
    return [
        Finding("moka", f"{__version__} in {here}"),
        Finding("Python", f"{platform.python_version()} ({sys.executable})"),
        Finding("NumPy", numpy.__version__),
        Finding("native program", str(native) if native.is_file() else "not installed"),
    ]


def _arithmetic() -> list[Finding]:
    """A small computation, against NumPy."""
    import numpy as np

    import moka

    a = np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8)
    difference = float(np.abs((moka.from_numpy(a) @ moka.from_numpy(a.T.copy())).numpy() - a @ a.T).max())
    wrong = "" if difference < 1e-5 else "wrong results: please report this with the lines above"
    return [Finding("arithmetic", f"matmul differs from NumPy's by {difference:.1g}", wrong)]


_CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _package,
    _processor,
    _limits,
    _openmp,
    _variables,
    _memory,
    _arithmetic,
)


def examine() -> list[Finding]:
    """Look at everything; a look that fails is itself a finding."""
    found = []
    for check in _CHECKS:
        try:
            found += check()
        except Exception as error:
            found.append(
                Finding(check.__name__.strip("_"), f"{type(error).__name__}: {error}", "this should work")
            )
    return found


def main(json_output: bool = False) -> int:
    """Print what was found; the exit code is 1 when something should be done."""
    findings = examine()
    bad = [finding for finding in findings if finding.advice]
    if json_output:
        answer: dict[str, Any] = {"ok": not bad, "findings": [finding._asdict() for finding in findings]}
        print(json.dumps(answer, indent=1))
        return 1 if bad else 0
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{'!' if finding.advice else ' '} {finding.subject:<{width}}  {finding.found}")
        if finding.advice:
            print(f"  {'':<{width}}  -> {finding.advice}")
    print(f"\n{len(bad)} things to look at" if bad else "\nall well")
    return 1 if bad else 0
