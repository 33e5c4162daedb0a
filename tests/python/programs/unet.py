"""A U-Net that finds discs in noisy pictures."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.nn.functional as F
from start import fill, noise, numbers, report


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class UNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.inc = DoubleConv(1, width)
        self.down = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, width * 2))
        self.bottom = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width * 2, width * 4))
        self.up1 = nn.ConvTranspose2d(width * 4, width * 2, kernel_size=2, stride=2)
        self.conv1 = DoubleConv(width * 4, width * 2)
        self.conv2 = DoubleConv(width * 3, width)
        self.out = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, x):
        a = self.inc(x)
        b = self.down(a)
        c = self.up1(self.bottom(b))
        d = self.conv1(torch.cat([b, c], dim=1))
        e = F.interpolate(d, scale_factor=2, mode="nearest")
        return self.out(self.conv2(torch.cat([a, e], dim=1)))


def dice(logits, target):
    p = torch.sigmoid(logits)
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


def main():
    draw = numbers(27)
    model = fill(UNet(), 28)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9)
    grid = torch.arange(16.0)
    for step in range(20):
        centre = torch.from_numpy(draw.uniform(4, 12, (4, 2, 1, 1)).astype("float32"))
        far = (grid.view(1, -1, 1) - centre[:, 0]) ** 2 + (grid.view(1, 1, -1) - centre[:, 1]) ** 2
        mask = (far < 9).float().unsqueeze(1)
        image = mask + 0.5 * noise(draw, 4, 1, 16, 16)
        logits = model(image)
        loss = F.binary_cross_entropy_with_logits(logits, mask) + dice(logits, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 4 == 0:
            report(loss)


if __name__ == "__main__":
    main()
