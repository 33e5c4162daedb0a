"""A generative adversarial network of convolutions on 16 x 16 pictures."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.optim as optim
from start import fill, noise, numbers, report

LATENT, WIDTH = 8, 8


def generator():
    return nn.Sequential(
        nn.ConvTranspose2d(LATENT, WIDTH * 2, 4, 1, 0, bias=False),
        nn.BatchNorm2d(WIDTH * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(WIDTH * 2, WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(True),
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator():
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(WIDTH, WIDTH * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH * 2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(WIDTH * 2, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )


def main():
    draw = numbers(5)
    net_g, net_d = fill(generator(), 6), fill(discriminator(), 7)
    optimizer_g = optim.Adam(net_g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(net_d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    criterion = nn.BCELoss()
    for step in range(16):
        phase = noise(draw, 16, 1, 1, 1)
        real = torch.sin(torch.arange(256.0).reshape(1, 1, 16, 16) * 0.2 + phase)
        real_label, fake_label = torch.full((16,), 1.0), torch.full((16,), 0.0)
        net_d.zero_grad()
        on_real = criterion(net_d(real).view(-1), real_label)
        on_real.backward()
        fake = net_g(noise(draw, 16, LATENT, 1, 1))
        on_fake = criterion(net_d(fake.detach()).view(-1), fake_label)
        on_fake.backward()
        optimizer_d.step()
        net_g.zero_grad()
        fooled = criterion(net_d(fake).view(-1), real_label)
        fooled.backward()
        optimizer_g.step()
        if step % 3 == 0:
            report(on_real + on_fake, fooled)


if __name__ == "__main__":
    main()
