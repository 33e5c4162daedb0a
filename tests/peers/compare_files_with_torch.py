#!/usr/bin/env python3
"""Files both ways: moka.load reads what torch.save writes, torch.load(weights_only=True) what moka.save
writes.

`--record FOLDER` writes torch's files for tests/python (tests/corpus/torch).
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import moka


def examples() -> dict[str, Any]:
    torch.manual_seed(0)
    base = torch.arange(12.0)
    everything = {
        "epoch": 3,
        "loss": 0.5,
        "big": 2**70,
        "negative": -5,
        "name": "run \u00e9",
        "matrix": base.reshape(3, 4),
        "transposed": base.reshape(3, 4).t(),
        "view": base[2:5],
        "bool": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.half),
        "bfloat16": torch.ones(2, dtype=torch.bfloat16) * 1.5,
        "int64": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "complex": torch.tensor([1 + 2j]),
        "uint8": torch.tensor([255], dtype=torch.uint8),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ordered": collections.OrderedDict(a=1, b=(1, 2, (3,))),
        "list": [1, None, True, False, 1e300],
        "size": torch.Size([1, 2]),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "leaf": torch.ones(1, requires_grad=True),
        "bytes": b"ab\xff",
        "set": {1, 2},
        "number": 1 + 2j,
        5: "key",
    }
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.125)
    model(torch.ones(4, 3) * torch.arange(4.0).reshape(4, 1)).sum().backward()
    optimizer.step()
    run = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    narrow = {
        "uint16": torch.tensor([65535], dtype=torch.uint16),
        "float8": torch.ones(2).to(torch.float8_e4m3fn),
    }
    return {"everything": everything, "run": run, "narrow": narrow}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        if str(ours.dtype).rpartition(".")[2] != str(theirs.dtype).rpartition(".")[2]:
            return False
        if str(theirs.dtype).startswith("torch.float8"):
            return moka._C._reinterpret(ours, "uint8").tolist() == theirs.view(torch.uint8).tolist()
        return ours.tolist() == theirs.tolist() and ours.requires_grad == theirs.requires_grad
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, torch.dtype | torch.device):
        return str(ours).rpartition(".")[2] == str(theirs).rpartition(".")[2]
    return ours == theirs


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, help="keep torch's files in this folder")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.record or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(torch.nn.Sequential(torch.nn.Linear(2, 1)), folder / "module.pt")
        for name, value in examples().items():
            for kind, zipped in (("", True), ("_legacy", False)):
                path = folder / f"{name}{kind}.pt"
                torch.save(value, path, _use_new_zipfile_serialization=zipped)
                loaded = moka.load(path)
                good = same(loaded, value)
                if name != "narrow":
                    back = Path(scratch) / "back.pt"
                    moka.save(loaded, back, format="pt")
                    good = good and same(loaded, torch.load(back, weights_only=True))
                failed += not good
                print(f"{'ok  ' if good else 'FAIL'} {path.name}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
