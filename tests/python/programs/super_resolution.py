"""Super resolution with sub-pixel convolutions (Shi and others 2016): 8 x 8 points become 16 x 16."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.nn.init as init
import torch.optim as optim
from start import fill, noise, numbers, report


class Net(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(factor)
        init.orthogonal_(self.conv3.weight, init.calculate_gain("relu"))

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))


def main():
    draw = numbers(15)
    model = fill(Net(2), 16)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.MSELoss()
    grid = torch.arange(16.0) / 4
    for step in range(24):
        a, b = noise(draw, 8, 1, 1, 1), noise(draw, 8, 1, 1, 1)
        fine = torch.sin(a * grid.view(1, 1, 16, 1) + b * grid.view(1, 1, 1, 16))
        coarse = nn.functional.avg_pool2d(fine, 2)
        optimizer.zero_grad()
        loss = criterion(model(coarse), fine)
        loss.backward()
        optimizer.step()
        if step % 4 == 0:
            with torch.no_grad():
                report(loss, 10 * torch.log10(1 / loss))


if __name__ == "__main__":
    main()
