"""Tensors beside a model: nothing outside of its folder is read or written, whatever the file says."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import moka
from moka import nn

SECRET = np.arange(4, dtype=np.float32).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a file that it may read; a secret and another folder lie beside it."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_bytes(SECRET)
    inside = tmp_path / "model"
    (inside / "parts").mkdir(parents=True)
    (inside / "weights").write_bytes(SECRET)
    (inside / "parts" / "weights").write_bytes(SECRET)
    return inside


def model_at(folder: Path, location: str, **entries: object) -> Path:
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [4])], [tensor])
    path = folder / "model.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["weights", "parts/weights"])
def test_files_of_the_folder_are_read(folder: Path, location: str) -> None:
    assert moka.onnx.load(model_at(folder, location)).run()[0].tobytes() == SECRET


def link(target: str, name: str) -> Callable[[Path], None]:
    return lambda folder: os.symlink(target, folder / name)


ATTACKS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "parent": ("../secret", lambda _: None),
    "parent of a part": ("parts/../../secret", lambda _: None),
    "parent at the end": ("parts/..", lambda _: None),
    "two slashes": ("parts//../../secret", lambda _: None),
    "backslashes": ("..\\secret", lambda _: None),
    "absolute": ("{outside}/secret", lambda _: None),
    "a link to a file": ("link", link("../secret", "link")),
    "a link to an absolute file": ("link", lambda f: os.symlink(f.parent / "secret", f / "link")),
    "a link to a folder": ("link/secret", link("../other", "link")),
    "a link to a link": ("second", lambda f: (link("../secret", "first")(f), link("first", "second")(f))[0]),
    "a hard link": ("hard", lambda f: os.link(f.parent / "secret", f / "hard")),
    "the process's own files": ("/proc/self/fd/0", lambda _: None),
    "a pipe": ("pipe", lambda f: os.mkfifo(f / "pipe")),
    "a folder": ("parts", lambda _: None),
    "a zero in the name": ("weights\0.txt", lambda _: None),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_outside_of_the_folder_is_read(folder: Path, name: str) -> None:
    location, prepare = ATTACKS[name]
    prepare(folder)
    path = model_at(folder, location.format(outside=folder.parent))
    for read in (moka.onnx.load, lambda p: moka.onnx.convert(p, folder / "new.onnx", opset=21)):
        with pytest.raises((ValueError, OSError)):
            read(path)
    assert not (folder / "new.onnx").exists()


@pytest.mark.parametrize(
    "entries",
    [{"offset": -4}, {"offset": 1 << 62}, {"offset": 8, "length": 16}, {"length": 4}, {"offset": "1e3"}],
)
def test_ranges_stay_inside_of_the_file(folder: Path, entries: dict[str, object]) -> None:
    with pytest.raises((ValueError, OSError)):
        moka.onnx.load(model_at(folder, "weights", **entries))


def write_with_data(folder: Path) -> None:
    settings = {"external_data": True, "external_threshold": 0}
    moka.onnx.export(nn.Linear(4, 4), moka.zeros(1, 4), folder / "out.onnx", **settings)


@pytest.mark.parametrize("prepare", ["link", "dangling", "absolute", "hard", "pipe", "folder", "upper"])
def test_nothing_outside_of_the_folder_is_written(folder: Path, prepare: str) -> None:
    data, secret = folder / "out.onnx.data", folder.parent / "secret"
    if prepare == "link":
        os.symlink("../secret", data)
    elif prepare == "dangling":
        os.symlink("../fresh", data)
    elif prepare == "absolute":
        os.symlink(secret, data)
    elif prepare == "hard":
        os.link(secret, data)
    elif prepare == "pipe":
        os.mkfifo(data)
    elif prepare == "folder":
        data.mkdir()
    else:
        os.symlink("second", data)
        os.symlink("../secret", folder / "second")
    before = sorted(os.listdir(folder.parent))
    source = model_at(folder, "weights")
    with pytest.raises((ValueError, OSError)):
        write_with_data(folder)
    with pytest.raises((ValueError, OSError)):
        moka.onnx.convert(source, folder / "out.onnx", opset=21)
    assert secret.read_bytes() == SECRET
    assert sorted(os.listdir(folder.parent)) == before
    assert not (folder / "out.onnx").exists()


def test_a_data_file_of_its_own_is_replaced(folder: Path) -> None:
    for _ in range(2):
        write_with_data(folder)
    assert onnx.load(folder / "out.onnx").graph.initializer
