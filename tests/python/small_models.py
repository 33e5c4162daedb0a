"""Small networks of every usual kind, to be recorded: (name, maker, example shapes)."""
# SPDX-License-Identifier: Apache-2.0

import math

import moka.nn.functional as F

import moka
from moka import nn


class Made(nn.Module):
    """A network of parts and a function of them."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._forward = forward

    def forward(self, *args):
        return self._forward(self, *args)


def conv(inside, outside, kernel=3, stride=1, groups=1, act=nn.ReLU):
    parts = [
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    ]
    return nn.Sequential(*parts, act())


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(24, 10), nn.Dropout(0.5), nn.LogSoftmax(1),
    )  # fmt: skip


def resnet():
    block = Made(
        lambda s, x: F.relu(s.b(s.a(x)) + s.skip(x)),
        a=conv(4, 8, 3, 2),
        b=conv(8, 8),
        skip=nn.Conv2d(4, 8, 1, 2),
    )
    return nn.Sequential(
        conv(3, 4, 7, 2), nn.MaxPool2d(3, 2, 1), block, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def mobilenet():
    inner = nn.Sequential(
        conv(4, 8, 1, act=nn.ReLU6), conv(8, 8, 3, 1, 8, nn.Hardswish), conv(8, 4, 1, act=nn.Identity)
    )
    return Made(
        lambda s, x: (s.stem(x) + s.inner(s.stem(x))).mean((2, 3)), stem=conv(3, 4, 3, 2), inner=inner
    )


def efficientnet():
    def forward(s, x):
        y = s.wide(x)
        gate = moka.sigmoid(s.up(F.silu(s.down(F.adaptive_avg_pool2d(y, 1)))))
        return s.narrow(y * gate)

    parts = {"down": nn.Conv2d(8, 2, 1), "up": nn.Conv2d(2, 8, 1), "narrow": conv(8, 4, 1)}
    return Made(forward, wide=conv(3, 8, 3, 1, 1, nn.SiLU), **parts)


def densenet():
    def forward(s, x):
        found = [x]
        for layer in s.layers:
            found.append(layer(moka.cat(found, 1)))
        return s.pool(moka.cat(found, 1)).flatten(1)

    layers = nn.ModuleList(conv(3 + 2 * i, 2) for i in range(3))
    return Made(forward, layers=layers, pool=nn.AdaptiveMaxPool2d(2))


def unet():
    def forward(s, x):
        first = s.down(x)
        low = s.low(F.max_pool2d(first, 2))
        high = s.up(low)
        wide = F.interpolate(low, size=first.shape[2:], mode="bilinear", align_corners=False)
        return s.head(moka.cat([first, high, wide], 1))

    parts = {"low": conv(4, 4), "up": nn.ConvTranspose2d(4, 4, 2, 2), "head": nn.Conv2d(12, 2, 1)}
    return Made(forward, down=conv(3, 4), **parts)


def generator():
    return nn.Sequential(
        nn.Unflatten(1, (8, 1, 1)), nn.ConvTranspose2d(8, 4, 4, 1, bias=False), nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def super_resolution():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.PReLU(), nn.Conv2d(8, 9, 3, padding=1), nn.PixelShuffle(3)
    )


def convnext():
    def forward(s, x):
        y = s.depthwise(x).permute(0, 2, 3, 1)
        y = s.out(F.gelu(s.wide(s.norm(y)))) * s.scale
        return s.last(x + y.permute(0, 3, 1, 2)).mean([-2, -1])

    parts = {
        "norm": nn.LayerNorm(4),
        "wide": nn.Linear(4, 16),
        "out": nn.Linear(16, 4),
        "last": nn.GroupNorm(2, 4),
    }
    scale = nn.Parameter(moka.full((4,), 0.1))
    return Made(forward, depthwise=nn.Conv2d(4, 4, 7, padding=3, groups=4), scale=scale, **parts)


class Attention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        if self.causal:
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)
            seen = moka.ones(t, t, dtype=moka.bool).tril()
            y = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


def layer(width, causal):
    mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
    parts = {"first": nn.LayerNorm(width), "second": nn.LayerNorm(width), "mlp": mlp}

    def forward(s, x):
        x = x + s.attention(s.first(x))
        return x + s.mlp(s.second(x))

    return Made(forward, attention=Attention(width, 2, causal), **parts)


def vit():
    def forward(s, x):
        x = s.patches(x).flatten(2).transpose(1, 2)
        x = moka.cat([s.token.expand(x.shape[0], -1, -1), x], 1) + s.places
        return s.head(s.norm(s.layers(x))[:, 0])

    parts = {"token": nn.Parameter(moka.randn(1, 1, 8)), "places": nn.Parameter(moka.randn(1, 17, 8))}
    parts |= {"norm": nn.LayerNorm(8), "head": nn.Linear(8, 3)}
    return Made(
        forward,
        patches=nn.Conv2d(3, 8, 4, 4),
        layers=nn.Sequential(layer(8, False), layer(8, False)),
        **parts,
    )


def gpt():
    def forward(s, ids):
        x = s.words(ids) + s.places(moka.arange(ids.shape[1]))
        return F.linear(s.norm(s.layers(x)), s.words.weight)

    layers = nn.Sequential(layer(8, True), layer(8, True))
    return Made(
        forward, words=nn.Embedding(11, 8), places=nn.Embedding(16, 8), layers=layers, norm=nn.LayerNorm(8)
    )


def bert():
    def forward(s, ids):
        padded = ids == 0
        x = s.encoder(s.words(ids), src_key_padding_mask=padded)
        kept = (~padded).unsqueeze(-1).to(x.dtype)
        return moka.tanh(s.pooler((x * kept).sum(1) / kept.sum(1).clamp(min=1)))

    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    )
    return Made(forward, words=nn.Embedding(11, 8), encoder=encoder, pooler=nn.Linear(8, 8))


def translation():
    def forward(s, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return s.net(s.words(source), s.words(target), tgt_mask=mask)

    return Made(forward, words=nn.Embedding(11, 8), net=nn.Transformer(8, 2, 1, 1, 16, batch_first=True))


def recurrent(kind):
    def forward(s, x):
        y, state = s.net(x)
        last = state[0] if isinstance(state, tuple) else state
        return s.head(y), last

    net = kind(3, 4, 2, batch_first=True, bidirectional=True)
    return Made(forward, net=net, head=nn.Linear(8, 2))


def wavenet():
    def forward(s, x):
        total = 0
        for filters, gates in zip(s.filters, s.gates, strict=True):
            y = moka.tanh(filters(x)) * moka.sigmoid(gates(x))
            x = x[..., -y.shape[-1] :] + y
            total = total + y.mean(-1)
        return total

    def convs():
        return nn.ModuleList(nn.Conv1d(3, 3, 2, dilation=2**i) for i in range(3))

    return Made(forward, filters=convs(), gates=convs())


def windows():
    def forward(s, x):
        n, h, w, c = x.shape
        x = moka.roll(x, (-1, -1), (1, 2)).view(n, h // 2, 2, w // 2, 2, c)
        x = s.mix(x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c))
        x = x.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return moka.roll(x, (1, 1), (1, 2))

    return Made(forward, mix=layer(4, False))


def mixer():
    def forward(s, x):
        x = x + s.tokens(x.transpose(1, 2)).transpose(1, 2)
        return (x + s.channels(x)).mean(1)

    def mlp(width):
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))

    return Made(forward, tokens=mlp(5), channels=mlp(4))


def detector():
    def forward(s, x):
        y = s.body(x)
        n, _, h, w = y.shape
        rows, columns = moka.meshgrid(moka.arange(h), moka.arange(w), indexing="ij")
        grid = moka.stack([columns, rows], -1).to(y.dtype)
        y = y.view(n, 2, 5, h, w).permute(0, 1, 3, 4, 2)
        place = (y[..., :2].sigmoid() + grid) * 4
        return moka.cat([place, y[..., 2:4].exp(), y[..., 4:].sigmoid()], -1).flatten(1, 3)

    return Made(forward, body=nn.Sequential(conv(3, 4, 3, 2), conv(4, 10, 3, 2)))


def experts():
    def forward(s, x):
        best, chosen = s.gate(x).softmax(-1).topk(2, -1)
        out = moka.zeros_like(x)
        for i, expert in enumerate(s.experts):
            weight = (best * (chosen == i)).sum(-1, keepdim=True)
            out += weight * expert(x)
        return out

    return Made(forward, gate=nn.Linear(4, 3), experts=nn.ModuleList(nn.Linear(4, 4) for _ in range(3)))


def recommender():
    def forward(s, ids, x):
        found = s.tables(ids)
        crossed = (found.sum(1) ** 2 - (found**2).sum(1)).sum(1, keepdim=True) / 2
        return moka.sigmoid(s.deep(moka.cat([found.flatten(1), x], 1)) + crossed), s.bags(ids)

    deep = nn.Sequential(nn.Linear(14, 8), nn.BatchNorm1d(8), nn.ELU(), nn.Linear(8, 1))
    return Made(forward, tables=nn.Embedding(11, 4), bags=nn.EmbeddingBag(11, 3, mode="mean"), deep=deep)


def graph_network():
    def forward(s, x, edges):
        near = edges / edges.sum(-1, keepdim=True).clamp(min=1)
        return s.second(near @ F.relu(s.first(near @ x)))

    return Made(forward, first=nn.Linear(4, 6), second=nn.Linear(6, 2))


def autoencoder():
    def forward(s, x):
        mean, spread = s.encoder(x).chunk(2, -1)
        return {"image": s.decoder(mean), "mean": mean, "spread": (0.5 * spread).exp()}

    return Made(forward, encoder=nn.Linear(9, 8), decoder=nn.Sequential(nn.Linear(4, 9), nn.Softplus()))


def equation():
    def forward(s, x):
        for _ in range(4):
            k = s.net(x)
            x = x + 0.1 * (k + s.net(x + 0.2 * k)) / 2
        return x

    return Made(forward, net=nn.Sequential(nn.Linear(3, 8), nn.Softsign(), nn.Linear(8, 3)))


# Name: (maker, shapes of the inputs; whole numbers come where the first is an int).
MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), [(2, 6)]),
    "lenet": (lenet, [(2, 1, 16, 16)]),
    "resnet": (resnet, [(2, 3, 32, 32)]),
    "mobilenet": (mobilenet, [(2, 3, 8, 8)]),
    "efficientnet": (efficientnet, [(2, 3, 8, 8)]),
    "densenet": (densenet, [(2, 3, 8, 8)]),
    "unet": (unet, [(2, 3, 8, 8)]),
    "generator": (generator, [(2, 8)]),
    "super_resolution": (super_resolution, [(2, 1, 6, 6)]),
    "convnext": (convnext, [(2, 4, 8, 8)]),
    "vit": (vit, [(2, 3, 16, 16)]),
    "gpt": (gpt, [("ids", 2, 6)]),
    "bert": (bert, [("ids", 2, 6)]),
    "translation": (translation, [("ids", 2, 6), ("ids", 2, 4)]),
    "lstm": (lambda: recurrent(nn.LSTM), [(2, 5, 3)]),
    "gru": (lambda: recurrent(nn.GRU), [(2, 5, 3)]),
    "wavenet": (wavenet, [(2, 3, 12)]),
    "windows": (windows, [(2, 4, 6, 4)]),
    "mixer": (mixer, [(2, 5, 4)]),
    "detector": (detector, [(2, 3, 8, 8)]),
    "experts": (experts, [(3, 4)]),
    "recommender": (recommender, [("ids", 2, 3), (2, 2)]),
    "graph_network": (graph_network, [(2, 5, 4), (2, 5, 5)]),
    "autoencoder": (autoencoder, [(2, 9)]),
    "equation": (equation, [(2, 3)]),
}


def build(name):
    """The network in evaluation mode, and what makes inputs of a batch."""
    maker, shapes = MODELS[name]
    moka.manual_seed(0)
    net = maker().eval()

    def inputs(batch):
        out = []
        for shape in shapes:
            ids = shape[0] == "ids"
            sizes = (batch, *shape[2 if ids else 1 :])
            out.append(moka.randint(1, 11, sizes) if ids else moka.randn(*sizes))
        return tuple(out)

    return net, inputs
