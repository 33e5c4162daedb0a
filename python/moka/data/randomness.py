"""Random numbers that depend only on (seed, epoch, sample): the same data for any number of workers,
any batches.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import numpy as np

from moka import _C

__all__ = ["SampleRandom", "draw_seed", "draw_as_torch", "peek_as_torch", "shuffled"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014):
    every bit of the result depends on every bit.
    """
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _keys(seed: int, epoch: int, indices: Any) -> np.ndarray:
    start = _mix(_mix(np.array([seed & _MASK], np.uint64)) ^ np.uint64(epoch & _MASK))
    return _mix(start ^ _mix(np.asarray(indices).astype(np.uint64).reshape(-1)))


def shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    """The numbers 0 to count - 1 in an order that depends only on seed and epoch."""
    return np.argsort(_keys(seed, epoch, np.arange(count)), kind="stable")


def draw_seed(generator: Any = None) -> int:
    """A seed from `generator`, or from Moka's default one (so that moka.manual_seed decides)."""
    return int(_C.randint(0, 2**62, (1,), generator=generator).item())


def draw_as_torch(generator: Any = None) -> int:
    """The seed that torch draws where an order begins; programs for torch expect that draw, and order."""
    return int(_C.empty((), dtype=_C.int64).random_(generator=generator).item())


def peek_as_torch(generator: Any = None) -> int:
    """What draw_as_torch will draw next."""
    stream = _C.default_generator if generator is None else generator
    before = stream.get_state()
    seed = draw_as_torch(generator)
    stream.set_state(before)
    return seed


class SampleRandom:
    """One stream of random numbers for each sample of a batch; every call gives the next number of each
    stream.

    Args:
        seed, epoch: of the pass over the data.
        indices: the samples; sample i has the same stream in whatever batch it stands.
    """

    def __init__(self, seed: int, epoch: int, indices: Any) -> None:
        self._keys = _keys(seed, epoch, indices)
        self._draws = 0

    def __len__(self) -> int:
        return len(self._keys)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 numbers in [low, high), one for each sample."""
        with np.errstate(over="ignore"):
            self._draws += 1
            bits = _mix(self._keys + np.uint64(self._draws) * _GOLDEN)
        return low + (bits >> np.uint64(11)).astype(np.float64) * (2.0**-53 * (high - low))

    def integers(self, low: int, high: int) -> np.ndarray:
        """int64 numbers from low to high - 1, one for each sample."""
        if high <= low:
            raise ValueError(f"SampleRandom.integers: high ({high}) must be above low ({low})")
        return low + (self.uniform() * (high - low)).astype(np.int64)

    def chance(self, probability: float) -> np.ndarray:
        """True with this probability, one for each sample."""
        return self.uniform() < probability

    def generator(self, sample: int = 0) -> np.random.Generator:
        """A NumPy generator of its own for one sample of the batch, for code that needs many numbers."""
        return np.random.Generator(np.random.Philox(key=int(self._keys[sample])))
