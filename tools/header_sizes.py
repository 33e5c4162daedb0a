"""Prints how many lines the headers that most files include come to: what every compilation has to read."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["WATCHED", "preprocessed_lines", "report"]

WATCHED = (
    "moka/tensor/tensor.h",
    "moka/schema/op.h",
    "moka/ops/operators.h",
    "moka/ops/define.h",
    "moka/graph/graph.h",
)


def preprocessed_lines(root: Path, header: str) -> int:
    """Lines of a file that includes only `header`, after preprocessing."""
    command = [shutil.which("g++") or "clang++", "-std=c++20", f"-I{root}", "-E", "-P", "-x", "c++", "-"]
    result = subprocess.run(
        command, input=f'#include "{header}"\n', capture_output=True, text=True, check=True
    )
    return result.stdout.count("\n")


def report(root: Path) -> str:
    """One line for each watched header."""
    rows = [
        f"{header:24}{preprocessed_lines(root, header):8}" for header in WATCHED if (root / header).exists()
    ]
    return "\n".join(["preprocessed lines of watched headers", *rows])
