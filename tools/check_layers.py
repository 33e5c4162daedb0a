#!/usr/bin/env python3
"""Checks every #include "moka/..." against the layer table, which is USES in moka/*/CMakeLists.txt."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["LayerError", "check", "closure", "read_order", "read_uses"]

SOURCE_SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
WRITTEN_BY_THE_BUILD = {"moka/functional.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


class LayerError(Exception):
    """The table itself is wrong: a layer names one that does not exist or stands later."""


def read_order(root: Path) -> list[str]:
    """The layers in the order of the architecture, from the root CMakeLists.txt."""
    match = re.search(r"set\(MOKA_LAYERS([^)]*)\)", (root / "CMakeLists.txt").read_text())
    if not match:
        raise LayerError("CMakeLists.txt has no set(MOKA_LAYERS ...)")
    return match.group(1).split()


def read_uses(root: Path, order: list[str]) -> dict[str, list[str]]:
    """What each layer names after USES."""
    uses = {}
    for layer in order:
        path = root / "moka" / layer / "CMakeLists.txt"
        match = re.search(rf"moka_layer\(\s*{layer}\b([^)]*)\)", path.read_text() if path.exists() else "")
        if not match:
            raise LayerError(f"moka/{layer}/CMakeLists.txt has no moka_layer({layer} ...)")
        named = re.search(r"\bUSES\b((?:\s+[a-z_0-9]+)*)", match.group(1))
        uses[layer] = named.group(1).split() if named else []
        for other in uses[layer]:
            if other not in order:
                raise LayerError(f"moka/{layer} uses {other}, which is no layer")
            if order.index(other) >= order.index(layer):
                raise LayerError(f"moka/{layer} uses {other}, which does not stand before it")
    return uses


def closure(uses: dict[str, list[str]]) -> dict[str, set[str]]:
    """Every layer that a layer may include: itself, those it uses, and those they use."""
    reach: dict[str, set[str]] = {}
    for layer, named in uses.items():  # in order, so that what is used is there already
        reach[layer] = {layer}.union(*(reach[other] for other in named))
    return reach


def check(root: Path) -> list[str]:
    """One line for each include that breaks the table, or that names a file that is not there."""
    order = read_order(root)
    reach = closure(read_uses(root, order))
    problems = []
    for path in sorted((root / "moka").rglob("*")):
        if path.suffix not in SOURCE_SUFFIXES:
            continue
        relative = path.relative_to(root)
        layer = relative.parts[1]
        if layer not in reach:
            problems.append(f"{relative}: moka/{layer} is not in MOKA_LAYERS of CMakeLists.txt")
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quote, name = match.groups()
            where = f"{relative}:{number}"
            if not name.startswith("moka/"):
                if quote == '"':
                    problems.append(f'{where}: include "{name}" from the root, as "moka/<layer>/<file>"')
                continue
            if name in WRITTEN_BY_THE_BUILD:
                continue
            target = name.split("/")[1]
            if not (root / name).exists():
                problems.append(f"{where}: {name} does not exist")
            elif target not in reach[layer]:
                allowed = ", ".join(sorted(reach[layer] - {layer}, key=order.index)) or "nothing"
                problems.append(f"{where}: moka/{layer} may not use moka/{target}; it may use {allowed}")
    return problems


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    try:
        problems = check(root)
    except LayerError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
