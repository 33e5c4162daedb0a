"""Packages written with Python's own zip writer, and a way to run the moka command."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "bool": "BOOL", "uint8": "U8"}

CLASSIFIER = """moka-ir 1
graph main(%x: float32[batch, 4]) {
  state parameter "weight": float32[3, 4] = float32[3, 4] @"weight"
  state parameter "bias": float32[3] = float32[3] @"bias"
  %w: float32[3, 4] = get "weight"
  %b: float32[3] = get "bias"
  %y: float32[batch, 3] = linear(%x, %w, %b)
  %z: float32[batch, 3] = relu(%y)
  return %z as "scores"
}
"""
WEIGHT = (np.arange(12, dtype=np.float32).reshape(3, 4) * 0.125 - 0.5).astype(np.float32)
BIAS = np.array([-1, 0, 1], np.float32)


def safetensors_bytes(tensors: dict[str, np.ndarray]) -> bytes:
    """The layout, written from its one-page description."""
    header, data = {}, b""
    for name, array in tensors.items():
        end = len(data) + array.nbytes
        header[name] = {
            "dtype": CODES[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [len(data), end],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_package(path: Path, program: str, tensors: dict[str, np.ndarray], **manifest) -> Path:
    manifest = {"format": 1, "producer": "tests", "needs": [], "main": "main", "metadata": {}, **manifest}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("manifest.json"), json.dumps(manifest))
        archive.writestr(zipfile.ZipInfo("program.txt"), program)
        archive.writestr(zipfile.ZipInfo("weights.safetensors"), safetensors_bytes(tensors))
    return path


@pytest.fixture
def classifier(tmp_path) -> Path:
    """A linear layer and a relu on rows of four numbers."""
    return write_package(
        tmp_path / "model.moka", CLASSIFIER, {"weight": WEIGHT, "bias": BIAS}, metadata={"author": "tests"}
    )


@pytest.fixture
def scores():
    """What the classifier must answer."""
    return lambda x: np.maximum(x @ WEIGHT.T + BIAS, 0)


@pytest.fixture
def moka(build, tmp_path):
    """Runs the command in the test's folder; checks its exit code where it is known."""

    def run(*words, code: int | None = 0) -> subprocess.CompletedProcess:
        command = [str(build / "bin" / "moka"), *map(str, words)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert code in (None, result.returncode), f"{command}\n{result.stdout}\n{result.stderr}"
        return result

    return run
