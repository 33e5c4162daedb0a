"""Model files of every format, and ways to damage them."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import moka

__all__ = ["FILES", "Damage", "copy_models", "write_models"]

FILES = ("model.moka", "model.onnx", "init_net.pb", "predict_net.pb", "weights.safetensors", "run.ckpt")


def write_models(folder: Path) -> None:
    """One small network in every format, always the same bytes."""
    net = moka.nn.Sequential(
        moka.nn.Conv2d(1, 2, 3), moka.nn.ReLU(), moka.nn.MaxPool2d(2), moka.nn.Flatten(), moka.nn.Linear(8, 3)
    )
    with moka.no_grad():
        for parameter in net.parameters():
            parameter.copy_(moka.arange(parameter.numel()).reshape(parameter.shape).float() / 8)
    traced = moka.jit.freeze(moka.jit.trace(net.eval(), moka.ones(1, 1, 6, 6), input_names=["x"]))
    traced.save(folder / "model.moka")
    moka.onnx.export(traced, folder / "model.onnx")
    moka.caffe2.export(traced, None, folder / "init_net.pb", folder / "predict_net.pb")
    moka.safetensors.save_file(net.state_dict(), folder / "weights.safetensors")
    moka.save({"epoch": 3, "model": net.state_dict()}, folder / "run.ckpt")


@functools.cache
def _models() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="moka-error-texts-"))
    write_models(folder)
    return folder


def copy_models(folder: Path) -> None:
    """The files of write_models, as they are when nobody has damaged them."""
    for name in FILES:
        shutil.copy(_models() / name, folder / name)


class Damage:
    """Changes to the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def cut(self, name: str, size: int) -> None:
        """Keep the first `size` bytes, or drop the last -size."""
        path = self._folder / name
        path.write_bytes(path.read_bytes()[:size])

    def put(self, name: str, at: int, data: bytes) -> None:
        """Write `data` over what stands at byte `at` (counted from the end when negative)."""
        path = self._folder / name
        whole = bytearray(path.read_bytes())
        at %= len(whole)
        whole[at : at + len(data)] = data
        path.write_bytes(whole)

    def swap(self, name: str, old: bytes, new: bytes) -> None:
        """Put `new` where `old` stands first, which must be somewhere."""
        path = self._folder / name
        whole = path.read_bytes()
        assert old in whole, f"{name} has no {old!r}"
        path.write_bytes(whole.replace(old, new, 1))

    def flip(self, name: str, near: bytes, distance: int = 0, bits: int = 1) -> None:
        """Flip bits of the byte that lies `distance` after the first place of `near`."""
        path = self._folder / name
        whole = bytearray(path.read_bytes())
        at = whole.index(near) + distance
        whole[at] ^= bits
        path.write_bytes(whole)

    def header(self, name: str, text: bytes, data: bytes = b"") -> None:
        """A safetensors file with this header."""
        (self._folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)

    def names(self) -> dict[str, Any]:
        """The methods, as programs call them."""
        return {name: getattr(self, name) for name in ("cut", "put", "swap", "flip", "header")}
