"""Networks whose inference is compared, written with moka.nn; peers get them as ONNX files."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.nn.functional as F
from moka.optim.swa_utils import update_bn

import moka
from moka import nn


def conv(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps sizes up to its stride, and its batch norm."""
    padding = (kernel - 1) // 2
    return [
        nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    ]


class Bottleneck(nn.Module):
    """The block of ResNet-50: 1x1, 3x3, 1x1 and a shortcut."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = 4 * width
        self.way = nn.Sequential(
            *conv(inside, width, 1),
            nn.ReLU(),
            *conv(width, width, 3, stride),
            nn.ReLU(),
            *conv(width, outside, 1),
        )
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inside, outside, 1, stride))

    def forward(self, x: Any) -> Any:
        return F.relu(self.way(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """ResNet-50, stride in the 3x3 convolution."""
    layers: list[nn.Module] = [*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            layers.append(Bottleneck(inside, width, stride if i == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Any) -> Any:
        return x * moka.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """The block of MobileNetV2 and EfficientNet: widen, depthwise, narrow."""

    def __init__(
        self,
        inside: int,
        outside: int,
        factor: int,
        kernel: int,
        stride: int,
        gated: bool,
        act: type[nn.Module],
    ) -> None:
        super().__init__()
        width = inside * factor
        layers: list[nn.Module] = [*conv(inside, width, 1), act()] if factor != 1 else []
        layers += [*conv(width, width, kernel, stride, width), act()]
        if gated:
            layers.append(Gate(width, max(1, inside // 4)))
        self.way = nn.Sequential(*layers, *conv(width, outside, 1))
        self.same = inside == outside and stride == 1

    def forward(self, x: Any) -> Any:
        return x + self.way(x) if self.same else self.way(x)


def _inverted(rows: Any, first: int, last: int, gated: bool, act: type[nn.Module]) -> nn.Module:
    layers: list[nn.Module] = [*conv(3, first, 3, 2), act()]
    inside = first
    for factor, outside, blocks, stride, kernel in rows:
        for i in range(blocks):
            layers.append(Inverted(inside, outside, factor, kernel, stride if i == 0 else 1, gated, act))
            inside = outside
    layers += [*conv(inside, last, 1), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(last, 1000))


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 of width 1."""
    rows = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 32, 3, 2, 3),
        (6, 64, 4, 2, 3),
        (6, 96, 3, 1, 3),
        (6, 160, 3, 2, 3),
        (6, 320, 1, 1, 3),
    )
    return _inverted(rows, 32, 1280, False, nn.ReLU6)


def efficientnet_b0() -> nn.Module:
    """EfficientNet-B0."""
    rows = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    return _inverted(rows, 32, 1280, True, nn.SiLU)


class Layer(nn.Module):
    """A transformer layer: norms before (ViT) or behind (BERT) attention and MLP."""

    def __init__(self, width: int, heads: int, first: bool) -> None:
        super().__init__()
        self.heads, self.first = heads, first
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend(self, x: Any) -> Any:
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(batch, time, width))

    def forward(self, x: Any) -> Any:
        if self.first:
            x = x + self.attend(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attend(x))
        return self.norm2(x + self.mlp(x))


class ViT(nn.Module):
    """ViT-B/16 for 224 x 224 pictures."""

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(moka.zeros(1, 1, width))
        self.places = nn.Parameter(moka.randn(1, 197, width) * 0.02)
        self.layers = nn.Sequential(*(Layer(width, 12, True) for _ in range(12)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = moka.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])


class Bert(nn.Module):
    """BERT-base with its pooler, without masks."""

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30522, width), nn.Embedding(512, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Layer(width, 12, False) for _ in range(12)))
        self.pooler = nn.Linear(width, width)

    def forward(self, ids: Any) -> Any:
        x = self.norm(self.words(ids) + self.places(moka.arange(ids.shape[1])))
        return moka.tanh(self.pooler(self.layers(x)[:, 0]))


class Speech(nn.Module):
    """A 2-layer LSTM over 100 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(40, 128, 2, batch_first=True), nn.Linear(128, 30)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0])


def mlp() -> nn.Module:
    """A tiny multilayer perceptron: what a call costs."""
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def build(name: str) -> tuple[nn.Module, Any]:
    """(network in evaluation mode with random weights, its input)."""
    moka.manual_seed(0)
    kind, _, batch = name.partition(" b")
    makers: dict[str, Any] = {
        "resnet50": resnet50,
        "mobilenet_v2": mobilenet_v2,
        "efficientnet_b0": efficientnet_b0,
        "vit_b16": ViT,
        "bert_base": Bert,
        "lstm": Speech,
        "mlp": mlp,
    }
    size = int(batch or 1)
    inputs = {
        "bert_base": lambda: moka.randint(0, 30522, (size, 128)),
        "lstm": lambda: moka.randn(size, 100, 40),
        "mlp": lambda: moka.randn(size, 16),
    }
    net = makers[kind]()
    example = inputs.get(kind, lambda: moka.randn(size, 3, 224, 224))()
    with moka.no_grad():  # with the statistics of new norms deep networks return a bias
        update_bn([example], net)
    return net.eval(), example


NETWORKS = (
    "resnet50 b1",
    "resnet50 b8",
    "mobilenet_v2 b1",
    "efficientnet_b0 b1",
    "vit_b16 b1",
    "bert_base b1",
    "lstm b1",
    "mlp b1",
)
