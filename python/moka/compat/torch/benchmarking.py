"""torch.utils.benchmark: times of statements, and tables that compare them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import statistics
import timeit
from collections.abc import Callable, Iterable
from typing import Any

from moka import get_num_threads, set_num_threads

__all__ = ["Compare", "Measurement", "TaskSpec", "Timer"]

_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 0.0))


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time is 1 or more, and its length in seconds."""
    name, length = next((name, length) for name, length in _UNITS if t >= length)
    return name, length or 1e-9


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """What was timed."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or the statement."""
        name = self.label or self.stmt
        return f"{name}: {self.sub_label}" if self.sub_label else name


@dataclasses.dataclass
class Measurement:
    """Times of several runs of one statement.

    Args:
        number_per_run: how often a run calls the statement.
        raw_times: seconds of each run.
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.task_spec, name)

    @property
    def times(self) -> list[float]:
        """Seconds of one call, for each run."""
        return [time / self.number_per_run for time in self.raw_times]

    @property
    def mean(self) -> float:
        """The mean of a call's seconds."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """The median of a call's seconds."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The distance of the quartiles."""
        if len(self.times) < 2:
            return 0.0
        quarters = statistics.quantiles(self.times, n=4, method="inclusive")
        return quarters[2] - quarters[0]

    @property
    def significant_figures(self) -> int:
        """How many digits of the median the spread leaves."""
        return 3 if self.iqr > 0.05 * self.median else 4

    @property
    def has_warnings(self) -> bool:
        """Whether the times spread widely."""
        return self.iqr > 0.25 * self.median

    def __repr__(self) -> str:
        unit, length = select_unit(self.median)
        count = f"{len(self.raw_times)} measurement{'s' if len(self.raw_times) > 1 else ''}"
        head = f"{self.task_spec.title}\n  {self.median / length:.2f} {unit}\n"
        threads = f"{self.task_spec.num_threads} thread{'s' if self.task_spec.num_threads > 1 else ''}"
        place = f"<{type(self).__module__}.Measurement>\n"
        return f"{place}{head}  {count}, {self.number_per_run} runs , {threads}"

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Those of the same task joined."""
        groups: dict[TaskSpec, list[Measurement]] = {}
        for one in measurements:
            groups.setdefault(one.task_spec, []).append(one)
        return [
            Measurement(1, [time for one in group for time in one.times], spec)
            for spec, group in groups.items()
        ]


class Timer:
    """Times a statement of Python, with the number of threads set while it runs.

    Args:
        stmt, setup: source texts; `setup` runs once before.
        globals: names that the statement may use.
        label, sub_label, description: rows, and columns of tables.
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Any = "py",
    ) -> None:
        if str(language).lower() not in ("py", "python", "language.python"):
            raise NotImplementedError(f"Timer: statements are Python here, but language is {language!r}")
        names = dict(globals or {})
        if "torch" not in names:
            import importlib

            names["torch"] = importlib.import_module("torch")
        self._timer = timeit.Timer(stmt, setup, timer, names)
        self._spec = TaskSpec(
            stmt, setup, global_setup, label, sub_label, description, env, num_threads
        )

    def _run(self, number: int) -> float:
        before = get_num_threads()
        set_num_threads(self._spec.num_threads)
        try:
            return self._timer.timeit(max(number, 1))
        finally:
            set_num_threads(before)

    def timeit(self, number: int = 1000000) -> Measurement:
        """One run of so many calls, after a short one to warm up."""
        self._run(max(number // 100, 2))
        return Measurement(number, [self._run(number)], self._spec)

    def _block(self, least: float = 1e-4) -> int:
        number = 1
        while self._run(number) < least:
            number *= 10
        return number

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Runs of equal length until they took `min_run_time` seconds."""
        number, times = self._block(), list[float]()
        while sum(times) < min_run_time:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._spec)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:
        """Runs until the quartiles lie within `threshold` of the median, or `max_run_time` is over."""
        number, times = self._block(), list[float]()
        while True:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
            made = Measurement(number, times, self._spec)
            spent = sum(times)
            if spent >= max_run_time or spent >= min_run_time and made.iqr <= threshold * made.median:
                return made


class Compare:
    """A table of measurements: descriptions are its columns, sub-labels its rows."""

    def __init__(self, results: list[Measurement]) -> None:
        self._results = list(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """More measurements."""
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Nothing: the table shows four digits."""

    def colorize(self, rowwise: bool = False) -> None:
        """Nothing: the table is plain text."""

    def highlight_warnings(self) -> None:
        """Nothing: see Measurement.has_warnings."""

    def __str__(self) -> str:
        merged = Measurement.merge(self._results)
        columns = list(dict.fromkeys(one.task_spec.description or "" for one in merged))
        unit, length = select_unit(min((one.median for one in merged), default=1.0))
        rows: dict[tuple[Any, ...], dict[str, str]] = {}
        for one in merged:
            spec = one.task_spec
            key = (spec.label, spec.num_threads, spec.sub_label or spec.stmt)
            rows.setdefault(key, {})[spec.description or ""] = f"{one.median / length:.1f}"
        lines, last = list[str](), None
        wide = max((len(str(key[2])) for key in rows), default=0)
        for (label, threads, row), cells in rows.items():
            if (label, threads) != last:
                lines += [f"[ {label or ''} ]".center(60, "-"), f"{threads} threads:"]
                lines.append(" " * (wide + 4) + " | ".join(name.rjust(10) for name in columns))
                last = label, threads
            shown = " | ".join(cells.get(name, "").rjust(max(10, len(name))) for name in columns)
            lines.append(f"  {row:<{wide}}  {shown}")
        return "\n".join([*lines, "", f"Times are in {unit}."])

    def print(self) -> None:
        """Write the table to the standard output."""
        print(self)
