#!/usr/bin/env python3
"""Runs the programs of tests/python/programs with torch and records what they print (curves.json)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "python" / "programs"


def main() -> None:
    curves = {}
    for program in sorted(FOLDER.glob("*.py")):
        if program.stem == "start":
            continue
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{program.name} failed:\n{done.stderr}")
        curves[program.stem] = done.stdout.splitlines()
        print(program.stem, len(curves[program.stem]), "lines")
    (FOLDER / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
