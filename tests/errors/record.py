"""Writes into the tables what their programs print now; git diff then shows what to judge.

PYTHONPATH=build/dev/python MOKA_BUILD=build/dev python -m tests.errors.record [AREA ...]
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from .catalogue import differs, outcome, read_table, tables
from .programs import names


def record(table: Path) -> int:
    """Rewrite one table; returns how many texts changed."""
    lines = table.read_text().splitlines()
    out: list[str] = []
    done = changed = 0
    for entry in read_table(table):
        out += lines[done : entry.end]
        done = entry.end
        while done < len(lines) and not lines[done].startswith("== "):
            done += 1  # the old text
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                found = outcome(entry, Path(folder).resolve(), names(Path(folder).resolve()))
            except AssertionError as error:
                print(f"{table.name}:{entry.line}: {entry.title}: {error}")
                found = entry.expected or "?"
            os.chdir("/")
        text = entry.expected
        if differs(entry.expected, found):
            changed += 1
            text = found
        first, *rest = text.splitlines()
        out += [f"-> {first}", *(f"   {line}".rstrip() for line in rest), ""]
    out += lines[done:]
    table.write_text("\n".join(out).rstrip("\n") + "\n")
    return changed


def main() -> None:
    chosen = [table for table in tables() if not sys.argv[1:] or table.stem in sys.argv[1:]]
    for table in chosen:
        print(f"{table.name}: {record(table)} texts changed")


if __name__ == "__main__":
    main()
