"""A transformer of characters: an ordinary module; under torch only the name of the import differs."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import moka
from moka import nn
from moka.nn import functional as F

__all__ = ["CharTransformer"]


class Block(nn.Module):
    """Causal attention and two linear layers, each behind a normalization and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def attend(self, x):
        batch, length, width = x.shape
        parts = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = (parts[:, :, i].transpose(1, 2) for i in range(3))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.project(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class CharTransformer(nn.Module):
    """Scores of the next character at every place: [batch, length] to [batch, length, characters]; the
    length may be anything up to `context`.
    """

    def __init__(
        self, characters: int, context: int = 64, width: int = 96, layers: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, characters)

    def forward(self, text):
        x = self.characters(text) + self.places(moka.arange(text.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))
