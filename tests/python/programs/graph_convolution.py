"""A graph convolutional network (Kipf and Welling 2017) on a random graph of two communities."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
import torch.nn.functional as F
from start import fill, noise, numbers, report
from torch import nn
from torch.optim import Adam

NODES, FEATURES = 40, 8


class GraphConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, adjacency):
        return torch.mm(adjacency, torch.mm(x, self.kernel.t())) + self.bias


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.gc1 = GraphConv(FEATURES, 16)
        self.gc2 = GraphConv(16, 2)

    def forward(self, x, adjacency):
        x = F.relu(self.gc1(x, adjacency))
        return F.log_softmax(self.gc2(x, adjacency), dim=1)


def main():
    draw = numbers(21)
    labels = torch.tensor([0] * (NODES // 2) + [1] * (NODES // 2))
    likely = np.where(labels.numpy()[:, None] == labels.numpy()[None], 0.25, 0.04)
    edges = torch.from_numpy((draw.rand(NODES, NODES) < likely).astype(np.float32))
    adjacency = torch.maximum(edges, edges.t())
    adjacency = torch.maximum(adjacency, torch.eye(NODES))
    degree = adjacency.sum(dim=1).pow(-0.5)
    adjacency = adjacency * degree.unsqueeze(0) * degree.unsqueeze(1)
    x = noise(draw, NODES, FEATURES) + labels.unsqueeze(1) * 0.3
    known = torch.from_numpy(draw.permutation(NODES)[:12])
    model = fill(GCN(), 22)
    optimizer = Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for step in range(60):
        optimizer.zero_grad()
        output = model(x, adjacency)
        loss = F.nll_loss(output[known], labels[known])
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            report(loss, (output.max(1)[1] == labels).float().mean())


if __name__ == "__main__":
    main()
