"""The random stream under the names of torch.random: seeds and states."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import moka
from moka import _C

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def manual_seed(seed: int) -> Any:
    """Start the default random stream from a seed; returns the stream."""
    return _C.manual_seed(seed)


def seed() -> int:
    """Start the default random stream from a seed of the system's, and return that."""
    import secrets

    fresh = secrets.randbits(63)
    _C.manual_seed(fresh)
    return fresh


def initial_seed() -> int:
    """The seed that the default random stream was started from."""
    return _C.default_generator.initial_seed()


def get_rng_state() -> Any:
    """The state of the default random stream."""
    return moka.get_rng_state()


def set_rng_state(new_state: Any) -> None:
    """Make the default random stream go on from a state of get_rng_state()."""
    moka.set_rng_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Iterator[None]:
    """After the block the default random stream goes on as if the block had drawn nothing."""
    if not enabled:
        yield
        return
    before = moka.get_rng_state()
    try:
        yield
    finally:
        moka.set_rng_state(before)
