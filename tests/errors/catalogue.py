"""Reads the tables of this folder, and runs one entry: a program, and the exact text of its error."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Entry", "differs", "outcome", "read_table", "tables"]

HERE = Path(__file__).resolve().parent
_BEFORE = "before each"


class Entry(NamedTuple):
    """One mistake: what it is, the program that makes it, and what the user reads."""

    area: str
    title: str
    line: int  # where the entry begins in its table
    before: str  # runs first; shared by the entries that follow it
    program: str  # Python, of which the last statement fails; or "$ moka ...", a command that does
    expected: str
    end: int  # the last line of the program in the table

    @property
    def id(self) -> str:
        return f"{self.area}-{self.title.replace(' ', '_')}"


def tables() -> list[Path]:
    """The tables, one an area."""
    return sorted(HERE.glob("*.txt"))


def read_table(path: Path) -> list[Entry]:
    """The entries of a table: "== title", program lines, "-> " and the text; "== before each" is set-up."""
    entries: list[Entry] = []
    before = title = ""
    start = end = 0
    program: list[str] = []
    expected: list[str] | None = None

    def close() -> None:
        nonlocal before
        source = "\n".join(program).strip("\n")
        if title == _BEFORE:
            before = source
        elif title:
            assert source, f"{path.name}:{start}: {title!r} has no program"
            text = "" if expected is None else "\n".join(expected).rstrip()
            entries.append(Entry(path.stem, title, start, before, source, text, end))

    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("== "):
            close()
            title, start, program, expected = line[3:].strip(), number, [], None
        elif line.startswith("-> "):
            expected = [line[3:]]
        elif expected is not None:
            expected.append(line.removeprefix("   "))
        elif title:
            program.append(line)
            if line.strip():
                end = number
    close()
    titles = [entry.title for entry in entries]
    twice = {title for title in titles if titles.count(title) > 1}
    assert not twice, f"{path.name}: titles that stand twice: {', '.join(sorted(twice))}"
    return entries


def outcome(entry: Entry, folder: Path, names: dict[str, Any]) -> str:
    """What a user sees who runs the entry's program in `folder`: type and text of the error."""
    space = dict(names)
    exec(compile(entry.before, f"{entry.area}.txt, before each", "exec"), space)
    lines = entry.program.splitlines()
    commands = [line for line in lines if line.startswith("$ ")]
    if commands:
        assert lines[-1] is commands[-1] and len(commands) == 1, "a command comes last, and alone"
        exec(compile("\n".join(lines[:-1]), entry.id, "exec"), space)
        return _shown(_run_command(commands[0][2:], folder), folder)
    last = ast.parse(entry.program).body[-1].lineno
    try:
        exec(compile(entry.program, entry.id, "exec"), space)
    except Exception as error:
        at = next(f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == entry.id)
        assert at >= last, f"line {at} of the program failed, before its end: {error}"
        return _shown("".join(traceback.format_exception_only(error)).rstrip("\n"), folder)
    return "no error"


def _run_command(line: str, folder: Path) -> str:
    words = shlex.split(line)
    assert words[0] == "moka"
    program = Path(os.environ["MOKA_BUILD"], "bin", "moka")
    if words[1:2] == ["python"]:
        command = [sys.executable, "-m", "moka", *words[2:]]
    else:
        command = [str(program), *words[1:]]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return f"exit {result.returncode}\n{result.stderr.rstrip()}"


def _shown(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "FOLDER")
    return "\n".join(line.rstrip() for line in text.splitlines())


def differs(expected: str, found: str) -> bool:
    """Whether a text is another than the table says; "..." in the table stands for anything within a line."""
    pattern = re.escape(expected).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, found) is None
