"""The tree check finds what it is there to find, in small trees made for it."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import check_tree
import pytest

LICENCE = "SPDX-License-Identifier: Apache-2.0"


def problems(name: str, text: str) -> list[str]:
    return check_tree.check_file(Path(name), text.encode())


@pytest.mark.parametrize(
    "name, text",
    [
        ("moka/base/a.h", f"// What it is for.\n// {LICENCE}\n"),
        ("tools/a.py", f'"""What it is for."""\n# {LICENCE}\n'),
        ("tools/a.py", f'#!/usr/bin/env python3\n"""What it is for."""\n# {LICENCE}\n'),
        ("moka/base/CMakeLists.txt", f"# What it is for.\n# {LICENCE}\n"),
        ("docs/page.md", "See /usr/share/datasets and https://example.org/work/page.\n"),
    ],
)
def test_good_files_pass(name, text):
    assert problems(name, text) == []


@pytest.mark.parametrize("path", ["/wo" + "rk/main/x", "/ro" + "ot/x", "/ho" + "me/somebody/x"])
def test_paths_of_one_machine_are_found(path):
    [problem] = problems("docs/page.md", f"It is in {path}.\n")
    assert problem.startswith("docs/page.md:1: names a path of one machine")


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME"])
def test_announced_unfinished_work_is_found(word):
    [problem] = problems("docs/page.md", f"one\n{word}: more\n")
    assert problem.startswith("docs/page.md:2: ")


def test_a_source_without_first_comment_is_found():
    assert len(problems("moka/base/a.cpp", f"#include <vector>\n// {LICENCE}\n")) == 1


def test_a_source_without_licence_line_is_found():
    assert len(problems("moka/base/a.cpp", "// What it is for.\n")) == 1


def test_a_long_folder_readme_is_found_but_not_the_front_page():
    text = "# folder\n" + "line\n" * 45
    assert len(problems("moka/base/README.md", text)) == 1
    assert problems("README.md", text) == []


def test_binary_files_are_left_alone():
    assert check_tree.check_file(Path("tests/data/x.h"), b"\0\1/work/x") == []


def test_folders_without_readme_are_found_but_not_data_or_hidden_ones():
    names = [
        "moka/base/a.h",
        "moka/README.md",
        ".ci/run",
        "tests/README.md",
        "tests/data/README.md",
        "tests/data/x/y",
    ]
    [problem] = check_tree.check_folders([Path(name) for name in names])
    assert problem.startswith("moka/base/: has no README.md")


def test_files_of_an_unpacked_archive_are_found_without_git(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "x.cpp").write_text("")
    (tmp_path / "a.md").write_text("")
    assert check_tree.files_of(tmp_path) == [Path("a.md")]
