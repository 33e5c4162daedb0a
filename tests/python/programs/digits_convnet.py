"""A convolutional network for digits: ten patterns of 12 x 12 points with noise."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from start import fill, noise, numbers, report
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.norm = nn.BatchNorm2d(16)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(16 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.norm(F.relu(self.conv2(x)))
        x = F.max_pool2d(x, 2)
        x = self.dropout(torch.flatten(x, 1))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


def main():
    draw = numbers(0)
    patterns = noise(draw, 10, 1, 12, 12)
    labels = torch.from_numpy(draw.randint(0, 10, 320))
    images = patterns[labels] + 0.7 * noise(draw, 320, 1, 12, 12)
    train = DataLoader(TensorDataset(images[:256], labels[:256]), batch_size=32, shuffle=False)
    model = fill(Net(), 1)
    model.dropout.p = 0.0  # no library draws the same mask
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(3):
        model.train()
        for data, target in train:
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
        report(loss.item())
        scheduler.step()
        model.eval()
        with torch.no_grad():
            output = model(images[256:])
            test = F.nll_loss(output, labels[256:], reduction="sum").item() / 64
            right = output.argmax(dim=1, keepdim=True).eq(labels[256:].view(-1, 1)).sum().item()
        report(test, right / 64)


if __name__ == "__main__":
    main()
