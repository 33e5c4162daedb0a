"""Sine waves continued by two LSTM cells, trained with L-BFGS."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.optim as optim
from start import fill, noise, numbers, report


class Sequence(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.first = nn.LSTMCell(1, width)
        self.second = nn.LSTMCell(width, width)
        self.linear = nn.Linear(width, 1)
        self.width = width

    def forward(self, waves, future=0):
        h1 = c1 = h2 = c2 = torch.zeros(waves.size(0), self.width, dtype=torch.double)
        outputs = []
        for now in waves.split(1, dim=1):
            h1, c1 = self.first(now, (h1, c1))
            h2, c2 = self.second(h1, (h2, c2))
            outputs.append(self.linear(h2))
        for _ in range(future):
            h1, c1 = self.first(outputs[-1], (h1, c1))
            h2, c2 = self.second(h1, (h2, c2))
            outputs.append(self.linear(h2))
        return torch.cat(outputs, dim=1)


def main():
    shift = noise(numbers(13), 8, 1).double() * 3
    waves = torch.sin(torch.arange(24).double() * 0.4 + shift)
    model = fill(Sequence(), 14).double()
    criterion = nn.MSELoss()
    optimizer = optim.LBFGS(model.parameters(), lr=0.3, max_iter=6)
    for _ in range(5):

        def closure():
            optimizer.zero_grad()
            loss = criterion(model(waves[2:, :-1]), waves[2:, 1:])
            loss.backward()
            return loss

        report(optimizer.step(closure).item())
        with torch.no_grad():
            longer = model(waves[:2, :-1], future=5)
            report(criterion(longer[:, :-5], waves[:2, 1:]).item(), longer[0, -1])


if __name__ == "__main__":
    main()
