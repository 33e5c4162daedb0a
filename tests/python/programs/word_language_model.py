"""A word language model four times: RNN, LSTM, GRU, transformer."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from start import fill, numbers, report

WORDS, WIDTH, STEPS = 20, 16, 12


class RNNModel(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.encoder = nn.Embedding(WORDS, WIDTH)
        self.rnn = getattr(nn, kind)(WIDTH, WIDTH, 2)
        self.decoder = nn.Linear(WIDTH, WORDS)
        self.decoder.weight = self.encoder.weight

    def forward(self, words, hidden):
        output, hidden = self.rnn(self.encoder(words), hidden)
        return F.log_softmax(self.decoder(output).view(-1, WORDS), dim=1), hidden


class TransformerModel(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.decoder = nn.Linear(WIDTH, WORDS)
        position = torch.arange(0, STEPS).float().unsqueeze(1)
        rate = torch.exp(torch.arange(0, WIDTH, 2).float() * (-math.log(10000.0) / WIDTH))
        table = torch.zeros(STEPS, WIDTH)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)
        self.register_buffer("position", table.unsqueeze(1))

    def forward(self, words):
        mask = torch.triu(torch.full((STEPS, STEPS), float("-inf")), diagonal=1)
        x = self.embedding(words) * math.sqrt(WIDTH) + self.position
        return F.log_softmax(self.decoder(self.encoder(x, mask=mask)), dim=-1).view(-1, WORDS)


def text(draw, length):
    """Words of a chain in which each makes the next likely."""
    words = [0]
    for _ in range(length - 1):
        words.append((words[-1] * 3 + 1) % WORDS if draw.rand() < 0.8 else draw.randint(WORDS))
    return torch.tensor(words)


def detached(hidden):
    return hidden.detach() if isinstance(hidden, torch.Tensor) else tuple(detached(h) for h in hidden)


def main():
    data = text(numbers(8), 4 * STEPS * 6 + 4).narrow(0, 0, 4 * (STEPS * 6 + 1)).view(4, -1).t().contiguous()
    for number, kind in enumerate(("RNN", "LSTM", "GRU", "Transformer")):
        model = fill(TransformerModel() if kind == "Transformer" else RNNModel(kind), 9 + number)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(2):
            hidden = torch.zeros(2, 4, WIDTH)
            hidden = (hidden, hidden.clone()) if kind == "LSTM" else hidden
            for start in range(0, data.size(0) - 1, STEPS):
                words, target = data[start : start + STEPS], data[start + 1 : start + 1 + STEPS].reshape(-1)
                model.zero_grad()
                if kind == "Transformer":
                    output = model(words)
                else:
                    output, hidden = model(words, detached(hidden))
                loss = F.nll_loss(output, target)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.25)
                optimizer.step()
            report(loss)


if __name__ == "__main__":
    main()
