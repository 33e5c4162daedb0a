"""The build folder for tests, and how many cases of the operator table and error texts ran in each mode."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def build() -> Path:
    """The build folder that ./dev test made."""
    folder = os.environ.get("MOKA_BUILD")
    assert folder, "set MOKA_BUILD to a build folder; ./dev test does"
    return Path(folder)


def mode_of(nodeid: str) -> str:
    """The mode that a case belongs to: its test's name in words; "" for all other tests."""
    path, _, test = nodeid.replace("\\", "/").partition("::")
    name = test.partition("[")[0].removeprefix("test_").replace("_", " ")
    if "[" not in test:
        return ""
    if "tests/ops/" in f"/{path}" and not path.endswith("test_indexing.py"):
        return name
    return "error texts" if path.endswith("errors/test_catalogue.py") and "in the table" in name else ""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if getattr(report, "when", "") == "call" and (mode := mode_of(report.nodeid)):
                ran[mode] += 1
    if ran:
        terminalreporter.section("operator table, cases by mode")
        for mode, count in sorted(ran.items()):
            terminalreporter.write_line(f"mode {mode}: {count} cases")
