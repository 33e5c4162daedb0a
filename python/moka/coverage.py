"""What the operator table covers: derivatives, formats, samples, and which functions of torch are missing."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from . import _C

__all__ = ["main", "summary", "table"]


def table() -> list[dict[str, Any]]:
    """Every operator as a dictionary: name, kind, derivative or not, ONNX and NetDef spellings."""
    rows = []
    for op in _C._op_table():
        rows.append(
            {
                "name": op["name"],
                "kind": op["kind"],
                "public": op["method"] != "none",
                "derivative": bool(op["derivative"]) or (op["composite"] and not op["no_derivative"]),
                "no_derivative": op["no_derivative"],
                "onnx": [row["map"].split("(")[0] for row in op["onnx"]["rows"]],
                "netdef": [row["map"].split("(")[0] for row in op["netdef"]["rows"]],
                "samples": len(op["samples"]),
                "kernels": op["kernels"],
            }
        )
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Counts over a table()."""
    public = [row for row in rows if row["public"]]
    kinds = {kind: sum(row["kind"] == kind for row in rows) for kind in ("formula", "kernel", "view", "body")}
    return {
        "operators": len(rows),
        "public": len(public),
        **kinds,
        "with derivative": sum(row["derivative"] for row in public),
        "no derivative by nature": sum(bool(row["no_derivative"]) for row in public),
        "read and write ONNX": sum(bool(row["onnx"]) for row in public),
        "read and write NetDef": sum(bool(row["netdef"]) for row in public),
        "samples": sum(row["samples"] for row in rows),
    }


def missing_core(path: Path) -> tuple[int, list[str]]:
    """How many core functions a list of torch functions names, and those that moka lacks.

    Args:
        path: a tab-separated file with the columns `name` (torch.add, Tensor.view) and `core400`.
    """
    import moka

    core, missing = 0, []
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["core400"] != "yes":
                continue
            core += 1
            place: Any = moka
            for part in row["name"].split(".")[(0 if row["name"].startswith("Tensor.") else 1) :]:
                place = getattr(place, part, None)
                if place is None:
                    missing.append(row["name"])
                    break
    return core, missing


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; the command `python -m moka coverage`."""
    parser = argparse.ArgumentParser(prog="python -m moka.coverage", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the whole table as JSON")
    parser.add_argument(
        "--core", type=Path, metavar="FILE", help="a table of torch functions: report the missing core ones"
    )
    options = parser.parse_args(arguments)
    rows = table()
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    width = max(len(row["name"]) for row in rows)
    print(f"{'operator':{width}}  kind     gradient  samples  ONNX / NetDef")
    for row in rows:
        gradient = "yes" if row["derivative"] else "none" if row["no_derivative"] else "missing"
        onnx, netdef = (", ".join(dict.fromkeys(row[key])) or "-" for key in ("onnx", "netdef"))
        spelled = f"{onnx} / {netdef}"
        print(f"{row['name']:{width}}  {row['kind']:7}  {gradient:8}  {row['samples']:7}  {spelled}")
    print()
    for name, count in summary(rows).items():
        print(f"{name:26} {count}")
    if options.core:
        core, missing = missing_core(options.core)
        print(f"core functions of torch    {core - len(missing)} of {core}; missing: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
