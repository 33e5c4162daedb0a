"""torch.multiprocessing: Python's own, and functions that start one program in several processes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = [
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "init_reductions",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

Queue, SimpleQueue, Pool, Process, Manager, Event, Lock, Value, Array, Pipe = (
    getattr(multiprocessing, name)
    for name in "Queue SimpleQueue Pool Process Manager Event Lock Value Array Pipe".split()
)


def get_all_sharing_strategies() -> set[str]:
    """One: shared tensors go to other processes as open files, all others by value."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """That one."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Kept out: there is one strategy."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise ValueError(f"set_sharing_strategy: unknown strategy {new_strategy!r}")


def init_reductions() -> None:
    """Nothing: tensors can be pickled."""


class ProcessException(Exception):
    """A process of spawn() failed."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid


class ProcessRaisedException(ProcessException):
    """It raised an error, whose traceback the message has."""


class ProcessExitedException(ProcessException):
    """It exited with another code than zero, or by a signal."""

    def __init__(
        self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name


def _run(function: Callable[..., Any], index: int, args: tuple[Any, ...], told: str) -> None:
    try:
        function(index, *args)
    except KeyboardInterrupt:
        raise SystemExit(1) from None
    except Exception:
        Path(told).write_text(traceback.format_exc())
        raise SystemExit(1) from None


class ProcessContext:
    """The processes of one spawn()."""

    def __init__(self, processes: list[Any], error_files: list[str]) -> None:
        self.processes, self.error_files = processes, error_files
        self.sentinels = {process.sentinel: i for i, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their numbers."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until one more has ended; whether all have. Raises the error of one that failed, after
        ending the
        others.
        """
        if not self.sentinels:
            return True
        ready = multiprocessing.connection.wait(list(self.sentinels), timeout)
        failed = None
        for sentinel in ready:
            index = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                failed = index
                break
        if failed is None:
            return not self.sentinels
        for process in self.processes:
            if process.is_alive():
                process.terminate()
            process.join()
        self._raise(failed)
        return True

    def _raise(self, index: int) -> None:
        process, told = self.processes[index], Path(self.error_files[index])
        text = told.read_text() if told.exists() else ""
        if text:
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n{text}", index, process.pid
            )
        code = process.exitcode
        if code < 0:
            name = signal.Signals(-code).name
            raise ProcessExitedException(
                f"process {index} terminated with signal {name}", index, process.pid, code, name
            )
        raise ProcessExitedException(
            f"process {index} terminated with exit code {code}", index, process.pid, code
        )


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
    numa_options: Any = None,
) -> ProcessContext | None:
    """Run `fn(i, *args)` in `nprocs` processes; with `join`, until all have ended."""
    context = multiprocessing.get_context(start_method)
    folder = tempfile.mkdtemp(prefix="moka_processes_")
    processes, files = [], []
    for i in range(nprocs):
        files.append(os.path.join(folder, f"{i}"))
        process = context.Process(  # type: ignore[attr-defined]
            target=_run, args=(fn, i, args, files[-1]), daemon=daemon
        )
        process.start()
        processes.append(process)
    started = ProcessContext(processes, files)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """start_processes with a fresh Python in each."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
