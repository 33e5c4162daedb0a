"""Models whose training steps are compared, written for torch; the worker gives them either library."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def build(lib: Any, name: str) -> tuple[Any, Callable[[], Any]]:
    """(model, a function that makes one training step and returns the loss)."""
    nn, F = lib.nn, lib.nn.functional
    lib.manual_seed(0)

    class Block(nn.Module):  # two 3x3 convolutions and a shortcut, as in ResNet-18
        def __init__(self, inside: int, outside: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outside)
            self.shortcut = nn.Sequential()
            if stride != 1 or inside != outside:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
                )

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    class Attention(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            b, t, c = x.shape
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(y.transpose(1, 2).reshape(b, t, c))

    class Layer(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = Attention(width, heads)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.ln1(x))
            return x + self.mlp(self.ln2(x))

    class GPT(nn.Module):
        def __init__(self, words: int, context: int, width: int, heads: int, layers: int) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(context, width)
            self.layers = nn.Sequential(*[Layer(width, heads) for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.words(tokens) + self.places(lib.arange(tokens.shape[1]))
            return self.head(self.norm(self.layers(x)))

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(96, 64)
            self.lstm = nn.LSTM(64, 128, 2, batch_first=True)
            self.head = nn.Linear(128, 96)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.lstm(self.embedding(tokens))[0])

    def images(batch: int, *shape: int) -> tuple[Any, Any]:
        return lib.randn(batch, *shape), lib.randint(0, 10, (batch,))

    def tokens(batch: int, length: int, words: int) -> tuple[Any, Any]:
        return lib.randint(0, words, (batch, length)), lib.randint(0, words, (batch, length))

    optimizer_of = lambda m: lib.optim.SGD(m.parameters(), lr=0.01, momentum=0.9)  # noqa: E731
    if name == "MLP, batch 64":
        model = nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )
        x, y = images(64, 784)
    elif name == "LeNet, batch 64":
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip
        x, y = images(64, 1, 28, 28)
    elif name == "ResNet-18 for CIFAR, batch 16":
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        blocks = [Block(o if i else a, o, s if not i else 1) for a, o, s in widths for i in range(2)]
        model = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), *blocks,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip
        x, y = images(16, 3, 32, 32)
    elif name == "GPT 4x128, 4 x 128 tokens":
        model = GPT(96, 128, 128, 4, 4)
        optimizer_of = lambda m: lib.optim.AdamW(m.parameters(), lr=3e-4)  # noqa: E731
        x, y = tokens(4, 128, 96)
    elif name == "character LSTM 2x128, 16 x 64":
        model = CharLSTM()
        optimizer_of = lambda m: lib.optim.Adam(m.parameters(), lr=1e-3)  # noqa: E731
        x, y = tokens(16, 64, 96)
    else:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    optimizer = optimizer_of(model)

    def step() -> Any:
        optimizer.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out.flatten(0, -2), y.flatten())
        loss.backward()
        optimizer.step()
        return loss

    return model, step


MODELS = (
    "MLP, batch 64",
    "LeNet, batch 64",
    "ResNet-18 for CIFAR, batch 16",
    "GPT 4x128, 4 x 128 tokens",
    "character LSTM 2x128, 16 x 64",
)


def check(loss: Any) -> float:
    """The loss as a number; an error unless it is finite."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise RuntimeError(f"the loss became {value}")
    return value
