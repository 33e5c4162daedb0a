"""Networks as the ONNX files of 2018 to 2021: opsets 7 to 13, initializers among the inputs, detectors.

python export_onnx_with_old_torch.py FOLDER [NAME ...]

Needs torch 1.9 and torchvision 0.10 (PyPI has them for Python 3.9). Writes NAME.oOPSET.onnx and the inputs
NAME.npz, as compare_onnx_with_onnxruntime.py wants them; says what the exporter refused.
"""
# SPDX-License-Identifier: Apache-2.0

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

warnings.filterwarnings("ignore")


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, stride=2, groups=4),
            nn.ELU(),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.ConvTranspose2d(16, 4, 3, stride=2, output_padding=1),
            nn.InstanceNorm2d(4, affine=True),
            nn.AdaptiveAvgPool2d(1),
        )
        self.last = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.last(self.parts(x).flatten(1)), 1)


class Words(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 12)
        self.layer = getattr(nn, kind)(12, 16, 2, bidirectional=True, batch_first=True)
        self.last = nn.Linear(32, 7)

    def forward(self, words: torch.Tensor) -> Any:
        y, state = self.layer(self.table(words))
        return self.last(y), (state[0] if isinstance(state, tuple) else state)


class Packed(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(6, 9, bidirectional=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        y, state = self.layer(nn.utils.rnn.pack_padded_sequence(x, lengths))
        y, _ = nn.utils.rnn.pad_packed_sequence(y)
        return y, (state[0] if isinstance(state, tuple) else state)


class Resized(nn.Module):
    def __init__(self, mode: str, align: Any) -> None:
        super().__init__()
        self.settings = {"mode": mode, "align_corners": align}

    def forward(self, x: torch.Tensor) -> Any:
        resize = nn.functional.interpolate
        return resize(x, scale_factor=1.7, **self.settings), resize(x, size=(5, 9), **self.settings)


class Loops(nn.Module):
    def forward(self, x: torch.Tensor, count: torch.Tensor) -> Any:
        y, parts = x, []
        for _ in range(int(count)):
            if bool(y.sum() > 0):
                y = y - x * 0.3
            else:
                y = y + 1
            parts.append(y)
        return torch.stack(parts), y


class Places(nn.Module):
    def forward(self, x: torch.Tensor, i: torch.Tensor) -> Any:
        mask, copy = x > 0, x.clone()
        copy[:, 0] = 7.0
        best, places = torch.topk(x, 2, 1)
        chosen = x[i], x[mask], x[:, 1::2], copy, best, places, torch.nonzero(mask)
        return *chosen, x.masked_fill(mask, 0.0), x.gather(1, places), torch.where(mask, x, -x)


Model = tuple[str, Any, tuple[Any, ...], dict[str, dict[int, str]], tuple[int, ...]]


def models() -> Iterator[Model]:
    """Name, module, inputs, names of the inputs with their open sizes, opsets."""
    x = torch.randn(2, 3, 16, 16)
    yield "convolutions", Convolutions(), (x,), {"x": {0: "n"}}, (9, 10, 11, 13)
    for kind in ("LSTM", "GRU", "RNN"):
        words = torch.randint(0, 50, (3, 7))
        yield kind.lower(), Words(kind), (words,), {"words": {0: "n", 1: "t"}}, (7, 9, 11, 13)
        given = (torch.randn(5, 3, 6), torch.tensor([5, 3, 2]))
        free = {"x": {0: "t", 1: "n"}, "lengths": {0: "n"}}
        yield f"packed_{kind.lower()}", Packed(kind), given, free, (9, 11, 13)
    layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32), 2)
    yield "transformer", layers, (torch.randn(5, 2, 16),), {"x": {0: "t", 1: "n"}}, (9, 11, 12, 13)
    for mode, align in (("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False)):
        free = {"x": {0: "n", 2: "h", 3: "w"}}
        yield f"{mode}_{align}", Resized(mode, align), (torch.randn(1, 2, 6, 7),), free, (11, 13)
    given = (torch.randn(3, 4), torch.tensor(4))
    yield "loops", torch.jit.script(Loops()), given, {"x": {0: "n"}, "count": {}}, (11, 13)
    given = (torch.randn(4, 5), torch.tensor([2, 0]))
    yield "places", Places(), given, {"x": {0: "n"}, "i": {0: "m"}}, (11, 12, 13)
    detectors: dict[str, Callable[..., Any]] = vars(torchvision.models.detection)
    plain = {"pretrained": False, "pretrained_backbone": False}
    small = {"min_size": 160, "max_size": 220}
    for name, settings in {
        "fasterrcnn_mobilenet_v3_large_320_fpn": {},
        "maskrcnn_resnet50_fpn": small,
        "keypointrcnn_resnet50_fpn": small,
        "retinanet_resnet50_fpn": small,
        "ssdlite320_mobilenet_v3_large": {},
    }.items():
        picture = [torch.rand(3, 200, 230)]
        yield name, detectors[name](**plain, **settings), (picture,), {"x": {1: "h", 2: "w"}}, (11,)
    for name in ("squeezenet1_1", "mobilenet_v2", "densenet121", "resnet18", "mnasnet0_5"):
        network = getattr(torchvision.models, name)(pretrained=False)
        yield name, network, (torch.randn(1, 3, 96, 96),), {"x": {0: "n"}}, (8, 9, 10)


def main() -> int:
    folder, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    for name, module, inputs, free, opsets in models():
        if wanted and name not in wanted:
            continue
        module.eval()
        for opset in opsets:
            more: dict[str, Any] = {}
            if isinstance(module, torch.jit.ScriptModule):
                more["example_outputs"] = module(*inputs)
            try:
                torch.onnx.export(
                    module,
                    inputs,
                    str(folder / f"{name}.o{opset}.onnx"),
                    input_names=list(free),
                    dynamic_axes=free,
                    opset_version=opset,
                    keep_initializers_as_inputs=opset < 10,
                    **more,
                )
                print(f"{name}.o{opset}", flush=True)
            except Exception as error:  # whatever the exporter raises
                print(f"{name}.o{opset}: not written: {str(error)[:90]!r}", flush=True)
        arrays = [value[0] if isinstance(value, list) else value for value in inputs]
        np.savez(folder / f"{name}.npz", **{key: arrays[k].numpy() for k, key in enumerate(free)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
