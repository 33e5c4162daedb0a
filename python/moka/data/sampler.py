"""Samplers: the order in which a loader visits the samples; a pure function of (seed, epoch)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import repeat
from typing import Any, Generic, TypeVar

import numpy as np

from moka import _C

from .randomness import SampleRandom, draw_as_torch, draw_seed, shuffled

__all__ = [
    "BatchSampler",
    "DistributedSampler",
    "EndlessSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """Gives indices when iterated; a subclass defines __iter__, and __len__ where it is known."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class EndlessSampler(Sampler):
    """None without end: the order of data that come in an order of their own."""

    def __iter__(self) -> Iterator[None]:
        return repeat(None)


class _Random(Sampler):
    """A sampler whose order depends on a seed (drawn from `generator` at first use) and on the epoch.

    Every pass is a new epoch; `set_epoch` says which one comes next, which is how a loader resumes.
    """

    def __init__(self, generator: Any = None, seed: int | None = None) -> None:
        self.generator = generator
        self._seed = seed
        self._epoch = 0

    @property
    def seed(self) -> int:
        """The seed of all passes."""
        if self._seed is None:
            self._seed = draw_seed(self.generator)
        return self._seed

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Seed and number of the next epoch."""
        return {"seed": self.seed, "epoch": self._epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict()` was taken."""
        self._seed, self._epoch = int(state["seed"]), int(state["epoch"])

    def _order(self, epoch: int) -> np.ndarray:
        raise NotImplementedError

    def _torch_order(self) -> Iterator[int]:
        """The order in which torch would visit the samples, with its draws."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        if _C._draws_as_torch():
            return self._torch_order()
        epoch = self._epoch
        self._epoch += 1
        return iter(self._order(epoch).tolist())


class RandomSampler(_Random):
    """Every sample once in random order; with `replacement`, num_samples independent draws."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(generator, seed)
        if not isinstance(replacement, bool):
            raise TypeError(
                f"RandomSampler: replacement should be a boolean value, but got replacement={replacement}"
            )
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"RandomSampler: num_samples must be at least 1, but is {num_samples}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples

    def __len__(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _order(self, epoch: int) -> np.ndarray:
        size, count = len(self.data_source), len(self)
        if self.replacement:
            return SampleRandom(self.seed, epoch, np.arange(count)).integers(0, size)
        turns = -(-count // size) if size else 0
        rounds = [shuffled(self.seed + turn, epoch, size) for turn in range(turns)]
        return np.concatenate(rounds)[:count] if rounds else np.empty(0, np.int64)


    def _torch_order(self) -> Iterator[int]:
        size, count, generator = len(self.data_source), len(self), self.generator
        if generator is None:
            generator = _C.Generator().manual_seed(draw_as_torch())
        if self.replacement:
            for first in range(0, count, 32):
                part = min(32, count - first)
                yield from _C.randint(0, size, (part,), generator=generator).tolist()
            return
        for first in range(0, count + 1, max(size, 1)):  # also draws for a remainder of none
            yield from _C.randperm(size, generator=generator).tolist()[: count - first]


class SubsetRandomSampler(_Random):
    """The given indices, each once, in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def _order(self, epoch: int) -> np.ndarray:
        return np.asarray(self.indices)[shuffled(self.seed, epoch, len(self.indices))]


    def _torch_order(self) -> Iterator[int]:
        for i in _C.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]


class WeightedRandomSampler(_Random):
    """num_samples draws; sample i comes with a probability proportional to weights[i]."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        super().__init__(generator)
        values = np.array(weights.tolist() if hasattr(weights, "tolist") else weights, np.float64)
        if values.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: weights must be a list, got shape {list(values.shape)}")
        if num_samples < 1:
            raise ValueError(f"WeightedRandomSampler: num_samples must be at least 1, but is {num_samples}")
        self.weights = _C.from_numpy(values)
        self.num_samples = num_samples
        self.replacement = replacement

    def __len__(self) -> int:
        return self.num_samples

    def _order(self, epoch: int) -> np.ndarray:
        weights = self.weights.numpy()
        if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not weights.sum() > 0:
            raise RuntimeError("WeightedRandomSampler: weights must be finite numbers >= 0, not all zero")
        possible = int(np.count_nonzero(weights))
        if not self.replacement and self.num_samples > possible:
            raise RuntimeError(
                f"WeightedRandomSampler: {self.num_samples} samples without replacement were asked for, but "
                f"only {possible} have a weight above zero"
            )
        if self.replacement:
            ends = np.cumsum(weights)
            draws = SampleRandom(self.seed, epoch, np.arange(self.num_samples)).uniform(0.0, float(ends[-1]))
            last = int(np.flatnonzero(weights)[-1])
            return np.minimum(np.searchsorted(ends, draws, side="right"), last)
        # Exponential clocks: the first k to ring are k weighted draws without replacement.
        draws = SampleRandom(self.seed, epoch, np.arange(len(weights))).uniform()
        with np.errstate(divide="ignore"):
            times = -np.log1p(-draws) / weights
        times[weights == 0] = np.inf
        return np.argsort(times, kind="stable")[: self.num_samples]


    def _torch_order(self) -> Iterator[int]:
        drawn = _C.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()


class BatchSampler(Sampler):
    """Lists of batch_size indices of another sampler; the last may be shorter unless `drop_last`."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size must be an int of at least 1, but is {batch_size!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)


class DistributedSampler(Sampler):
    """The part of the samples that one of several processes visits; all parts have the same size.

    Args:
        num_replicas, rank: how many processes there are and which one this is; of moka.distributed without
        them.
        shuffle: in an order of `seed` and the epoch of set_epoch(), the same in all processes.
        drop_last: leave samples out rather than visit some twice, where they do not divide evenly.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        from moka import distributed

        self.dataset = dataset
        self.num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
        self.rank = distributed.get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(
                f"Invalid rank {self.rank}, rank should be in the interval [0, {self.num_replicas - 1}]"
            )
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        size = len(dataset)
        self.num_samples = size // self.num_replicas if drop_last else -(-size // self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        from moka import Generator, randperm

        size = len(self.dataset)
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = randperm(size, generator=generator).tolist()
        else:
            indices = list(range(size))
        if indices:
            indices = (indices * -(-self.total_size // size))[: self.total_size]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch
