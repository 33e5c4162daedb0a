"""Fifteen programs written with `import torch` follow what torch 2.15 printed (programs/curves.json)."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "programs"
CURVES = json.loads((FOLDER / "curves.json").read_text())


def rows(lines):
    return [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("loss")]


def test_all_programs_are_recorded():
    programs = {path.stem for path in FOLDER.glob("*.py")} - {"start"}
    assert programs == set(CURVES) and len(programs) == 15
    for lines in CURVES.values():
        assert len(rows(lines)) >= 4


@pytest.mark.parametrize("name", sorted(CURVES))
def test_losses_follow_torch(name):
    command = [sys.executable, "-m", "moka.compat.torch", FOLDER / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found, expected = rows(done.stdout.splitlines()), rows(CURVES[name])
    assert [len(row) for row in found] == [len(row) for row in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-3)
    said = [
        [line for line in lines if not line.startswith("loss")]
        for lines in (done.stdout.splitlines(), CURVES[name])
    ]
    assert said[0] == said[1]
