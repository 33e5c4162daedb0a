"""Dropout: noise against overfitting, in training only."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from moka._C import Tensor

from . import functional as F
from .module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training y = x * m / (1 - p), m one with probability 1 - p and zero else; in evaluation y = x."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in 0 to 1, but is {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
