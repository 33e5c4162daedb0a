"""A progress bar: tqdm's where it is installed, else a plain one; silent when nobody watches."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TextIO, TypeVar

__all__ = ["ProgressBar", "progress"]

Item = TypeVar("Item")


def progress(
    iterable: Iterable[Item] | None = None,
    desc: str = "",
    total: int | None = None,
    unit: str = "batch",
    *,
    force: bool | None = None,
    file: TextIO | None = None,
) -> Any:
    """Iterate with a bar that shows how far it is, how fast, and how long it will take.

    Args:
        iterable: what to iterate over; without it call `update(n)` on the result.
        desc: what is going on.
        total: number of steps, len(iterable) when None and known.
        unit: what one step is.
        force: show it (True) or not (False) whatever `file` is; None shows it on terminals only.
        file: where to, sys.stderr when None.

    The result has update(n), set_postfix(name=value, ...) and close(), with tqdm's meaning.

    >>> for images, labels in moka.progress(loader, desc="epoch 1"): ...
    """
    stream = sys.stderr if file is None else file
    shown = stream.isatty() if force is None else force
    if shown:
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            return tqdm(iterable, desc=desc or None, total=total, unit=unit, file=stream, dynamic_ncols=True)
    return ProgressBar(iterable, desc, total, unit, shown, stream)


class ProgressBar(Generic[Item]):
    """A bar in one line, redrawn at most ten times a second."""

    def __init__(
        self,
        iterable: Iterable[Item] | None,
        desc: str,
        total: int | None,
        unit: str,
        shown: bool,
        stream: TextIO,
    ) -> None:
        if total is None and iterable is not None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except TypeError:
                total = None
        self.iterable = iterable
        self.desc = desc
        self.total = total
        self.unit = unit
        self.n = 0
        self._shown = shown
        self._stream = stream
        self._begin = time.monotonic()
        self._drawn = 0.0
        self._width = 0
        self._postfix = ""
        self._closed = False

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("ProgressBar: the number of steps is not known")
        return self.total

    def __iter__(self) -> Iterator[Item]:
        if self.iterable is None:
            raise TypeError("ProgressBar: it was made without an iterable; call update(n)")
        self._begin = time.monotonic()
        try:
            for item in self.iterable:
                yield item
                self.update(1)
        finally:
            self.close()

    def __enter__(self) -> ProgressBar[Item]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Say that n more steps are done."""
        self.n += n
        if self._shown and time.monotonic() - self._drawn >= 0.1:
            self._draw()

    def set_postfix(self, **values: Any) -> None:
        """Show values behind the bar."""
        parts = (
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in values.items()
        )
        self._postfix = " ".join(parts)

    def set_description(self, desc: str) -> None:
        """Change what is said to go on."""
        self.desc = desc

    def close(self) -> None:
        """Draw the last state and end the line."""
        if self._shown and not self._closed:
            self._draw()
            self._stream.write("\n")
            self._stream.flush()
        self._closed = True

    def text(self, columns: int = 80) -> str:
        """The line as it is drawn."""
        elapsed = max(time.monotonic() - self._begin, 1e-9)
        rate = self.n / elapsed
        head = f"{self.desc} " if self.desc else ""
        speed = f"{rate:.1f} {self.unit}/s" if rate >= 1 or not self.n else f"{1 / rate:.1f} s/{self.unit}"
        tail = f" {self.n}/{self.total}" if self.total is not None else f" {self.n}"
        tail += f" {_clock(elapsed)}"
        if self.total and self.n:
            tail += f"<{_clock(max(self.total - self.n, 0) / rate)}"
        tail += f" {speed}" + (f" {self._postfix}" if self._postfix else "")
        if not self.total:
            return head + tail.lstrip()
        share = min(self.n / self.total, 1.0)
        cells = max(min(columns - len(head) - len(tail) - 8, 40), 5)
        eighths = round(share * cells * 8)
        bar = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
        if (getattr(self._stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8":
            bar = "#" * (eighths // 8)
        return f"{head}{share:4.0%} |{bar:<{cells}}|{tail}"

    def _draw(self) -> None:
        columns = _columns(self._stream)
        line = self.text(columns)[: columns - 1]
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
        self._drawn = time.monotonic()


def _columns(stream: TextIO) -> int:
    try:
        return max(os.get_terminal_size(stream.fileno()).columns, 20)
    except (OSError, ValueError, AttributeError):
        return 80


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
