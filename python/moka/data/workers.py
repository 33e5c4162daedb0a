"""Threads that make batches ahead, in order, and say clearly what went wrong where."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any, NamedTuple

from moka import _C

from .collate import default_collate
from .dataset import IterableDataset
from .randomness import SampleRandom

__all__ = [
    "Fetcher",
    "LoaderError",
    "WorkerInfo",
    "get_worker_info",
    "sample_random",
    "serial_batches",
    "threaded_batches",
]


class LoaderError(RuntimeError):
    """A worker gave no batch in time, or ended with something that is no ordinary error (its `__cause__`)."""


class WorkerInfo(NamedTuple):
    """Which worker this thread is."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """Which worker of a loader this thread is; None outside of workers."""
    return getattr(_here, "worker", None)


def sample_random() -> SampleRandom:
    """Random numbers for the sample that is being fetched; for use in `Dataset.__getitem__`.

    They depend on the loader's seed, the epoch and the sample only, so that the data are the same for any
    number of workers. Outside of a loader every call gives fresh numbers.
    """
    place = getattr(_here, "sample", None)
    if place is None:
        from .randomness import draw_seed

        return SampleRandom(draw_seed(), 0, [0])
    return SampleRandom(*place)


class Fetcher:
    """Makes one batch from its indices; used by the calling thread and by workers alike."""

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        seed: int,
        epoch: int,
        batch_size: int | None,
        drop_last: bool,
        batches: bool,
    ) -> None:
        self.dataset = dataset
        self.seed = seed
        self.epoch = epoch
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.collate = collate
        self.batches = batches
        self.whole = collate is default_collate and hasattr(dataset, "fetch_batch")
        self.several = getattr(dataset, "__getitems__", None)
        self.streaming = isinstance(dataset, IterableDataset)

    def stream(self) -> Iterator[Any]:
        """Lists of samples of an IterableDataset (or single samples)."""
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from samples
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def fetch(self, work: Any, at: Callable[[Any], None]) -> Any:
        """The batch for one piece of work; `at` is told which sample is worked on."""
        if self.streaming:
            return self.collate(work)
        if not self.batches:
            return self.collate(self._sample(work, at))
        if self.whole:
            return self.dataset.fetch_batch(work, SampleRandom(self.seed, self.epoch, work))
        if callable(self.several):
            return self.collate(self.several(work))
        samples = [self._sample(index, at) for index in work]
        at(None)
        return self.collate(samples)

    def _sample(self, index: Any, at: Callable[[Any], None]) -> Any:
        at(index)
        _here.sample = (self.seed, self.epoch, _numbers(index))
        try:
            return self.dataset[index]
        finally:
            _here.sample = None


def _numbers(index: Any) -> list[int]:
    """Numbers that stand for an index; a list of indices is many."""
    if isinstance(index, list):
        return [number for entry in index for number in _numbers(entry)]
    return [index if isinstance(index, int) else hash(index)]


def _place(dataset: Any, batch: int, sample: Any) -> str:
    where = f"batch {batch}" if sample is None else f"sample {sample} (batch {batch})"
    return f"{where} of {type(dataset).__name__}"


def serial_batches(fetcher: Fetcher, work: Iterator[Any], first: int) -> Generator[Any, None, None]:
    """The batches from number `first` on, made in the calling thread when asked for."""
    at: list[Any] = [None]
    for number, piece in enumerate(work):
        if number < first:
            continue
        at[0] = None
        try:
            batch = fetcher.fetch(piece, lambda sample: at.__setitem__(0, sample))
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"DataLoader: while fetching {_place(fetcher.dataset, number, at[0])}")
            raise
        yield batch


class _Shared:
    """What the workers of one pass and its reader share; `changed` guards everything in it."""

    def __init__(self, fetcher: Fetcher, work: Iterator[Any], first: int, ahead: int, workers: int) -> None:
        self.fetcher = fetcher
        self.work = enumerate(work)
        self.first = first
        self.ahead = ahead
        self.workers = workers
        self.changed = threading.Condition()
        self.taking = threading.Lock()  # one worker at a time asks the sampler or the stream
        self.ready: dict[int, Any] = {}
        self.wanted = first  # number of the next batch to deliver
        self.taken = first  # number of the next batch to make
        self.end: int | None = None
        self.failure: tuple[str, BaseException] | None = None  # where, and what
        self.stopped = False
        self.busy: dict[int, tuple[int, Any, float]] = {}
        self.threads: list[threading.Thread] = []
        # As torch: each worker draws from a stream of its own, so its batches are always the same ones.
        self.turns = _C._draws_as_torch() and not fetcher.streaming
        self.kept: list[deque[tuple[int, Any]]] = [deque() for _ in range(workers)]

    def take(self, worker: int) -> tuple[int, Any] | None:
        """The next piece of work with its number; None when there is no more."""
        with self.taking:
            if self.kept[worker]:
                return self.kept[worker].popleft()
            if self.stopped or self.end is not None:
                return None
            for number, piece in self.work:
                if number < self.first:
                    continue
                self.taken = number + 1
                if not self.turns or number % self.workers == worker:
                    return number, piece
                self.kept[number % self.workers].append((number, piece))
            with self.changed:
                self.end = self.taken
                self.changed.notify_all()
            return None

    def stop(self) -> None:
        """Tell the workers to end, and wait a moment for them; one inside the user's code ends after it."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        deadline = time.monotonic() + 1.0
        for thread in self.threads:
            # Ctrl-C may come while a thread starts: that one sees `stopped` when it runs.
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))


