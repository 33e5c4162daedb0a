"""Runs the python blocks of every page, as a reader would: one page, one program, in an empty folder."""
# SPDX-License-Identifier: Apache-2.0

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def program_of(page: Path) -> str:
    """The page's blocks, each at its own line number, so that a traceback points into the page."""
    text = page.read_text()
    program = ""
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        program += "\n" * (line - program.count("\n")) + match.group(1)
    return program


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if BLOCK.search(page.read_text())
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page, tmp_path):
    (tmp_path / "page.py").write_text(program_of(page))
    command = [sys.executable, "page.py"]  # lines are numbered as in the page
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{page.relative_to(ROOT)}:\n{result.stdout}{result.stderr}"


def test_blocks_keep_their_line_numbers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# title\n\n```python\nx = 1\n```\n\ntext\n\n```python\nraise ValueError(x)\n```\n")
    with pytest.raises(ValueError) as error:
        exec(compile(program_of(page), str(page), "exec"), {})
    assert error.traceback[-1].lineno + 1 == 10


def test_the_front_page_has_a_program():
    assert ROOT / "README.md" in PAGES
