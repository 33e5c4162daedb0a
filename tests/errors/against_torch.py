"""Compares the types of the catalogue's errors with those that PyTorch raises for the same programs.

/path/to/a/python/with/torch -m tests.errors.against_torch
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from .catalogue import outcome, read_table, tables

AREAS = ("tensors", "indexing", "operators", "autograd", "nn", "optim", "data")


def torch_names(folder: Path) -> dict[str, Any]:
    """What a program sees when torch stands in for moka."""
    import numpy as np
    import torch

    sys.modules["moka"] = torch
    data = types.SimpleNamespace(**vars(torch.utils.data))
    return {
        "moka": torch,
        "nn": torch.nn,
        "F": torch.nn.functional,
        "optim": torch.optim,
        "data": data,
        "np": np,
        "folder": folder,
    }


def main() -> None:
    same = differ = unknown = 0
    for table in tables():
        if table.stem not in AREAS:
            continue
        for entry in read_table(table):
            with tempfile.TemporaryDirectory() as name:
                os.chdir(name)
                try:
                    text = outcome(entry, Path(name), torch_names(Path(name)))
                except AssertionError as error:
                    text = f"earlier: {error}"
            theirs, ours = text.partition(":")[0], entry.expected.partition(":")[0]
            if ours == theirs:
                same += 1
            elif "has no attribute" in text:
                unknown += 1
            else:
                differ += 1
                print(
                    f"{table.name}:{entry.line}: {entry.title}: {ours}, torch: {text.splitlines()[0][:150]}"
                )
    print(f"{same} alike, {differ} differ, {unknown} of what torch does not have")


if __name__ == "__main__":
    main()