_running: weakref.WeakSet[_Shared] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for shared in list(_running):
        shared.stop()


def _run_worker(shared: _Shared, worker: int, init: Callable[[int], None] | None) -> None:
    fetcher = shared.fetcher
    _here.worker = WorkerInfo(worker, shared.workers, fetcher.seed + worker, fetcher.dataset)
    number, sample = -1, None
    own = _own_stream(fetcher.seed + worker) if _C._draws_as_torch() else None

    def at(index: Any) -> None:
        nonlocal sample
        sample = index
        shared.busy[worker] = (number, index, time.monotonic())

    try:
        if init is not None:
            init(worker)
        while True:
            if shared.turns:
                _C._thread_generator(None)  # samplers draw as without workers
            taken = shared.take(worker)
            _C._thread_generator(own)
            if taken is None:
                return
            number, piece = taken
            with shared.changed:
                while number >= shared.wanted + shared.ahead and not shared.stopped:
                    shared.changed.wait()
                if shared.stopped:
                    return
            at(None)
            batch = fetcher.fetch(piece, at)
            shared.busy.pop(worker, None)
            with shared.changed:
                shared.ready[number] = batch
                shared.changed.notify_all()
            number, sample = -1, None
    except BaseException as error:
        what = (
            "between batches" if number < 0 else f"while fetching {_place(fetcher.dataset, number, sample)}"
        )
        with shared.changed:
            if shared.failure is None:
                shared.failure = (f"DataLoader: worker {worker}, {what}", error)
            shared.stopped = True
            shared.changed.notify_all()
    finally:
        _C._thread_generator(None)


def _own_stream(seed: int) -> Any:
    own = _C.Generator()
    own.manual_seed(seed)
    _C._thread_generator(own)
    return own


def threaded_batches(
    fetcher: Fetcher,
    work: Iterator[Any],
    first: int,
    workers: int,
    prefetch: int,
    timeout: float,
    init: Callable[[int], None] | None,
) -> Generator[Any, None, None]:
    """The batches from number `first` on, in order, made by threads up to workers * prefetch ahead.

    An error in a worker is raised at the next batch that is asked for, even if batches before it are ready.
    """
    if fetcher.streaming:
        workers = 1  # a stream has one reader
    shared = _Shared(fetcher, work, first, workers * prefetch, workers)
    _running.add(shared)
    try:
        for worker in range(workers):
            name = f"moka-loader-{worker}"
            thread = threading.Thread(target=_run_worker, args=(shared, worker, init), name=name, daemon=True)
            shared.threads.append(thread)
            thread.start()
        while True:
            with shared.changed:
                deadline = time.monotonic() + timeout
                while shared.failure is None and shared.wanted not in shared.ready:
                    if shared.end is not None and shared.wanted >= shared.end:
                        return
                    left = deadline - time.monotonic()
                    if timeout and left <= 0:
                        raise LoaderError(_late(shared, timeout))
                    shared.changed.wait(left if timeout else None)
                if shared.failure is not None:
                    raise _failure(*shared.failure)
                batch = shared.ready.pop(shared.wanted)
                shared.wanted += 1
                shared.changed.notify_all()
            yield batch
    finally:
        shared.stop()


def _failure(where: str, error: BaseException) -> BaseException:
    """What the reader raises: the worker's error, as without workers, with a note that says where."""
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        wrapped = LoaderError(f"{where}: {type(error).__name__}: {error}")
        wrapped.__cause__ = error
        return wrapped
    if hasattr(error, "add_note"):
        error.add_note(where)
    return error


def _late(shared: _Shared, timeout: float) -> str:
    now = time.monotonic()
    at = [
        f"worker {worker} is on {_place(shared.fetcher.dataset, number, sample)} since {now - since:.1f} s"
        for worker, (number, sample, since) in sorted(shared.busy.items())
    ]
    return f"DataLoader: no batch within {timeout:g} s; {'; '.join(at) or 'no worker is on a batch'}"
