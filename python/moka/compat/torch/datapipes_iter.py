"""Pipes over streams: `torch.utils.data.datapipes.iter`."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import fnmatch
import os
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from moka.data.collate import default_collate
from moka.data.randomness import draw_as_torch
from moka.data.sampler import SequentialSampler

from .datapipes import DataChunk, IterDataPipe, functional_datapipe

__all__ = [
    *("Batcher", "Collator", "Concater", "Demultiplexer", "FileLister", "FileOpener", "Filter", "Forker"),
    *("Grouper", "IterDataPipe", "IterableWrapper", "Mapper", "Multiplexer", "Sampler", "ShardingFilter"),
    *("Shuffler", "UnBatcher", "Zipper"),
]


class _Over(IterDataPipe):
    """A pipe with as many samples as its source."""

    datapipe: Any

    def __len__(self) -> int:
        return len(self.datapipe)


class IterableWrapper(IterDataPipe):
    """A pipe over an iterable, copied in every iteration unless `deepcopy` is False."""

    def __init__(self, iterable: Any, deepcopy: bool = True) -> None:
        self.iterable, self.deepcopy = iterable, deepcopy

    def __iter__(self) -> Iterator[Any]:
        yield from copy.deepcopy(self.iterable) if self.deepcopy else self.iterable

    def __len__(self) -> int:
        return len(self.iterable)


@functional_datapipe("map")
class Mapper(_Over):
    """`fn` of every sample, or of its columns `input_col`, put into `output_col` (else in their place)."""

    def __init__(
        self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None
    ) -> None:
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        if isinstance(output_col, list | tuple):
            if len(output_col) > 1:
                raise ValueError("`output_col` must be a single-element list or tuple")
            output_col = output_col[0]
        self.datapipe, self.fn, self.input_col, self.output_col = datapipe, fn, input_col, output_col

    def _of(self, sample: Any) -> Any:
        if self.input_col is None:
            return self.fn(sample)
        several = isinstance(self.input_col, list | tuple)
        result = self.fn(*(sample[c] for c in self.input_col)) if several else self.fn(sample[self.input_col])
        changed = list(sample) if isinstance(sample, tuple) else copy.copy(sample)
        if self.output_col == -1:
            changed.append(result)
        elif self.output_col is not None:
            changed[self.output_col] = result
        else:
            first, *others = self.input_col if several else [self.input_col]
            changed[first] = result
            for column in sorted(others, reverse=True) if not isinstance(changed, dict) else others:
                del changed[column]
        return tuple(changed) if isinstance(sample, tuple) else changed

    def __iter__(self) -> Iterator[Any]:
        for sample in self.datapipe:
            yield self._of(sample)


@functional_datapipe("collate")
class Collator(Mapper):
    """Batches as tensors, by `collate_fn`."""

    def __init__(
        self, datapipe: Any, conversion: Any = None, collate_fn: Callable[[Any], Any] | None = None
    ) -> None:
        chosen = collate_fn or (conversion if callable(conversion) else None) or default_collate
        super().__init__(datapipe, chosen)


@functional_datapipe("filter")
class Filter(IterDataPipe):
    """The samples for which `filter_fn` (of the sample or its columns `input_col`) is True."""

    def __init__(self, datapipe: Any, filter_fn: Callable[..., Any], input_col: Any = None) -> None:
        self.datapipe, self.filter_fn, self.input_col = datapipe, filter_fn, input_col

    def _holds(self, sample: Any) -> bool:
        if self.input_col is None:
            return bool(self.filter_fn(sample))
        if isinstance(self.input_col, list | tuple):
            return bool(self.filter_fn(*(sample[column] for column in self.input_col)))
        return bool(self.filter_fn(sample[self.input_col]))

    def __iter__(self) -> Iterator[Any]:
        return (sample for sample in self.datapipe if self._holds(sample))


@functional_datapipe("shuffle")
class Shuffler(_Over):
    """Samples drawn from a buffer of `buffer_size`, in an order that `set_seed` or the default generator
    decides.
    """

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0) -> None:
        if buffer_size <= 0:
            raise ValueError("buffer_size should be larger than 0")
        self.datapipe = datapipe.unbatch(unbatch_level=unbatch_level) if unbatch_level else datapipe
        self.buffer_size, self._enabled, self._seed = buffer_size, True, None

    def set_shuffle(self, shuffle: bool = True) -> Shuffler:
        """Switch the shuffling; gives the pipe back."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> Shuffler:
        """The seed of the next iteration; gives the pipe back."""
        self._seed: int | None = seed
        return self

    def __iter__(self) -> Iterator[Any]:
        if not self._enabled:
            yield from self.datapipe
            return
        seed, self._seed = draw_as_torch() if self._seed is None else self._seed, None
        numbers, buffer = random.Random(seed), []
        for sample in self.datapipe:
            if len(buffer) < self.buffer_size:
                buffer.append(sample)
                continue
            place = numbers.randint(0, len(buffer) - 1)
            given, buffer[place] = buffer[place], sample
            yield given
        while buffer:
            yield buffer.pop(numbers.randint(0, len(buffer) - 1))


