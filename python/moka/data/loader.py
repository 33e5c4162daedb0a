"""DataLoader: batches of a dataset, in an order that can be resumed, made ahead of time by threads."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from moka import _C

from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .randomness import draw_as_torch, draw_seed, peek_as_torch
from .sampler import BatchSampler, EndlessSampler, RandomSampler, Sampler, SequentialSampler
from .workers import Fetcher, serial_batches, threaded_batches

__all__ = ["DataLoader"]

Batch = TypeVar("Batch", covariant=True)
# What order and batches were made of.
_SETTLED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader(Generic[Batch]):
    """Iterable over the batches of a dataset; every iteration is an epoch.

    The data depend on seed, epoch and sample only: the same for any number of workers, and after a resume.

    Args:
        dataset: samples by index, or an IterableDataset.
        batch_size: samples in a batch; None gives single samples, not collated.
        shuffle: visit the samples in a new random order in every epoch.
        sampler: gives indices, in place of `shuffle`.
        batch_sampler: gives lists of indices, in place of batch_size, shuffle, sampler and drop_last.
        num_workers: threads that make batches ahead; 0 makes them when asked for. Never forks.
        collate_fn: makes a batch of a list of samples; default_collate when None. Without batches it is
            called with each sample; default_convert when None.
        pin_memory: warns, as there is no device memory to copy to.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a batch before an error names what the worker is at; 0 waits for ever.
        worker_init_fn: called with the worker's number in each new worker.
        prefetch_factor: batches made ahead for each worker, 2 when None.
        generator: decides order and augmentation; without it moka.manual_seed does.
        multiprocessing_context, persistent_workers, pin_memory_device, in_order: kept as attributes;
        workers are
            threads, which begin in every epoch, and batches come in order.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable[Any] | None = None,
        batch_sampler: Sampler | Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must not be negative, but is {num_workers}")
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout must not be negative, but is {timeout}")
        if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
            raise ValueError("DataLoader: prefetch_factor must be at least 1 and needs num_workers above 0")
        if pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory "
                "won't be used.",
                UserWarning,
                stacklevel=2,
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if multiprocessing_context is not None and num_workers == 0:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading (num_workers "
                "> 0), but got "
                "num_workers=0"
            )
        iterable = isinstance(dataset, IterableDataset)
        ordering = getattr(dataset, "order_from_loader", None)  # pipes of samples are shuffled inside
        if ordering is not None and shuffle is not None:
            dataset, shuffle = ordering(shuffle), None
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset has its own order; shuffle and samplers do not apply"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give sampler or shuffle, not both")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler replaces batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size")
        self.dataset = dataset
        self.batch_size = None if batch_sampler is not None else batch_size
        self.num_workers = num_workers
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.generator = generator
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.persistent_workers = persistent_workers
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._seed: int | None = None
        self._epoch = 0
        self._delivered = 0
        self._running = False
        self._current: object = None
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        items: Any = dataset
        if not iterable and batch_sampler is None:
            if sampler is None:
                self.sampler = (
                    RandomSampler(items, generator=generator) if shuffle else SequentialSampler(items)
                )
                self._owns_sampler = True
            if batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        elif iterable:
            self.sampler = EndlessSampler()
            if batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        else:
            self.sampler = SequentialSampler(items)  # as in torch; not used
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self._is_made = True

    _owns_sampler = False
    _is_made = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_made and name in _SETTLED:
            raise ValueError(
                f"DataLoader: {name} should not be set after the loader is made, for others were made of it; "
                "make another loader"
            )
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_size is not None or self.batch_sampler is not None

    @property
    def seed(self) -> int:
        """The number on which order and augmentation of all epochs depend."""
        if self._seed is None:
            self._seed = draw_seed(self.generator)
        return self._seed

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            size = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return size
            return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        if self._running:  # the last iteration was left before its end
            self._epoch += 1
            self._delivered = 0
        self._running = True
        seeding = getattr(self.dataset, "seed_from_loader", None)
        if seeding is not None:
            seeding(self.generator)
        if _C._draws_as_torch():
            self._seed = draw_as_torch(self.generator)
        self._current = token = object()
        return self._deliver(token)

    def _deliver(self, token: object) -> Iterator[Any]:
        epoch, first = self._epoch, self._delivered
        fetcher = Fetcher(
            self.dataset,
            self.collate_fn,
            self.seed,
            epoch,
            self.batch_size,
            self.drop_last,
            self._auto_collation,
        )
        work = self._work(epoch, fetcher)
        if self.num_workers:
            batches = threaded_batches(
                fetcher,
                work,
                first,
                self.num_workers,
                self.prefetch_factor,
                self.timeout,
                self.worker_init_fn,
            )
        else:
            batches = serial_batches(fetcher, work, first)
        try:
            for batch in batches:
                if self._current is token:
                    self._delivered += 1
                yield batch
        finally:
            batches.close()
        if self._current is token:
            self._epoch, self._delivered, self._running = epoch + 1, 0, False

    def _work(self, epoch: int, fetcher: Fetcher) -> Iterator[Any]:
        """What has to be fetched for each batch: lists of indices, or samples of a stream."""
        if isinstance(self.dataset, IterableDataset):
            return fetcher.stream()
        for sampler in (self.sampler, self.batch_sampler):
            if self._owns_sampler and isinstance(sampler, RandomSampler):
                sampler._seed = self.seed
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        return iter(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: seed, epoch, and batches already given in it. Save it with the model."""
        drawn = self._seed is not None or not _C._draws_as_torch()
        seed = self.seed if drawn else peek_as_torch(self.generator)
        state: dict[str, Any] = {"seed": seed, "epoch": self._epoch, "batch": self._delivered}
        if not self._owns_sampler and hasattr(self.sampler, "state_dict"):
            state["sampler"] = self.sampler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration go on, in the middle of an epoch, where `state_dict()` was taken."""
        missing = [key for key in ("seed", "epoch", "batch") if key not in state]
        if missing:
            raise ValueError(
                f"DataLoader.load_state_dict: {', '.join(missing)} missing in the state; it must come from "
                "state_dict() of a DataLoader"
            )
        self._seed = int(state["seed"])
        self._epoch = int(state["epoch"])
        self._delivered = int(state["batch"])
        self._running = False
        if "sampler" in state and hasattr(self.sampler, "load_state_dict"):
            self.sampler.load_state_dict(state["sampler"])
