#!/usr/bin/env python3
"""Checks what no compiler does: a README a folder, a first comment a file, no paths of one machine."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

__all__ = ["check", "check_file", "check_folders", "files_of"]

README_LINES = 40
LICENCE = "SPDX-License-Identifier: Apache-2.0"
# How the first line of a source file begins, by suffix or name; scripts may have "#!" before it.
COMMENT = {
    ".h": ("//", "/*"),  # C headers too
    ".cpp": ("//",),
    ".cu": ("//",),
    ".cuh": ("//",),
    ".py": ('"""', 'r"""', "#"),
    ".cmake": ("#",),
    "CMakeLists.txt": ("#",),
    ".sh": ("#",),
    ".map": ("#",),
}
# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.<>$}/-])/(?:work|root|home/[a-z]\w*)/[\w.]")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
# Folders of data; the folder around them says what they are.
DATA_FOLDERS = ("corpus", "data", "fixtures", "golden")


def files_of(root: Path) -> list[Path]:
    """Every file that is tracked, or would be after `git add .`, relative to `root`."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode == 0:
        names = (Path(name) for name in listed.stdout.split("\0") if name)
        return sorted(name for name in set(names) if (root / name).is_file())
    skipped = {"build", ".venv", ".peers", ".git", "__pycache__"}  # an unpacked archive
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path for path in found if not skipped.intersection(path.parts))


def check_file(name: Path, data: bytes) -> list[str]:
    """What is wrong inside one file."""
    if b"\0" in data[:8192]:
        return []
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return []
    problems = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if MACHINE_PATH.search(line):
            problems.append(f"{name}:{number}: names a path of one machine: {line.strip()[:80]}")
        if UNFINISHED.search(line):
            problems.append(
                f"{name}:{number}: unfinished work is left out, not announced: {line.strip()[:80]}"
            )
    openings = COMMENT.get(name.name) or COMMENT.get(name.suffix)
    if lines and lines[0].startswith("#!"):
        openings, lines = openings or ("#", '"""'), lines[1:]
    if openings and text.strip():
        if not lines or not lines[0].startswith(openings):
            problems.append(
                f"{name}:1: the first line is one sentence, in a comment, that says what the file is for"
            )
        if LICENCE not in "\n".join(lines[:25]):
            problems.append(f"{name}: has no line `{LICENCE}` near its beginning")
    if name.name == "README.md" and len(name.parts) > 1 and len(lines) > README_LINES:
        problems.append(f"{name}: {len(lines)} lines; a folder's README has at most {README_LINES}")
    return problems


def check_folders(files: list[Path]) -> list[str]:
    """Folders without a README.md."""
    names = set(files)
    folders = {parent for name in files for parent in name.parents if parent != Path(".")}
    problems = []
    for folder in sorted(folders):
        hidden = any(part.startswith(".") for part in folder.parts)
        data = any(part in DATA_FOLDERS for part in folder.parts)
        if not hidden and not data and folder / "README.md" not in names:
            problems.append(
                f"{folder}/: has no README.md (purpose, main types, what it uses, where to start)"
            )
    return problems


def check(root: Path) -> list[str]:
    """All problems of the tree under `root`, one line each."""
    files = files_of(root)
    problems = check_folders(files)
    for name in files:
        problems += check_file(name, (root / name).read_bytes())
    return problems


def main() -> int:
    problems = check(Path(__file__).resolve().parent.parent)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
