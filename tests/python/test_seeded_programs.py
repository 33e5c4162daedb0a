"""Programs that draw all numbers from torch.manual_seed print what torch printed (seeded/recorded.json)."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "seeded"
RECORDED = json.loads((FOLDER / "recorded.json").read_text())
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


def test_all_programs_are_recorded():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(RECORDED) and all(RECORDED.values())


@pytest.mark.parametrize("name", RECORDED)
def test_lines_follow_torch(name):
    command = [sys.executable, "-W", "ignore", "-m", "moka.compat.torch", FOLDER / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found, expected = done.stdout.splitlines(), RECORDED[name]
    assert [NUMBER.sub("#", line) for line in found] == [NUMBER.sub("#", line) for line in expected]
    for ours, theirs in zip(found, expected, strict=True):
        numbers = [float(word) for word in NUMBER.findall(ours)]
        assert numbers == pytest.approx([float(word) for word in NUMBER.findall(theirs)], rel=1e-3, abs=1e-3)
