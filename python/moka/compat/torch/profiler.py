"""torch.profiler: how long the parts of a program take that record_function marks, and the steps between
them.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
import functools
import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = [
    "EventList",
    "FunctionEvent",
    "ProfilerAction",
    "ProfilerActivity",
    "emit_nvtx",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """What is watched; here the CPU."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a schedule says of a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def kineto_available() -> bool:
    """False: operators are not watched."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    """The CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *,
    wait: int,
    warmup: int,
    active: int,
    repeat: int = 0,
    skip_first: int = 0,
    skip_first_wait: int = 0,
    **_: Any,
) -> Callable[[int], ProfilerAction]:
    """Which steps are recorded: rounds of `wait` and `warmup` steps without and `active` steps with."""

    def action(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        size = wait + warmup + active
        if repeat > 0 and step // size >= repeat:
            return ProfilerAction.NONE
        place = step % size
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < size - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[Any], None]:
    """A handler that writes each trace into a folder."""

    def write(profiler: Any) -> None:
        folder = Path(dir_name)
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(
            str(folder / f"{worker_name or 'worker'}.{time.time_ns()}.pt.trace.json")
        )

    return write


class FunctionEvent:
    """One part that was recorded; times in microseconds."""

    def __init__(self, name: str, start: float, duration: float, thread: int, count: int = 1) -> None:
        self.name = self.key = name
        self.start, self.cpu_time_total, self.self_cpu_time_total = start, duration, duration
        self.thread, self.count = thread, count
        self.device_time_total = self.cuda_time_total = self.cpu_memory_usage = self.device_memory_usage = 0
        self.flops, self.is_async, self.input_shapes = 0, False, []

    @property
    def cpu_time(self) -> float:
        """The mean time."""
        return self.cpu_time_total / self.count


class EventList(list[FunctionEvent]):
    """The parts that were recorded."""

    def key_averages(self, *_: Any, **__: Any) -> EventList:
        """One entry for each name."""
        merged: dict[str, FunctionEvent] = {}
        for event in self:
            known = merged.get(event.name)
            if known is None:
                merged[event.name] = FunctionEvent(
                    event.name, event.start, event.cpu_time_total, event.thread, event.count
                )
                continue
            known.cpu_time_total += event.cpu_time_total
            known.self_cpu_time_total = known.cpu_time_total
            known.count += event.count
        return EventList(merged.values())

    def total_average(self) -> FunctionEvent:
        """All together."""
        total = sum(event.cpu_time_total for event in self)
        return FunctionEvent("Total", 0.0, total, 0, sum(event.count for event in self) or 1)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all."""
        return sum(event.self_cpu_time_total for event in self)

    def table(self, sort_by: str | None = None, row_limit: int = 100, **_: Any) -> str:
        """Lines of text, the longest first with sort_by="cpu_time_total"."""
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda event: getattr(event, sort_by, 0), reverse=True)
        lines = [f"{'Name':<40}{'CPU total (us)':>16}{'CPU mean (us)':>16}{'Calls':>8}"]
        for event in rows[: row_limit if row_limit >= 0 else None]:
            lines.append(
                f"{event.name:<40}{event.cpu_time_total:>16.1f}{event.cpu_time:>16.1f}{event.count:>8}"
            )
        return "\n".join(lines)

    def export_chrome_trace(self, path: str) -> None:
        """Write them for a browser's trace viewer."""
        rows = [
            {"ph": "X", "name": e.name, "ts": e.start, "dur": e.cpu_time_total, "pid": 0, "tid": e.thread}
            for e in self
        ]
        Path(path).write_text(json.dumps({"traceEvents": rows}))


_running: list[profile] = []


class record_function:
    """Marks a part of a program, as a block or as a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> record_function:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        end = time.perf_counter()
        for profiler in _running:
            profiler._add(self.name, self._start, end)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return marked


class profile:
    """Records the parts that record_function marks, while the block runs and the schedule says so.

    Args:
        schedule: which steps are recorded; all without it.
        on_trace_ready: called with the profiler at the end of each round.
    """

    def __init__(
        self,
        *_: Any,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        **__: Any,
    ) -> None:
        self.activities = set(activities or supported_activities())
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self._scheduled = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._events = EventList()
        self._step_start = 0.0

    def _add(self, name: str, start: float, end: float) -> None:
        if self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            event = FunctionEvent(name, start * 1e6, (end - start) * 1e6, threading.get_ident())
            self._events.append(event)

    def start(self) -> None:
        """Begin."""
        self._step_start = time.perf_counter()
        _running.append(self)

    def stop(self) -> None:
        """End."""
        if self in _running:
            _running.remove(self)
        if self.on_trace_ready and not self._scheduled:
            self.on_trace_ready(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def step(self) -> None:
        """The next step of the program begins."""
        now = time.perf_counter()
        self._add(f"ProfilerStep#{self.step_num}", self._step_start, now)
        if self.current_action is ProfilerAction.RECORD_AND_SAVE and self.on_trace_ready:
            self.on_trace_ready(self)
            self._events = EventList()
        self._step_start = now
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)

    def events(self) -> EventList:
        """What was recorded."""
        return self._events

    @property
    def function_events(self) -> EventList:
        """What was recorded."""
        return self._events

    def key_averages(self, *_: Any, **__: Any) -> EventList:
        """One entry for each name."""
        return self._events.key_averages()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """EventList.table."""
        return self._events.table(*args, **kwargs)

    def export_chrome_trace(self, path: str) -> None:
        """EventList.export_chrome_trace."""
        self._events.export_chrome_trace(path)

    def add_metadata(self, key: str, value: str) -> None:
        """Nothing: traces hold events only."""

    add_metadata_json = add_metadata

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all parts."""
        return self._events.self_cpu_time_total


class emit_nvtx:
    """Refused: marks for NVIDIA's tools need CUDA."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("torch.autograd.profiler.emit_nvtx: this build of Moka has no CUDA")
