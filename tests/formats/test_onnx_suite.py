"""ONNX's backend suite: every case passes but for those that the list of failures names."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import onnx_suite
import pytest
from onnx_suite import FAILURES, run_cases

# Of the 2,033 of onnx 1.23.2.
LEAST_PASSING = 2020


def test_the_suite_passes_but_for_the_listed_cases(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    subprocess.run([sys.executable, onnx_suite.__file__, "--out", str(out)], check=True, timeout=600)
    results = json.loads(out.read_text(encoding="utf-8"))
    failed = {name: error for name, error in results.items() if error}
    assert {name: error for name, error in failed.items() if name not in FAILURES} == {}
    assert sorted(set(FAILURES) - set(failed)) == [], "these pass: take them from the list"
    assert len(results) - len(failed) >= LEAST_PASSING


class Stand:
    """A case that does something to its process."""

    def __init__(self, name: str, act: Any) -> None:
        self.name, self.category, self._act = name, "node", act

    def model(self) -> Any:
        self._act()
        raise ValueError("an error")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_case_that_kills_its_process_fails_alone(processes: int) -> None:
    cases = [
        Stand("dies", lambda: os.kill(os.getpid(), signal.SIGKILL)),
        Stand("says so", lambda: None),
        Stand("waits", lambda: time.sleep(60)),
        Stand("says so too", lambda: None),
    ]
    errors = {case.name: error for case, error in run_cases(cases, processes, seconds=3)}
    assert errors == {
        "dies": "the process ended with -9",
        "says so": "ValueError: an error",
        "waits": "took too long",
        "says so too": "ValueError: an error",
    }
