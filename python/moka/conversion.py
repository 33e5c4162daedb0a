"""moka convert for files of weights: checkpoints of torch (.pt, .pth) and safetensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import _C, safetensors

__all__ = ["main", "serves"]

_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_MODELS = (".moka", ".onnx", ".pb")
_WEIGHTS = (*_TORCH, ".safetensors")


def serves(words: Sequence[str]) -> bool:
    """Whether `convert` with these words is about a file that the native program does not read or write."""
    files = [word for word in words if not word.startswith("-")]
    return any(file.endswith(_WEIGHTS) for file in files[:1]) or any(
        file.endswith(_TORCH) for file in files[1:2]
    )


def main(words: Sequence[str]) -> int:
    """convert SOURCE DESTINATION; returns the exit code."""
    files = [word for word in words if not word.startswith("-")]
    if len(files) != 2 or len(words) != 2:
        print("moka: convert: weights are converted as convert SOURCE DESTINATION", file=sys.stderr)
        return 2
    source, destination = files
    if not destination.endswith(_WEIGHTS):
        print(
            f"moka: convert: {source} holds weights without a program; they become .safetensors or .pt, not "
            f"{os.path.basename(destination)}. For a model, load them into a Module and export it.",
            file=sys.stderr,
        )
        return 2
    try:
        tensors = _read(source)
        if destination.endswith(".safetensors"):
            safetensors.save_file({name: t.detach().contiguous() for name, t in tensors.items()}, destination)
        else:
            from . import torch_files

            torch_files.write(dict(tensors), destination)
    except (OSError, ValueError, RuntimeError, TypeError, NotImplementedError) as error:
        print(f"moka: {error}", file=sys.stderr)
        return 1
    print(f"{destination}: {len(tensors)} tensors, {os.path.getsize(destination) / 1e6:.2f} MB")
    return 0


def _read(path: str) -> dict[str, Any]:
    if path.endswith(".onnx"):
        return dict(_C._OnnxSource(path, path).read().states)
    if path.endswith(".moka"):
        return dict(_C._package_load(path)[0].states)
    if path.endswith(".safetensors"):
        return dict(safetensors.load_file(path))
    from . import load

    found: dict[str, Any] = {}
    _collect(load(path), "", found)
    if not found:
        raise ValueError(f"{path}: holds no tensors")
    return found


def _collect(value: Any, name: str, out: dict[str, Any]) -> None:
    """Tensors of nested dictionaries under dotted names."""
    if isinstance(value, _C.Tensor):
        out[name] = value
    elif isinstance(value, Mapping):
        if len(value) == 1 and not name and isinstance(next(iter(value.values())), Mapping):
            return _collect(next(iter(value.values())), "", out)  # {"state_dict": {...}}
        for key, item in value.items():
            _collect(item, f"{name}.{key}" if name else str(key), out)
    elif hasattr(value, "state_dict"):
        _collect(value.state_dict(), name, out)
