"""Layers as large as networks have them, where kernels block their sums, against the same in float64."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import moka.nn.functional as F
import numpy as np
import pytest

import moka
from moka import jit, nn

CHANNELS = (1, 3, 8, 16, 17, 24, 32, 48, 64, 96, 100, 128, 256, 512, 640)
LIMITS = {1: 400, 2: 28, 3: 10}  # places along each axis
MOST = 3e7  # multiply-adds


class Layer(nn.Module):
    """One convolution with its settings, and a relu behind it."""

    def __init__(self, name: str, weight: moka.Tensor, bias: moka.Tensor, settings: dict[str, Any]) -> None:
        super().__init__()
        self.call, self.settings = getattr(F, name), settings
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: moka.Tensor) -> moka.Tensor:
        return self.call(x, self.weight, self.bias, **self.settings).relu()


def random_layer(dice: np.random.Generator, transposed: bool) -> tuple[Layer, moka.Tensor]:
    """A layer and a picture that it takes."""
    while True:
        axes = int(dice.choice([1, 2, 2, 2, 3]))
        groups = int(dice.choice([1, 1, 1, 2, 8]))
        inputs, outputs = (groups * int(dice.choice(CHANNELS)) for _ in range(2))
        kernel = [int(dice.choice([1, 2, 3, 3, 4, 5])) for _ in range(axes)]
        padding = [int(dice.integers(0, k)) for k in kernel]
        stride = [int(dice.choice([1, 1, 2, 3])) for _ in range(axes)]
        sizes = [int(dice.integers(max(k, 2), LIMITS[axes])) for k in kernel]
        batch = int(dice.choice([1, 1, 2, 5]))
        if batch * inputs * outputs // groups * np.prod(kernel) * np.prod(sizes) > MOST:
            continue
        first, second = (inputs, outputs) if transposed else (outputs, inputs)
        weight = moka.tensor(dice.standard_normal((first, second // groups, *kernel)))
        bias, x = (moka.tensor(dice.standard_normal(n)) for n in (outputs, (batch, inputs, *sizes)))
        name = f"conv{'_transpose' if transposed else ''}{axes}d"
        return Layer(name, weight, bias, {"stride": stride, "padding": padding, "groups": groups}), x


def close(found: moka.Tensor, wanted: np.ndarray, what: str) -> None:
    scale = float(np.sqrt((wanted**2).mean())) + 1e-9
    assert np.abs(found.detach().numpy() - wanted).max() / scale < 5e-4, what


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_convolutions_of_networks(seed: int, transposed: bool) -> None:
    dice = np.random.default_rng(seed)
    for _ in range(8):
        layer, x = random_layer(dice, transposed)
        what = f"{layer.settings} of {tuple(layer.weight.shape)} over {tuple(x.shape)}"
        with moka.no_grad():
            wanted = layer(x).numpy()
            layer, x = layer.float().eval(), x.float()
            close(layer(x), wanted, what)
            if x.dim() == 4:
                close(layer(x.contiguous(memory_format=moka.channels_last)), wanted, f"channels last: {what}")
            frozen = jit.freeze(jit.trace(layer, (x,), check_trace=False))
            close(frozen(x), wanted, f"frozen: {what}")


@pytest.mark.parametrize("size", [4, 8])
def test_a_bias_is_added_once_behind_many_channels(size: int) -> None:
    dice = np.random.default_rng(0)
    x, weight, bias = (
        moka.tensor(dice.standard_normal(shape)) for shape in ((2, 512, size, size), (512, 256, 4, 4), 256)
    )
    layer = Layer("conv_transpose2d", weight, bias, {"stride": 2, "padding": 1})
    with moka.no_grad():
        close(layer.float()(x.float()), layer.double()(x).numpy(), "")
