"""Datasets of small grey images: FashionMNIST, MNIST, and the digits of scikit-learn."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moka import _C
from moka._C import Tensor

from .dataset import Dataset
from .idx import IdxError, find_file, read_idx
from .randomness import SampleRandom
from .workers import sample_random

__all__ = ["Digits", "FashionMNIST", "ImageDataset", "MNIST"]

Transform = Callable[[np.ndarray, SampleRandom], np.ndarray]


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images with labels, in memory; sample i is (float tensor [1, height, width], label).

    Args:
        images: uint8 array [samples, height, width].
        labels: int array [samples].
        classes: the name of each label.
        transform: called with a whole batch of images (uint8, [n, height, width]) and a SampleRandom; gives
        the
            float32 array [n, 1, height, width] that is fed to the model. Without it, values go from 0 to 1.
    """

    classes: Sequence[str] = ()

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: Sequence[str] = (),
        transform: Transform | None = None,
    ) -> None:
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"ImageDataset: images must be uint8 [samples, height, width], but are {images.dtype} "
                f"{list(images.shape)}"
            )
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"ImageDataset: {len(images)} images, but labels have shape {list(labels.shape)}"
            )
        if classes and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
            raise ValueError(
                f"ImageDataset: labels go from {labels.min()} to {labels.max()}, for {len(classes)} classes"
            )
        self.images = images
        self.labels = labels.astype(np.int64)
        self.classes = classes or self.classes
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def arrays(self, indices: Any, random: SampleRandom) -> tuple[np.ndarray, np.ndarray]:
        """The samples `indices` as NumPy arrays: transformed images and int64 labels."""
        images = self.images[indices]
        if self.transform is None:
            pixels = (images.astype(np.float32) / np.float32(255))[:, None]
        else:
            pixels = np.ascontiguousarray(self.transform(images, random))
        return pixels, self.labels[indices]

    def fetch_batch(self, indices: Sequence[int], random: SampleRandom) -> list[Tensor]:
        """The samples `indices`, stacked: images [n, 1, height, width] and labels [n]."""
        pixels, labels = self.arrays(np.asarray(indices, np.int64), random)
        return [_C.from_numpy(pixels), _C.from_numpy(labels)]

    def __getitem__(self, index: Any) -> tuple[Tensor, int]:
        pixels, labels = self.arrays(np.array([index]), sample_random())
        return _C.from_numpy(pixels[0]), int(labels[0])

    def __repr__(self) -> str:
        height, width = self.images.shape[1:]
        return f"{type(self).__name__}({len(self)} images of {height}x{width}, {len(self.classes)} classes)"


class _IdxImages(ImageDataset):
    """Images and labels in two idx files with the names of the MNIST family."""

    folders: tuple[str, ...] = ()
    hint = ""

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Transform | None = None,
    ) -> None:
        name = type(self).__name__
        if root is None:
            folders = [Path(folder) for folder in self.folders]
        else:
            # The folder itself, or the layout that torchvision leaves.
            folders = [Path(root), Path(root) / name / "raw"]
        part = "train" if train else "t10k"
        found = []
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            names = [f"{part}-{kind}.gz", f"{part}-{kind}", f"{part}-{kind.replace('-idx', '.idx')}"]
            try:
                found.append(find_file(folders, names))
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{name}: {error}. {self.hint}") from None
        images, labels = read_idx(found[0]), read_idx(found[1])
        if images.ndim != 3 or images.dtype != np.uint8:
            raise IdxError(
                f"{found[0]}: images must be bytes of rank 3, but are {images.dtype} {list(images.shape)}"
            )
        if labels.ndim != 1 or len(labels) != len(images):
            raise IdxError(
                f"{found[1]}: {len(images)} labels are needed, but its shape is {list(labels.shape)}"
            )
        if len(labels) and int(labels.max()) >= len(self.classes):
            raise IdxError(f"{found[1]}: label {labels.max()} is outside {len(self.classes)} classes")
        super().__init__(images, labels, self.classes, transform)


class FashionMNIST(_IdxImages):
    """70,000 photographs of clothes, 28x28, ten classes (Xiao, Rasul and Vollgraf 2017).

    Args:
        root: folder with the idx files; without it, where Debian's package dataset-fashion-mnist puts them.
        train: the 60,000 for training, or the 10,000 for testing.
        transform: see ImageDataset.
    """

    classes = (
        "T-shirt",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    folders = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
    hint = (
        "On Debian: apt-get install dataset-fashion-mnist; elsewhere give the folder with the files as root"
    )


class MNIST(_IdxImages):
    """70,000 handwritten digits, 28x28 (LeCun, Cortes and Burges 1998).

    Args:
        root: folder with the idx files.
        train: the 60,000 for training, or the 10,000 for testing.
        transform: see ImageDataset.
    """

    classes = tuple("0123456789")
    folders = ("/usr/share/datasets/mnist",)
    hint = "Give the folder with the four idx files as root"


class Digits(ImageDataset):
    """1,797 handwritten digits, 8x8 with values 0 to 16, that come inside scikit-learn (UCI, Alpaydin and
    Kaynak 1998).

    Every fifth image is for testing, the others for training. Values are scaled to 0 to 255.

    Args:
        root: folder with digits.csv.gz; without it, the one of an installed scikit-learn.
        train: the 1,438 for training, or the 359 for testing.
        transform: see ImageDataset.
    """

    classes = tuple("0123456789")

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Transform | None = None,
    ) -> None:
        path = Path(root) / "digits.csv.gz" if root is not None else _find_digits()
        table = _read_digits(path)
        test = np.arange(len(table)) % 5 == 4
        table = table[~test if train else test]
        images = np.minimum(table[:, :64].reshape(-1, 8, 8) * 16, 255).astype(np.uint8)
        super().__init__(images, table[:, 64], self.classes, transform)


def _find_digits() -> Path:
    """Where an installed scikit-learn has the table, without importing it (which takes a second)."""
    from importlib.util import find_spec

    spec = find_spec("sklearn")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise FileNotFoundError("Digits: scikit-learn is not installed; pip install scikit-learn, or give root")


def _read_digits(path: Path) -> np.ndarray:
    import gzip
    import zlib

    try:
        with gzip.open(path, "rb") as file:
            text = file.read(1 << 22)
        table = np.array([[float(v) for v in line.split(b",")] for line in text.split()], np.float64)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise IdxError(f"{path}: not the table of digits ({error})") from error
    if table.ndim != 2 or table.shape[1] != 65 or table.min() < 0 or table[:, :64].max() > 16:
        raise IdxError(
            f"{path}: not the table of digits: it must have 65 numbers in each line, pixels 0 to 16"
        )
    return table.astype(np.int64)
