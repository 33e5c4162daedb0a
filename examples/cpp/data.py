"""Writes Fashion-MNIST as the file that train.cpp reads: python examples/cpp/data.py data.safetensors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse

from moka import data, safetensors

MEAN, STD = 0.286, 0.353


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="the safetensors file to write, 220 MB")
    parser.add_argument("--root", help="folder with the idx files; Debian's package needs none")
    arguments = parser.parse_args()
    tensors = {}
    for prefix, train in (("", True), ("test_", False)):
        dataset = data.FashionMNIST(arguments.root, train=train)
        images, labels = dataset.fetch_batch(range(len(dataset)), None)
        tensors[f"{prefix}images"] = (images - MEAN) / STD
        tensors[f"{prefix}labels"] = labels
    safetensors.save_file(tensors, arguments.file)
    print(f"{arguments.file}: {', '.join(f'{name} {list(t.shape)}' for name, t in tensors.items())}")


if __name__ == "__main__":
    main()
