"""Datasets: collections of samples, by index or one after the other."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np

from moka import _C
from moka._C import Tensor

from .randomness import SampleRandom, draw_seed, shuffled

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """Samples by index: a subclass defines __getitem__ and, for samplers, __len__.

    A subclass may define `fetch_batch(indices, random)`, which gives a whole collated batch at once and
    spares a Python call for each sample; `random` is a SampleRandom.
    """

    def __getitem__(self, index: Any) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(index)")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Sample]):
    """Samples one after the other, from a stream: a subclass defines __iter__.

    With workers, one of them reads the stream, so that every sample comes once for any number of workers.
    """

    def __iter__(self) -> Iterator[Sample]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[Any]):
    """Several streams one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        super().__init__()
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from self._stream(dataset)

    def __len__(self) -> int:
        return sum(len(self._stream(dataset)) for dataset in self.datasets)

    @staticmethod
    def _stream(dataset: Any) -> Any:
        if not isinstance(dataset, IterableDataset):
            raise AssertionError(f"ChainDataset: every part must be an IterableDataset, not {dataset!r}")
        return dataset


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is (tensors[0][i], tensors[1][i], ...); all tensors have the same first size."""

    def __init__(self, *tensors: Tensor) -> None:
        sizes = [tuple(tensor.shape)[:1] for tensor in tensors]
        if any(size != sizes[0] or not size for size in sizes):
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
            raise AssertionError(
                f"TensorDataset: tensors must have the same first size, but have shapes {shapes}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def fetch_batch(self, indices: Sequence[int], random: SampleRandom) -> list[Tensor]:
        """The samples `indices`, stacked."""
        places = _C.from_numpy(np.array(indices, np.int64))
        return [_C.index_select(tensor, 0, places) for tensor in self.tensors]


class Subset(Dataset[Sample]):
    """The samples `indices` of another dataset, numbered from 0."""

    def __init__(self, dataset: Dataset[Sample], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        if hasattr(dataset, "fetch_batch"):
            self.fetch_batch = self._fetch_batch

    def __getitem__(self, index: Any) -> Sample:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def _fetch_batch(self, indices: Sequence[int], random: SampleRandom) -> Any:
        return self.dataset.fetch_batch([self.indices[i] for i in indices], random)  # type: ignore[attr-defined]


class ConcatDataset(Dataset[Sample]):
    """Several datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Sample]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset: at least one dataset is needed")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError(
                "ConcatDataset: datasets must have samples by index; an IterableDataset came"
            )
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        size = len(self)
        if index < -size:
            raise ValueError(f"ConcatDataset: index {index} is outside {size} samples")
        if index >= size:
            raise IndexError(f"ConcatDataset: index {index} is outside {size} samples")
        index %= size
        place = bisect_right(self.cumulative_sizes, index)
        return self.datasets[place][index - (self.cumulative_sizes[place - 1] if place else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class StackDataset(Dataset[Any]):
    """Sample i is (datasets[0][i], datasets[1][i], ...), or a dict where datasets are given by name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("StackDataset: datasets come by position or by name, not both")
        if not args and not kwargs:
            raise ValueError("StackDataset: at least one dataset is needed")
        self.datasets = args or kwargs
        sizes = [len(dataset) for dataset in self._parts()]
        if any(size != sizes[0] for size in sizes):
            raise ValueError(f"StackDataset: datasets must have the same size, but have {sizes}")
        self._length = sizes[0]

    def _parts(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _together(self, entries: Iterable[Any]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, entries, strict=True))
        return tuple(entries)

    def __getitem__(self, index: Any) -> Any:
        return self._together(dataset[index] for dataset in self._parts())

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        columns = []
        for dataset in self._parts():
            several = getattr(dataset, "__getitems__", None)
            samples = several(indices) if callable(several) else [dataset[i] for i in indices]
            if len(samples) != len(indices):
                raise ValueError(
                    f"StackDataset: __getitems__ of {type(dataset).__name__} gave {len(samples)} samples "
                    f"for {len(indices)} indices"
                )
            columns.append(samples)
        return [self._together(entries) for entries in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length


def random_split(
    dataset: Dataset[Sample], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Sample]]:
    """Split a dataset into random parts that do not overlap.

    Args:
        lengths: sizes that add up to len(dataset), or fractions that add up to 1.
        generator: decides the split; without it moka.manual_seed does.
    """
    size = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and any(isinstance(length, float) for length in lengths):
        counts = [math.floor(size * share) for share in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(length) for length in lengths]
    if sum(counts) != size or any(count < 0 for count in counts):
        raise ValueError(
            f"random_split: lengths {list(lengths)} do not add up to the {size} samples, nor to 1"
        )
    if _C._draws_as_torch():
        order = _C.randperm(size, generator=generator).tolist()
    else:
        order = shuffled(draw_seed(generator), 0, size).tolist()
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)]
