"""Augmentation of whole batches of images, in NumPy: shifts, flips, normalization."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import numpy as np

from .randomness import SampleRandom

__all__ = ["Compose", "Normalize", "RandomHorizontalFlip", "RandomShift"]


class Compose:
    """Several transforms one after the other."""

    def __init__(self, transforms: list[Any]) -> None:
        self.transforms = list(transforms)

    def __call__(self, images: np.ndarray, random: SampleRandom) -> np.ndarray:
        for transform in self.transforms:
            images = transform(images, random)
        return images


class RandomShift:
    """Moves each image by up to `pixels` in both directions; `fill` comes in (a crop after padding)."""

    def __init__(self, pixels: int, fill: int = 0) -> None:
        if pixels < 0:
            raise ValueError(f"RandomShift: pixels must not be negative, but is {pixels}")
        self.pixels = pixels
        self.fill = fill

    def __call__(self, images: np.ndarray, random: SampleRandom) -> np.ndarray:
        count, height, width = images.shape
        reach = self.pixels
        wide = width + 2 * reach
        padded = np.full((count, height + 2 * reach + 1, wide), self.fill, images.dtype)
        padded[:, reach : reach + height, reach : reach + width] = images
        # A window of whole rows is one contiguous piece of its padded image: copying it is a memcpy.
        flat = padded.reshape(count, -1)
        pieces = np.lib.stride_tricks.sliding_window_view(flat, height * wide, axis=1)
        down = random.integers(0, 2 * reach + 1)
        right = random.integers(0, 2 * reach + 1)
        return pieces[np.arange(count), down * wide + right].reshape(count, height, wide)[:, :, :width]


class RandomHorizontalFlip:
    """Mirrors each image, left to right, with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p must be in 0 to 1, but is {p}")
        self.p = p

    def __call__(self, images: np.ndarray, random: SampleRandom) -> np.ndarray:
        flipped = random.chance(self.p)
        images = images.copy()
        images[flipped] = images[flipped][:, :, ::-1]
        return images


class Normalize:
    """(x / 255 - mean) / std as float32, with the channel added: uint8 [n, h, w] becomes [n, 1, h, w]."""

    def __init__(self, mean: float, std: float) -> None:
        if not std > 0:
            raise ValueError(f"Normalize: std must be above 0, but is {std}")
        self.mean = mean
        self.std = std

    def __call__(self, images: np.ndarray, random: SampleRandom | None = None) -> np.ndarray:
        pixels = images.astype(np.float32)
        pixels *= np.float32(1 / (255 * self.std))
        pixels -= np.float32(self.mean / self.std)
        return pixels[:, None]
