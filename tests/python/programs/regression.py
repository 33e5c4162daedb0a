"""Linear and polynomial regression: a curve of fourth degree from noisy points."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn.functional as F
from start import fill, noise, numbers, report
from torch import nn, optim

DEGREE = 4


def features(x):
    """[x, x^2, x^3, x^4] in columns."""
    return torch.cat([x**i for i in range(1, DEGREE + 1)], 1)


def main():
    draw = numbers(1)
    target = noise(draw, DEGREE, 1) * 2
    line = fill(nn.Linear(DEGREE, 1), 2)
    plain = optim.SGD(line.parameters(), lr=0.05)
    for step in range(60):
        x = torch.tanh(noise(draw, 32, 1))
        y = features(x).mm(target) + 0.5 + 0.01 * noise(draw, 32, 1)
        plain.zero_grad()
        loss = F.smooth_l1_loss(line(features(x)), y)
        loss.backward()
        plain.step()
        if step % 6 == 0:
            report(loss)
    # The same with gradients by hand, no modules.
    w = torch.zeros(DEGREE, 1, requires_grad=True)
    for step in range(40):
        x = torch.tanh(noise(draw, 64, 1))
        loss = (features(x).mm(w) - features(x).mm(target)).pow(2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.2 * w.grad
            w.grad.zero_()
        if step % 8 == 0:
            report(loss.item())


if __name__ == "__main__":
    main()