class Sampler(IterDataPipe):
    """The indices or samples that a sampler over the pipe gives."""

    def __init__(
        self,
        datapipe: Any,
        sampler: Any = SequentialSampler,
        sampler_args: Any = (),
        sampler_kwargs: Any = None,
    ) -> None:
        self.datapipe = datapipe
        self.sampler = sampler(*sampler_args, **{"data_source": datapipe, **(sampler_kwargs or {})})

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)


@functional_datapipe("batch")
class Batcher(IterDataPipe):
    """Lists of `batch_size` samples; the last is shorter, or left out with `drop_last`."""

    def __init__(
        self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = DataChunk
    ) -> None:
        if batch_size <= 0:
            raise AssertionError("Batch size is required to be larger than 0!")
        self.datapipe, self.batch_size, self.drop_last = datapipe, batch_size, drop_last
        self.wrapper_class = wrapper_class

    def __iter__(self) -> Iterator[Any]:
        batch: list[Any] = []
        for sample in self.datapipe:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.wrapper_class(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.wrapper_class(batch)

    def __len__(self) -> int:
        size = len(self.datapipe)
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcher(IterDataPipe):
    """The samples of lists, `unbatch_level` lists deep; -1 goes down to what is no list."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1) -> None:
        self.datapipe, self.unbatch_level = datapipe, unbatch_level

    def _opened(self, value: Any, level: int) -> Iterator[Any]:
        if level == 0 or (level < 0 and not isinstance(value, list)):
            yield value
        elif not isinstance(value, list):
            raise IndexError(f"unbatch_level {self.unbatch_level} exceeds the depth of the DataPipe")
        else:
            for entry in value:
                yield from self._opened(entry, level - 1 if level > 0 else level)

    def __iter__(self) -> Iterator[Any]:
        if self.unbatch_level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        for value in self.datapipe:
            yield from self._opened(value, self.unbatch_level)


@functional_datapipe("groupby")
class Grouper(IterDataPipe):
    """Lists of samples with one key, given when `group_size` are there, the buffer is full, or at the end."""

    def __init__(
        self,
        datapipe: Any,
        group_key_fn: Callable[[Any], Any],
        *,
        keep_key: bool = False,
        buffer_size: int = 10000,
        group_size: int | None = None,
        guaranteed_group_size: int | None = None,
        drop_remaining: bool = False,
    ) -> None:
        self.datapipe, self.group_key_fn, self.keep_key = datapipe, group_key_fn, keep_key
        self.buffer_size, self.group_size, self.drop_remaining = buffer_size, group_size, drop_remaining
        self.least = group_size if guaranteed_group_size is None else guaranteed_group_size

    def _given(self, key: Any, group: list[Any]) -> Any:
        return (key, DataChunk(group)) if self.keep_key else DataChunk(group)

    def __iter__(self) -> Iterator[Any]:
        groups: dict[Any, list[Any]] = {}
        held = 0
        for sample in self.datapipe:
            key = self.group_key_fn(sample)
            group = groups.setdefault(key, [])
            group.append(sample)
            held += 1
            if len(group) == self.group_size:
                held -= len(group)
                yield self._given(key, groups.pop(key))
            if held == self.buffer_size:
                biggest = max(groups, key=lambda entry: len(groups[entry]))
                group = groups.pop(biggest)
                held -= len(group)
                if self.least is not None and len(group) < self.least and not self.drop_remaining:
                    raise RuntimeError(f"Failed to group items {group}")
                if self.least is None or len(group) >= self.least:
                    yield self._given(biggest, group)
        for key, group in groups.items():
            yield self._given(key, group)


class _Several(IterDataPipe):
    def __init__(self, *datapipes: Any) -> None:
        if not datapipes:
            raise ValueError("Expected at least one DataPipe, but got nothing")
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError("Expected all inputs to be `IterDataPipe`")
        self.datapipes = datapipes


@functional_datapipe("concat")
class Concater(_Several):
    """One pipe behind the other."""

    def __iter__(self) -> Iterator[Any]:
        for pipe in self.datapipes:
            yield from pipe

    def __len__(self) -> int:
        return sum(len(pipe) for pipe in self.datapipes)


@functional_datapipe("zip")
class Zipper(_Several):
    """Tuples of a sample of each pipe, until the shortest ends."""

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(len(pipe) for pipe in self.datapipes)


@functional_datapipe("mux")
class Multiplexer(_Several):
    """A sample of each pipe in turn, until the shortest ends."""

    def __iter__(self) -> Iterator[Any]:
        for row in zip(*self.datapipes, strict=False):
            yield from row

    def __len__(self) -> int:
        return len(self.datapipes) * min(len(pipe) for pipe in self.datapipes)


class _Shared:
    """One source that several pipes read, each at its own pace."""

    def __init__(self, datapipe: Any, count: int, targets: Callable[[Any], Any], buffer_size: int) -> None:
        if count < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {count} is found")
        if buffer_size == 0:
            raise ValueError("Expected `buffer_size` larger than 0, but 0 is found")
        self.datapipe, self.targets, self.buffer_size = datapipe, targets, buffer_size
        self.queues: list[deque[Any]] = [deque() for _ in range(count)]
        self.begun = [False] * count
        self.stream: Any = None

    def read(self, number: int) -> Iterator[Any]:
        if self.stream is None or self.begun[number]:  # a second iteration of one pipe begins all anew
            self.stream = iter(self.datapipe)
            self.begun = [False] * len(self.queues)
            for queue in self.queues:
                queue.clear()
        self.begun[number] = True
        stream, queue = self.stream, self.queues[number]
        while True:
            if queue:
                yield queue.popleft()
            else:
                try:
                    sample = next(stream)
                except StopIteration:
                    return
                for target in self.targets(sample):
                    if 0 <= self.buffer_size <= len(self.queues[target]):
                        raise BufferError(
                            f"DataPipe buffer overflow, buffer size {self.buffer_size} is insufficient."
                        )
                    self.queues[target].append(sample)


class _Child(IterDataPipe):
    def __init__(self, shared: _Shared, number: int, copied: Callable[[Any], Any] | None = None) -> None:
        self.shared, self.number, self.copied = shared, number, copied
        self.datapipe = shared.datapipe

    def __iter__(self) -> Iterator[Any]:
        samples = self.shared.read(self.number)
        return samples if self.copied is None else map(self.copied, samples)


class _Fork(_Child, _Over):
    pass


@functional_datapipe("fork")
class Forker(IterDataPipe):
    """`num_instances` pipes with all the samples; `copy` is None, "shallow" or "deep"."""

    def __new__(
        cls, datapipe: Any, num_instances: int, buffer_size: int = 1000, copy: str | None = None
    ) -> Any:
        ways = {None: None, "shallow": _copy, "deep": _deepcopy}
        if copy not in ways:
            raise ValueError(f"Unknown copy method {copy}, should be one of None, 'shallow' or 'deep'")
        shared = _Shared(datapipe, num_instances, lambda _: range(num_instances), buffer_size)
        return [_Fork(shared, number, ways[copy]) for number in range(num_instances)]


_copy, _deepcopy = copy.copy, copy.deepcopy


@functional_datapipe("demux")
class Demultiplexer(IterDataPipe):
    """`num_instances` pipes; `classifier_fn` says by number which of them has a sample."""

    def __new__(
        cls,
        datapipe: Any,
        num_instances: int,
        classifier_fn: Callable[[Any], int | None],
        drop_none: bool = False,
        buffer_size: int = 1000,
    ) -> Any:
        def targets(sample: Any) -> tuple[int, ...]:
            number = classifier_fn(sample)
            if number is None and drop_none:
                return ()
            if number is None or not 0 <= number < num_instances:
                raise ValueError(
                    f"Output of the classification fn should be between 0 and {num_instances - 1}. "
                    f"{number} is returned."
                )
            return (number,)

        shared = _Shared(datapipe, num_instances, targets, buffer_size)
        return [_Child(shared, number) for number in range(num_instances)]


@functional_datapipe("sharding_filter")
class ShardingFilter(_Over):
    """Every n-th sample once `apply_sharding(n, first)` was called; before, all."""

    def __init__(self, source_datapipe: Any, sharding_group_filter: Any = None) -> None:
        self.datapipe = self.source_datapipe = source_datapipe
        self.num_of_instances, self.instance_id = 1, 0

    def apply_sharding(self, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> None:
        """Which share to give. Raises ValueError where `instance_id` is too large."""
        if instance_id >= num_of_instances:
            raise ValueError(
                f"instance_id({instance_id}) should be smaller than num_of_instances({num_of_instances})"
            )
        self.num_of_instances, self.instance_id = num_of_instances, instance_id

    def __iter__(self) -> Iterator[Any]:
        for number, sample in enumerate(self.datapipe):
            if number % self.num_of_instances == self.instance_id:
                yield sample

    def __len__(self) -> int:
        size = len(self.datapipe)
        return size // self.num_of_instances + (self.instance_id < size % self.num_of_instances)


@functional_datapipe("list_files")
class FileLister(IterDataPipe):
    """Paths of the files in folders whose names match the masks."""

    def __init__(
        self,
        root: Any = ".",
        masks: Any = "",
        *,
        recursive: bool = False,
        abspath: bool = False,
        non_deterministic: bool = False,
        length: int = -1,
    ) -> None:
        self.datapipe = IterableWrapper([root]) if isinstance(root, str) else root
        self.masks = [masks] if isinstance(masks, str) else list(masks)
        self.recursive, self.abspath = recursive, abspath

    def __iter__(self) -> Iterator[str]:
        for root in self.datapipe:
            top = os.path.abspath(root) if self.abspath else root
            for folder, below, names in os.walk(top):
                below.sort()
                for name in sorted(names):
                    if any(not mask or fnmatch.fnmatch(name, mask) for mask in self.masks):
                        yield os.path.join(folder, name)
                if not self.recursive:
                    break


@functional_datapipe("open_files")
class FileOpener(_Over):
    """Pairs of path and open file."""

    def __init__(self, datapipe: Any, mode: str = "r", encoding: str | None = None, length: int = -1) -> None:
        if mode not in ("b", "t", "rb", "rt", "r"):
            raise ValueError(f"Invalid mode {mode}")
        self.datapipe, self.encoding = datapipe, encoding
        self.mode = mode if mode.startswith("r") else f"r{mode}"

    def __iter__(self) -> Iterator[Any]:
        for path in self.datapipe:
            yield path, open(path, self.mode, encoding=self.encoding)  # noqa: SIM115 - the reader closes it
