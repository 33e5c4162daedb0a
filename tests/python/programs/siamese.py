"""A Siamese network: do two pictures show the same class?"""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.optim as optim
from start import fill, noise, numbers, report


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 9, 16)
        )
        self.head = nn.Sequential(nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Linear(16, 1))
        self.sigmoid = nn.Sigmoid()

    def forward_once(self, x):
        return self.trunk(x).view(x.size()[0], -1)

    def forward(self, first, second):
        both = torch.cat((self.forward_once(first), self.forward_once(second)), 1)
        return self.sigmoid(self.head(both))


def main():
    draw = numbers(17)
    classes = noise(draw, 4, 1, 8, 8)
    model = fill(SiameseNetwork(), 18)
    criterion = nn.BCELoss()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    for step in range(30):
        left = torch.from_numpy(draw.randint(0, 4, 16))
        right = torch.where(
            torch.from_numpy(draw.rand(16) < 0.5), left, torch.from_numpy(draw.randint(0, 4, 16))
        )
        targets = (left == right).float()
        one = classes[left] + 0.2 * noise(draw, 16, 1, 8, 8)
        two = classes[right] + 0.2 * noise(draw, 16, 1, 8, 8)
        optimizer.zero_grad()
        outputs = model(one, two).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        if step % 5 == 0:
            report(loss, torch.where(outputs > 0.5, 1, 0).eq(targets.long()).sum().item() / 16)


if __name__ == "__main__":
    main()
