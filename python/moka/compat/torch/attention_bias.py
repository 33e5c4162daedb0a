"""torch.nn.attention.bias: causal masks for queries and keys of different numbers."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from enum import IntEnum, auto
from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Which corner of the scores the diagonal of the mask begins or ends in."""

    UPPER_LEFT = auto()
    LOWER_RIGHT = auto()


class CausalBias(Tensor):
    """A mask (queries, keys) of booleans: which keys a query may see."""

    def __new__(cls, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> Any:
        """The mask of this variant and these sizes."""
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"CausalBias: a CausalVariant is needed, but {variant!r} came")
        diagonal = seq_len_kv - seq_len_q if variant == CausalVariant.LOWER_RIGHT else 0
        return _C.ones(seq_len_q, seq_len_kv, dtype=_C.bool).tril(diagonal)


def _sizes(size: tuple[int, ...]) -> tuple[int, ...]:
    if len(size) != 2:
        raise RuntimeError(f"a causal mask has 2 dimensions, but {len(size)} sizes came")
    return size


def causal_upper_left(*size: int) -> Any:
    """Query i sees the keys up to i."""
    return CausalBias(CausalVariant.UPPER_LEFT, *_sizes(size))


def causal_lower_right(*size: int) -> Any:
    """The last query sees all keys, the one before it all but one, and so on."""
    return CausalBias(CausalVariant.LOWER_RIGHT, *_sizes(size))
