"""The demo's model and training under torch: the same two files, with torch under the name moka."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch

# model.py and training.py import moka; here that name means torch.
sys.modules["moka"] = torch
sys.path.insert(0, str(Path(__file__).resolve().parent))

from model import SmallNet  # noqa: E402
from training import FASHION, SHORT, Run, evaluate  # noqa: E402

FOLDER = Path("/usr/share/datasets/fashion-mnist")


def read(name: str) -> np.ndarray:
    """An idx file."""
    data = gzip.decompress((FOLDER / name).read_bytes())
    shape = np.frombuffer(data, ">u4", data[3], 4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


class Images(torch.utils.data.Dataset):
    """Whole batches of shifted, flipped, normalized images, with the demo's policy and its NumPy code."""

    def __init__(self, part, policy, augment):
        self.images = read(f"{part}-images-idx3-ubyte.gz")
        self.labels = read(f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
        self.policy = policy
        self.augment = augment
        self.random = np.random.default_rng(0)

    def __len__(self):
        return self.policy.train_images or len(self.images) if self.augment else len(self.images)

    def __getitem__(self, indices):
        images, policy = self.images[indices], self.policy
        count, height, width = images.shape
        if self.augment:
            reach = policy.shift
            wide = width + 2 * reach
            padded = np.zeros((count, height + 2 * reach + 1, wide), np.uint8)
            padded[:, reach : reach + height, reach : reach + width] = images
            pieces = np.lib.stride_tricks.sliding_window_view(
                padded.reshape(count, -1), height * wide, axis=1
            )
            places = self.random.integers(0, 2 * reach + 1, count) * wide
            places += self.random.integers(0, 2 * reach + 1, count)
            images = pieces[np.arange(count), places].reshape(count, height, wide)[:, :, :width].copy()
            if policy.flip:
                flipped = self.random.random(count) < 0.5
                images[flipped] = images[flipped][:, :, ::-1]
        pixels = images.astype(np.float32)
        pixels *= np.float32(1 / (255 * policy.std))
        pixels -= np.float32(policy.mean / policy.std)
        return torch.from_numpy(pixels[:, None]), torch.from_numpy(self.labels[indices])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    policy = SHORT if options.short else FASHION
    train, test = Images("train", policy, True), Images("t10k", policy, False)
    order = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(train), policy.batch_size, True)
    loader = torch.utils.data.DataLoader(train, sampler=order, batch_size=None)
    run = Run(SmallNet(28, 10), policy, len(order))
    images, labels = test[np.arange(len(test))]
    for _ in range(policy.epochs):
        run.train_epoch(loader)
        guesses = evaluate(run.model, images).argmax(1)
        run.accuracies.append((guesses == labels).float().mean().item())
    print(json.dumps({"accuracies": run.accuracies, "seconds": run.seconds, "version": torch.__version__}))


if __name__ == "__main__":
    main()
