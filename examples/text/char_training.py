"""Text, training and measuring; torch_twin.py runs this very file under torch."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import moka
from moka import optim
from moka.nn import functional as F

__all__ = ["LICENCES", "Corpus", "bits_per_character", "read_corpus", "train"]

LICENCES = Path("/usr/share/common-licenses")


class Corpus(NamedTuple):
    """A text as numbers of its characters; the last tenth of every file is kept for measuring."""

    characters: str
    training: np.ndarray
    measuring: np.ndarray


def read_corpus(folder: Path = LICENCES) -> Corpus:
    """All files of a folder; links to another file are skipped."""
    texts = [p.read_text("utf-8") for p in sorted(folder.iterdir()) if p.is_file() and not p.is_symlink()]
    if not texts:
        raise FileNotFoundError(f"{folder}: holds no text; give --text a folder with some")
    characters = "".join(sorted(set("".join(texts))))
    numbers = {character: number for number, character in enumerate(characters)}
    coded = [np.array([numbers[character] for character in text], np.int64) for text in texts]
    cuts = [len(code) * 9 // 10 for code in coded]
    pairs = list(zip(coded, cuts, strict=True))
    return Corpus(
        characters,
        np.concatenate([code[:cut] for code, cut in pairs]),
        np.concatenate([code[cut:] for code, cut in pairs]),
    )


def train(model: Any, corpus: Corpus, steps: int, batch: int = 32, rate: float = 3e-3) -> Iterator[float]:
    """Trains, giving the loss of every step in bits a character; the same batches for the same corpus."""
    draw = np.random.default_rng(7)
    optimizer = optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    model.train()
    for _ in range(steps):
        places = draw.integers(0, len(corpus.training) - model.context - 1, batch)
        rows = corpus.training[places[:, None] + np.arange(model.context + 1)]
        text = moka.from_numpy(rows)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
        loss.backward()
        moka.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item() / math.log(2)


def bits_per_character(model: Any, corpus: Corpus, batch: int = 64) -> float:
    """Over the kept text, cut into pieces of the model's context."""
    length = model.context
    count = (len(corpus.measuring) - 1) // length
    starts = np.arange(count)[:, None] * length + np.arange(length + 1)
    rows = moka.from_numpy(corpus.measuring[starts])
    model.eval()
    total = 0.0
    with moka.no_grad():
        for first in range(0, count, batch):
            text = rows[first : first + batch]
            scores = model(text[:, :-1]).flatten(0, 1)
            total += F.cross_entropy(scores, text[:, 1:].flatten(), reduction="sum").item()
    return total / math.log(2) / (count * length)
