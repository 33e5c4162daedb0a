"""Model-agnostic meta-learning (Finn and others 2017): gradients through the steps of an inner training."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
import torch.nn.functional as F
from start import fill, numbers, report
from torch import nn


def forward(weights, x):
    w1, b1, w2, b2 = weights
    return F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2)


def task(draw):
    """A sine wave of its own height and phase, and points of it to learn from and to be tested on."""
    height, phase = draw.uniform(0.5, 2.0), draw.uniform(0, math.pi)

    def points(count):
        x = torch.from_numpy(draw.uniform(-3, 3, (count, 1)).astype("float32"))
        return x, height * torch.sin(x + phase)

    return points(8), points(8)


def main():
    draw = numbers(29)
    model = fill(nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)), 30)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(24):
        optimizer.zero_grad()
        before = after = 0.0
        for _ in range(3):
            (x, y), (test_x, test_y) = task(draw)
            weights = list(model.parameters())
            for _ in range(2):
                inner = F.mse_loss(forward(weights, x), y)
                grads = torch.autograd.grad(inner, weights, create_graph=True)
                weights = [w - 0.05 * g for w, g in zip(weights, grads)]  # noqa: B905
            loss = F.mse_loss(forward(weights, test_x), test_y)
            (loss / 3).backward()
            before += inner.item() / 3
            after += loss.item() / 3
        optimizer.step()
        if step % 4 == 0:
            report(before, after)


if __name__ == "__main__":
    main()
