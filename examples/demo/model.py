"""The demo's network: an ordinary module; under torch it runs with another import and no other change."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import moka
from moka import nn

__all__ = ["SmallNet"]


class SmallNet(nn.Module):
    """Two stages of convolution, batch norm and pooling, then two linear layers; [n, 1, s, s] to [n,
    classes].
    """

    def __init__(
        self, image_size: int = 28, classes: int = 10, channels: int = 16, hidden: int = 128
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * channels)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.hidden = nn.Linear(2 * channels * (image_size // 4) ** 2, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, images):
        x = self.pool(self.relu(self.norm1(self.conv1(images))))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        x = moka.flatten(x, 1)
        return self.output(self.relu(self.hidden(x)))
