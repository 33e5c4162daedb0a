#!/usr/bin/env python3
"""Walks every optimizer through torch's own configurations (optim_db) in Moka and torch and compares the
ways.

Same parameters, same gradients, 20 steps: parameters must agree to 1e-5 (Muon computes in bfloat16: to
1e-3 + lr), and a
state saved after 7 steps must go on the same way. `--record FILE` writes torch's ways for tests/python.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_optimizers import optim_db

import moka

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
import optimizer_way as way  # noqa: E402


def parameters(kind: str, library: Any) -> list[Any]:
    made = []
    for place, shape in enumerate(way.shapes(kind)):
        values = np.array(way.wave(shape, 0.1 * place), dtype=way.number_type(kind)).reshape(shape)
        made.append(library.from_numpy(values).requires_grad_(True))
    return made


def step(kind: str, library: Any, optimizer: Any, params: list[Any], number: int, maximize: bool) -> None:
    if kind == "LBFGS":

        def closure() -> Any:
            optimizer.zero_grad()
            value = way.loss(params) * (-1 if maximize else 1)
            value.backward()
            return value

        optimizer.step(closure)
        return
    for place, p in enumerate(params):
        shape = tuple(p.shape)
        values = np.array(way.gradient(kind, place, shape, number), dtype=np.float32).reshape(shape)
        grad = library.from_numpy(values)
        if kind == "SparseAdam" and library is torch:
            grad = grad.to_sparse(1)
        p.grad = grad
    optimizer.step()


def options(library: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {k: library.tensor(v.item()) if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}


def walk(kind: str, library: Any, kwargs: dict[str, Any], resume_at: int | None = None) -> list[Any]:
    params = parameters(kind, library)
    make = getattr(library.optim, kind)
    optimizer = make(params, **options(library, kwargs))
    ways = []
    steps = 5 if kind == "LBFGS" else way.STEPS
    for number in range(steps):
        if number == resume_at:
            state = optimizer.state_dict()
            optimizer = make(params, **options(library, kwargs))
            optimizer.load_state_dict(state)
        step(kind, library, optimizer, params, number, kwargs.get("maximize", False))
        ways.append([p.detach().numpy().copy().reshape(-1) for p in params])
    return ways


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="optimizers; none: all")
    parser.add_argument("--record", type=Path, help="write torch's ways here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    recorded, good, total = [], 0, 0
    for info in optim_db:
        kind = info.optim_cls.__name__
        if given.names and kind not in given.names:
            continue
        for config in info.optim_inputs_func(device="cpu"):
            total += 1
            theirs = walk(kind, torch, config.kwargs)
            end = [float(v) for values in theirs[-1] for v in values]
            kwargs = {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in config.kwargs.items()}
            recorded.append({"kind": kind, "desc": config.desc, "options": kwargs, "end": end})
            worst = 0.0
            try:
                for resume in (None, 2 if kind == "LBFGS" else 7):
                    for a, b in zip(walk(kind, moka, config.kwargs, resume), theirs, strict=True):
                        worst = max([worst, *(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))])
            except Exception as error:  # noqa: BLE001  (any failure of ours is a finding)
                print(f"FAIL {kind} ({config.desc}): {type(error).__name__}: {error}")
                continue
            limit = 1e-3 + kwargs.get("lr", 1e-3) if kind == "Muon" else 1e-5
            good += worst <= limit
            print(f"{'ok  ' if worst <= limit else 'FAIL'} {kind} ({config.desc}): {worst:.1e}")
    print(f"{good} of {total} configurations go torch's way")
    if given.record:
        given.record.write_text(json.dumps(recorded, indent=None).replace("}, {", "},\n {") + "\n")
    return int(good != total)


if __name__ == "__main__":
    sys.exit(main())
