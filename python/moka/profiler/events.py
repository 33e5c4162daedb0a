"""What a profile recorded: calls that lie in each other, averages over equal ones, tables."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "events_of"]


class _Figures:
    """What calls and averages of calls have in common; times in microseconds, memory in bytes."""

    key: str
    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    cpu_memory_usage: int
    self_cpu_memory_usage: int
    flops: int
    bytes_moved: int
    kernel: str
    # There is one device.
    device_time_total = self_device_time_total = cuda_time_total = self_cuda_time_total = 0
    device_memory_usage = self_device_memory_usage = cuda_memory_usage = self_cuda_memory_usage = 0
    is_async = is_remote = is_legacy = use_device = False
    node_id = -1

    @property
    def cpu_time(self) -> float:
        """The mean time of one call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """0: nothing runs on a device."""
        return 0.0

    cuda_time = device_time

    @property
    def cpu_time_str(self) -> str:
        """cpu_time as text."""
        return _time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        """cpu_time_total as text."""
        return _time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """self_cpu_time_total as text."""
        return _time(self.self_cpu_time_total)


class Interval:
    """From when to when, in microseconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """How long."""
        return self.end - self.start


class FunctionEvent(_Figures):
    """One call of an operator, or one run of a part that the program marks."""

    def __init__(self, row: tuple[Any, ...], number: int, prefix: str) -> None:
        name, kernel, place, shapes, begin, end, flops, moved, made, _, step, thread, part = row
        self.id = number
        self.name = self.key = name if part or step >= 0 else prefix + name
        self.kernel, self.scope_text, self.thread, self.is_user_annotation = kernel, place, thread, part
        self.time_range = Interval(begin / 1e3, end / 1e3)
        self.input_shapes: list[list[int]] = _sizes(shapes)
        self.concrete_inputs: list[Any] = []
        self.stack: list[str] = [place] if place else []
        self.scope = 0
        self.flops, self.bytes_moved = flops, moved
        self.count = 1
        self.cpu_time_total = self.self_cpu_time_total = (end - begin) / 1e3
        self.cpu_memory_usage = self.self_cpu_memory_usage = made
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def cpu_time(self) -> float:
        """Its time."""
        return self.cpu_time_total

    def __repr__(self) -> str:
        return f"<FunctionEvent {self.name}: {_time(self.cpu_time_total)}, kernel {self.kernel or 'none'}>"


class FunctionEventAvg(_Figures):
    """All calls with the same name (and shapes, and place, where asked)."""

    def __init__(self) -> None:
        self.key = ""
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.flops = self.bytes_moved = 0
        self.kernel = ""
        self.input_shapes: Any = None
        self.stack: list[str] = []
        self.scope = 0
        self.is_user_annotation = False
        self.cpu_children: list[Any] = []
        self.cpu_parent = None

    def add(self, other: Any) -> FunctionEventAvg:
        """Count a call, or another average, in."""
        if not self.count:
            self.key, self.kernel, self.input_shapes = other.key, other.kernel, other.input_shapes
            self.stack, self.is_user_annotation = other.stack, other.is_user_annotation
        elif other.kernel not in self.kernel.split(", "):
            self.kernel = f"{self.kernel}, {other.kernel}"
        self.count += other.count
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def __iadd__(self, other: Any) -> FunctionEventAvg:
        return self.add(other)

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={_time(self.self_cpu_time_total)} "
            f"cpu_time={_time(self.cpu_time)} count={self.count}>"
        )


_SUMS = (
    *("cpu_time_total", "self_cpu_time_total", "cpu_memory_usage", "self_cpu_memory_usage"),
    *("flops", "bytes_moved"),
)


class EventList(list[Any]):
    """Calls, or averages of them."""

    def __init__(
        self, items: Iterable[Any] = (), profile_memory: bool = False, with_flops: bool = False
    ) -> None:
        super().__init__(items)
        self.profile_memory, self.with_flops = profile_memory, with_flops

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all, in microseconds."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(
        self,
        group_by_input_shapes: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """One average for each name, and for each set of shapes or each place if asked."""
        found: dict[tuple[Any, ...], FunctionEventAvg] = {}
        for event in self:
            key = (
                event.key,
                str(event.input_shapes) if group_by_input_shapes else "",
                tuple(event.stack[:group_by_stack_n]),
            )
            average = found.setdefault(key, FunctionEventAvg()).add(event)
            if not group_by_input_shapes:
                average.input_shapes = ""
            average.stack = list(event.stack[:group_by_stack_n])
        return EventList(found.values(), self.profile_memory, self.with_flops)

    def total_average(self) -> FunctionEventAvg:
        """All together."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.key, total.kernel = "Total", ""
        return total

    def export_chrome_trace(self, path: str) -> None:
        """Write the calls for a browser's trace viewer; `profile.export_chrome_trace` has more in it."""
        import json
        from pathlib import Path

        rows = [
            {
                "ph": "X",
                "pid": 1,
                "tid": e.thread,
                "ts": e.time_range.start,
                "dur": e.cpu_time_total,
                "name": e.name,
            }
            for e in self
        ]
        Path(path).write_text(json.dumps({"traceEvents": rows}))

    def export_stacks(self, path: str, metric: str) -> None:
        """Write lines of places and times, as flame graphs are made of. metric: a time of the calls."""
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                if event.stack and (value := int(getattr(event, metric))) > 0:
                    file.write(";".join([*reversed(event.stack), event.key]) + f" {value}\n")

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """Lines of text, the largest `sort_by` first (a figure such as "cpu_time_total" or "count")."""
        rows = list(self)
        if not rows:
            return ""
        if sort_by is not None:
            rows.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        if top_level_events_only:
            rows = [event for event in rows if event.cpu_parent is None]
        own = sum(event.self_cpu_time_total for event in self) or 1.0
        cells = [["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]]
        shapes = any(event.input_shapes for event in rows) and isinstance(rows[0].input_shapes, list)
        places = any(event.stack for event in rows)
        cells[0] += ["CPU Mem", "Self CPU Mem"] if self.profile_memory else []
        cells[0] += ["# of Calls"] + (["Total MFLOPs"] if self.with_flops else []) + ["Kernel"]
        cells[0] += (["Input Shapes"] if shapes else []) + (["Source Location"] if places else [])
        for event in rows[: row_limit if row_limit >= 0 else None]:
            line = [
                _cut(event.key, max_name_column_width),
                f"{100 * event.self_cpu_time_total / own:.2f}%",
                _time(event.self_cpu_time_total),
                f"{100 * event.cpu_time_total / own:.2f}%",
                _time(event.cpu_time_total),
                _time(event.cpu_time),
            ]
            if self.profile_memory:
                line += [_memory(event.cpu_memory_usage), _memory(event.self_cpu_memory_usage)]
            line.append(str(event.count))
            if self.with_flops:
                line.append(f"{event.flops / 1e6:.3f}" if event.flops else "--")
            line.append(_cut(event.kernel, 20))
            if shapes:
                line.append(_cut(str(event.input_shapes), max_shapes_column_width))
            if places:
                line.append(_cut(event.stack[0] if event.stack else "", max_src_column_width))
            cells.append(line)
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        rule = "  ".join("-" * width for width in widths)
        text = [header] if header else []
        for number, line in enumerate(cells):
            text += [rule] if number < 2 else []
            text.append("  ".join(f"{word:>{width}}" for word, width in zip(line, widths, strict=True)))
        return "\n".join([*text, rule, f"Self CPU time total: {_time(self.self_cpu_time_total)}", ""])

    def __str__(self) -> str:
        return self.table()


def events_of(rows: Sequence[tuple[Any, ...]], prefix: str) -> list[FunctionEvent]:
    """The recorded rows as a tree, in the order in which they began."""
    events = [FunctionEvent(row, i, prefix) for i, row in enumerate(rows)]
    events.sort(key=lambda e: (e.thread, e.time_range.start, -e.time_range.end))
    open_: list[FunctionEvent] = []
    for event in events:
        while open_ and (open_[-1].thread != event.thread or open_[-1].time_range.end < event.time_range.end):
            open_.pop()
        if open_:
            parent = event.cpu_parent = open_[-1]
            parent.cpu_children.append(event)
            parent.self_cpu_time_total -= event.cpu_time_total
        open_.append(event)
    for event in reversed(events):  # what lies inside comes first
        if event.cpu_parent is not None:
            event.cpu_parent.cpu_memory_usage += event.cpu_memory_usage
    events.sort(key=lambda e: e.time_range.start)
    return events


def _sizes(text: str) -> list[list[int]]:
    """ "float32[2, 3], int64[]" -> [[2, 3], []]"""
    out = []
    for part in text.split("[")[1:]:
        inside = part.partition("]")[0]
        out.append([int(size) for size in inside.split(", ")] if inside else [])
    return out


def _time(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def _memory(count: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."
