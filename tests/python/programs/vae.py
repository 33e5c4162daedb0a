"""A variational autoencoder of small pictures."""
# SPDX-License-Identifier: Apache-2.0

import torch
from start import fill, noise, numbers, report
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self, size=64, hidden=32, latent=4):
        super().__init__()
        self.fc1 = nn.Linear(size, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, size)

    def forward(self, x, eps):
        h = F.relu(self.fc1(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + eps * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, log_variance


def loss_function(recon, x, mean, log_variance):
    cross = F.binary_cross_entropy(recon, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return cross + divergence


def main():
    draw = numbers(3)
    directions = noise(draw, 4, 64)
    model = fill(VAE(), 4)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60):
        x = torch.sigmoid(noise(draw, 32, 4) @ directions)
        optimizer.zero_grad()
        recon, mean, log_variance = model(x, noise(draw, 32, 4))
        loss = loss_function(recon, x, mean, log_variance)
        loss.backward()
        optimizer.step()
        if step % 6 == 0:
            report(loss.item() / len(x))


if __name__ == "__main__":
    main()
