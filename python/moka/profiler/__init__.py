"""Profiles: what operators and marked parts of a program cost, step by step."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
import functools
import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import _C
from .events import EventList, FunctionEvent, FunctionEventAvg, events_of
from .schedules import ProfilerAction, schedule, tensorboard_trace_handler

__all__ = [
    "EventList",
    "FunctionEvent",
    "FunctionEventAvg",
    "ProfilerAction",
    "ProfilerActivity",
    "machine_limits",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
    "write_trace",
]


class ProfilerActivity(enum.Enum):
    """What is watched; here the CPU."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


def supported_activities() -> set[ProfilerActivity]:
    """The CPU."""
    return {ProfilerActivity.CPU}


def machine_limits() -> dict[str, float]:
    """What this machine can do: "threads", "flop_per_second" of float32, "bytes_per_second" from memory.

    Measured once (a quarter of a second) and remembered in $MOKA_CACHE, or moka/ in the user's cache folder.
    """
    threads, flops, moved = _C._machine_limits()
    return {"threads": threads, "flop_per_second": flops, "bytes_per_second": moved}


_running: list[profile] = []


class record_function:
    """Marks a part of a program, as a block or as a decorator; profiles show how long it takes.

    >>> with moka.profiler.record_function("attention"):
    ...     y = layer(x)
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> record_function:
        self._start = _C._profile_clock()
        return self

    def __exit__(self, *_: Any) -> None:
        end = _C._profile_clock()
        for profiler in _running:
            profiler._add(self.name, self._start, end)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return marked


class profile:
    """Records every operator that this thread calls, forward and backward, the steps of graphs that it runs,
    and the parts that `record_function` marks.

    >>> with moka.profiler.profile(record_shapes=True) as prof:
    ...     model(x).sum().backward()
    >>> print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
    >>> print(prof.summary())  # kernels, and how near to the machine's limits they come
    >>> prof.export_chrome_trace("trace.json")

    Args:
        activities: what is watched; there is the CPU.
        schedule: which steps are recorded, by their number (`schedule(...)`); all without it.
        on_trace_ready: called with the profile at the end of each recording.
        record_shapes: keep the sizes of operands.
        profile_memory: keep the bytes that calls make, and what is in use after each.
        with_stack: keep the program's line of each call.
        with_flops: show arithmetic in tables.
        enabled: False: record nothing.
    """

    _prefix = ""  # before the names of operators

    def __init__(
        self,
        enabled: bool = True,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        **_: Any,
    ) -> None:
        self.enabled = enabled
        self.activities = set(activities) if activities is not None else supported_activities()
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.record_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_flops = with_flops
        self.with_modules = with_modules
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._native: Any = None
        self._recording = False
        self._step_start = 0
        self._metadata: dict[str, str] = {}
        self._found: EventList | None = None

    # ---- when

    def _add(self, name: str, start: int, end: int) -> None:
        if self._recording:
            self._native.add(name, start, end)

    def _begin(self) -> None:
        self._native = _C._Profile()
        self._native.start(self.record_shapes or self.with_flops, self.profile_memory, self.with_stack)
        self._recording = True
        self._found = None

    def _end(self) -> None:
        self._native.stop()
        self._recording = False
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _go(self, action: ProfilerAction | None) -> None:
        """From the current action to the next; None: to the end."""
        wanted = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._recording and (not wanted or self.current_action is ProfilerAction.RECORD_AND_SAVE):
            self._end()
        if wanted and not self._recording:
            self._begin()

    def start(self) -> None:
        """Begin."""
        if not self.enabled:
            return
        _running.append(self)
        try:
            self._go(self.current_action)
        except BaseException:
            _running.remove(self)
            raise
        self._step_start = _C._profile_clock()

    def stop(self) -> None:
        """End; what is recorded is complete."""
        if self not in _running:
            return
        if self.record_steps:
            self._add(f"ProfilerStep#{self.step_num}", self._step_start, _C._profile_clock())
        _running.remove(self)
        self._go(None)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def step(self) -> None:
        """The next step of the program begins."""
        now = _C._profile_clock()
        if self.record_steps:
            self._add(f"ProfilerStep#{self.step_num}", self._step_start, now)
        self.step_num += 1
        action = self.schedule(self.step_num)
        if self.enabled:
            self._go(action)
        self.current_action = action
        self._step_start = _C._profile_clock()

    # ---- what

    def events(self) -> EventList:
        """All calls, in the order in which they began."""
        if self._found is None:
            rows = self._native.events() if self._native is not None else []
            found = EventList(events_of(rows, self._prefix), self.profile_memory, self.with_flops)
            if self._recording:
                return found
            self._found = found
        return self._found

    @property
    def function_events(self) -> EventList:
        """events()"""
        return self.events()

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """One average for each name."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self) -> FunctionEventAvg:
        """All calls together."""
        return self.events().total_average()

    @property
    def profiler(self) -> profile:
        """Itself."""
        return self

    def table(self, *args: Any, **kwargs: Any) -> str:
        """EventList.table of all calls."""
        return self.events().table(*args, **kwargs)

    def summary(self, by: str = "operator", row_limit: int = 0) -> str:
        """Times, kernels, FLOP/s and bytes/s against the machine's limits.

        Args:
            by: "operator", or "step": the steps of graphs with their places.
            row_limit: how many rows; 0: all.
        """
        if self._native is None:
            return ""
        return self._native.table(by, row_limit, True)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls, in microseconds."""
        return self.events().self_cpu_time_total

    def __str__(self) -> str:
        return str(self.events()) if self._native is not None else "<unfinished profile>"

    # ---- where to

    def export_chrome_trace(self, path: str) -> None:
        """Write what ran when, for chrome://tracing or ui.perfetto.dev; packed if the name ends with .gz."""
        text = self._native.chrome_json() if self._native is not None else '{"traceEvents": []}'
        if self._metadata:
            text = json.dumps({**json.loads(text), "metadata": self._metadata})
        if str(path).endswith(".gz"):
            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            Path(path).write_text(text, encoding="utf-8")

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """EventList.export_stacks; with_stack says where calls come from."""
        if not self.with_stack:
            raise AssertionError("export_stacks: the profile was made without with_stack=True")
        self.events().export_stacks(path, metric)

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the traces."""
        self._metadata[key] = str(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put a value, given as JSON, into the traces."""
        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json


def write_trace(path: str) -> profile:
    """A profile whose trace is written to `path` at its end: `with moka.profile("t.json"): ...`"""
    return profile(
        record_shapes=True, profile_memory=True, on_trace_ready=lambda made: made.export_chrome_trace(path)
    )
