"""Twenty small networks of all families, of which the passes' work is compared before and after a change."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moka
from moka import nn
from moka.nn import functional as F

__all__ = ["MODELS"]


class Wired(nn.Module):
    """Parts and how they are put together."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._forward = forward

    def forward(self, *inputs: Any) -> Any:
        return self._forward(self, *inputs)


def conv(
    inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU
) -> Any:
    """Convolution, normalization, activation."""
    padding = kernel // 2
    layer = nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), *([act()] if act else []))


def residual() -> Any:
    body = nn.Sequential(conv(16, 16), conv(16, 16, act=None))
    return Wired(lambda m, x: F.relu(m.body(x) + x), body=body)


def inverted(gate: bool) -> Any:
    act = nn.SiLU if gate else nn.ReLU6
    parts = {"wide": conv(16, 64, 1, act=act), "deep": conv(64, 64, groups=64, act=act)}
    if gate:
        parts["gate"] = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 4, 1), nn.SiLU(), nn.Conv2d(4, 64, 1), nn.Sigmoid()
        )
    parts["narrow"] = conv(64, 16, 1, act=None)

    def forward(m: Any, x: Any) -> Any:
        y = m.deep(m.wide(x))
        return x + m.narrow(y * m.gate(y) if gate else y)

    return Wired(forward, **parts)


def transformer(norm_first: bool, activation: str) -> Any:
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, activation, batch_first=True, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def vit() -> Any:
    def forward(m: Any, x: Any) -> Any:
        x = m.patches(x).flatten(2).transpose(1, 2)
        return m.head(m.body(x).mean(1))

    return Wired(
        forward, patches=nn.Conv2d(3, 32, 4, 4), body=transformer(True, "gelu"), head=nn.Linear(32, 10)
    )


def gpt() -> Any:
    def forward(m: Any, ids: Any) -> Any:
        x = m.words(ids)
        q, k, v = (part.reshape(*x.shape[:2], 4, 8).transpose(1, 2) for part in m.qkv(m.norm(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + m.out(y.transpose(1, 2).reshape(*x.shape))
        return F.linear(x + m.mlp(x), m.words.weight)

    mlp = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU("tanh"), nn.Linear(64, 32))
    return Wired(
        forward,
        words=nn.Embedding(50, 32),
        norm=nn.LayerNorm(32),
        qkv=nn.Linear(32, 96),
        out=nn.Linear(32, 32),
        mlp=mlp,
    )


def llama() -> Any:
    def forward(m: Any, x: Any) -> Any:
        y = m.norm(x)
        return x + m.down(F.silu(m.gate(y)) * m.up(y))

    plain = {name: nn.Linear(32, 64, bias=False) for name in ("gate", "up")}
    return Wired(forward, norm=nn.RMSNorm(32), down=nn.Linear(64, 32, bias=False), **plain)


def unet() -> Any:
    def forward(m: Any, x: Any) -> Any:
        first = m.first(x)
        return m.last(moka.cat([m.up(m.second(F.max_pool2d(first, 2))), first], 1))

    return Wired(
        forward,
        first=conv(3, 8),
        second=conv(8, 16),
        up=nn.ConvTranspose2d(16, 8, 2, 2),
        last=nn.Conv2d(16, 2, 1),
    )


def dense() -> Any:
    def forward(m: Any, x: Any) -> Any:
        for part in (m.a, m.b):
            x = moka.cat([x, part(x)], 1)
        return F.avg_pool2d(x, 2)

    return Wired(forward, a=conv(16, 8), b=conv(24, 8))


def fire() -> Any:
    def forward(m: Any, x: Any) -> Any:
        y = F.relu(m.squeeze(x))
        return moka.cat([F.relu(m.one(y)), F.relu(m.three(y))], 1)

    return Wired(
        forward, squeeze=nn.Conv2d(16, 4, 1), one=nn.Conv2d(4, 8, 1), three=nn.Conv2d(4, 8, 3, padding=1)
    )


def mixer() -> Any:
    def forward(m: Any, x: Any) -> Any:
        x = x + m.tokens(m.a(x).transpose(1, 2)).transpose(1, 2)
        return x + m.channels(m.b(x))

    two = {
        name: nn.Sequential(nn.Linear(n, 32), nn.GELU(), nn.Linear(32, n))
        for name, n in (("tokens", 9), ("channels", 16))
    }
    return Wired(forward, a=nn.LayerNorm(16), b=nn.LayerNorm(16), **two)


def wave() -> Any:
    def forward(m: Any, x: Any) -> Any:
        return x + m.out(moka.tanh(m.signal(x)) * moka.sigmoid(m.gate(x)))

    return Wired(
        forward,
        signal=nn.Conv1d(8, 8, 3, padding=2, dilation=2),
        gate=nn.Conv1d(8, 8, 3, padding=2, dilation=2),
        out=nn.Conv1d(8, 8, 1),
    )


def recurrent(kind: str) -> Any:
    layer = getattr(nn, kind)(8, 16, 2, batch_first=True)
    return Wired(lambda m, x: m.head(m.layer(x)[0][:, -1]), layer=layer, head=nn.Linear(16, 4))


def picture(channels: int = 16, size: int = 12) -> Any:
    return moka.randn(1, channels, size, size)


# name -> (network, one input)
MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Softmax(-1)),
        lambda: moka.randn(2, 8),
    ),
    "vgg": (
        lambda: nn.Sequential(conv(3, 8), conv(8, 8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 5)),
        lambda: picture(3),
    ),
    "resnet": (
        lambda: nn.Sequential(conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), residual(), residual()),
        lambda: picture(3, 32),
    ),
    "mobilenet": (lambda: nn.Sequential(conv(3, 16, act=nn.ReLU6), inverted(False)), lambda: picture(3)),
    "efficientnet": (lambda: nn.Sequential(conv(3, 16, act=nn.SiLU), inverted(True)), lambda: picture(3)),
    "grouped": (
        lambda: nn.Sequential(conv(16, 32, groups=4, act=nn.Hardswish), nn.ChannelShuffle(4)),
        picture,
    ),
    "densenet": (dense, picture),
    "squeezenet": (fire, picture),
    "unet": (unet, lambda: picture(3)),
    "bert": (lambda: transformer(False, "gelu"), lambda: moka.randn(1, 7, 32)),
    "encoder": (lambda: transformer(True, "relu"), lambda: moka.randn(1, 7, 32)),
    "vit": (vit, lambda: picture(3, 16)),
    "gpt": (gpt, lambda: moka.arange(6).reshape(1, 6)),
    "llama": (llama, lambda: moka.randn(1, 5, 32)),
    "mixer": (mixer, lambda: moka.randn(1, 9, 16)),
    "wavenet": (wave, lambda: moka.randn(1, 8, 20)),
    "lstm": (lambda: recurrent("LSTM"), lambda: moka.randn(1, 5, 8)),
    "gru": (lambda: recurrent("GRU"), lambda: moka.randn(1, 5, 8)),
    "generator": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Tanh()
        ),
        lambda: picture(8),
    ),
    "groupnorm": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.Upsample(scale_factor=2)),
        lambda: picture(3),
    ),
}
