"""Adds up what ctest and pytest say at their ends."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re

__all__ = ["Count"]


class Count:
    """Adds up what ctest and pytest say in their closing lines."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0
        self.modes: dict[str, int] = {}  # cases of the operator table, as tests/conftest.py prints them

    def read_ctest(self, code: int, text: str) -> None:
        match = re.search(r"(\d+) tests? failed out of (\d+)", text)
        if match:
            failed, total = int(match.group(1)), int(match.group(2))
            skipped = text.count("(Skipped)")  # ctest lists each once more at its end
            self.failed += failed
            self.skipped += skipped
            self.passed += total - failed - skipped
        self.failed += 1 if code and not (match and int(match.group(1))) else 0

    def read_pytest(self, code: int, text: str) -> None:
        closing = [line for line in text.splitlines() if re.search(r"\bin [\d.]+s\b", line)]
        found = dict((word, int(n)) for n, word in re.findall(r"(\d+) (\w+)", closing[-1] if closing else ""))
        errors = found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0)
        self.passed += found.get("passed", 0) + found.get("xfailed", 0)
        self.failed += errors if errors or not code else 1
        self.skipped += found.get("skipped", 0)
        for mode, count in re.findall(r"^mode (.+): (\d+) cases$", text, re.MULTILINE):
            self.modes[mode] = self.modes.get(mode, 0) + int(count)

    def table(self) -> str:
        """Cases by mode; empty when none ran."""
        if not self.modes:
            return ""
        width = max(map(len, self.modes))
        rows = [f"  {mode:<{width}}  {count:>6}" for mode, count in sorted(self.modes.items())]
        return "\n".join([f"cases by mode: {sum(self.modes.values())}", *rows])

    def line(self) -> str:
        return f"moka: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"
