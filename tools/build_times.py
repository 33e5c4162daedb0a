"""Says how long each layer took to compile, read from ninja's log."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

__all__ = ["layer_of", "read_log", "table"]


def layer_of(output: str) -> str:
    """The folder that a build output belongs to: `moka/ops/CMakeFiles/...` is `moka/ops`."""
    match = re.match(r"(moka/\w+|python|tests)/", output)
    return match.group(1) if match else "libraries and commands"


def read_log(path: Path, offset: int = 0) -> dict[str, float]:
    """Seconds that each output took, by the last entry of each in the log after byte `offset`."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    if offset > len(data):  # ninja rewrote the log: all of it is about the present
        offset = 0
    seconds = {}
    for line in data[offset:].decode(errors="replace").splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and fields[0].isdigit() and fields[1].isdigit():
            seconds[fields[3]] = (int(fields[1]) - int(fields[0])) / 1000
    return seconds


def table(seconds: dict[str, float]) -> str:
    """One line a layer: files built, their seconds added up, and the slowest of them."""
    layers = defaultdict(list)
    for output, time in seconds.items():
        layers[layer_of(output)].append((time, output))
    lines = [f"{'layer':24}{'steps':>6}{'seconds':>9}  slowest"]
    for layer, entries in sorted(layers.items(), key=lambda item: -sum(time for time, _ in item[1])):
        slowest, output = max(entries)
        total = sum(time for time, _ in entries)
        name = re.sub(r"CMakeFiles/[\w.+-]+\.dir/", "", output)
        lines.append(f"{layer:24}{len(entries):6}{total:9.1f}  {name} {slowest:.1f}")
    return "\n".join(lines)
