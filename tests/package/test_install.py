"""`cmake --install` gives a library that other projects find, compile against and run with."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, build_example, clean_environment, run

pytestmark = pytest.mark.slow


def test_the_example_builds_and_runs_with_find_package(installed, tmp_path):
    printed = build_example(tmp_path, f"-DCMAKE_PREFIX_PATH={installed}")
    assert printed.splitlines() == (ROOT / "examples" / "cpp" / "expected.txt").read_text().splitlines()


def test_the_tree_can_be_moved(installed, tmp_path):
    moved = tmp_path / "moved"
    run("cp", "-a", installed, moved)
    assert "column" in build_example(tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}")


def test_the_example_builds_with_pkg_config(installed, tmp_path):
    [folder] = {path.parent for path in installed.rglob("moka.pc")}
    environment = {**clean_environment(), "PKG_CONFIG_PATH": str(folder)}
    flags = run("pkg-config", "--cflags", "--libs", "moka", env=environment).split()
    program = tmp_path / "tensors"
    run("g++", "-std=c++20", ROOT / "examples" / "cpp" / "tensors.cpp", "-o", program, *flags)
    [library] = {path.parent for path in installed.rglob("libmoka.so")}
    assert "column" in run(program, env={**os.environ, "LD_LIBRARY_PATH": str(library)})


def test_internal_headers_stay_inside(installed):
    headers = {path.name for path in installed.rglob("*.h")}
    assert "tensor.h" in headers
    assert not [name for name in headers if name.endswith("_internal.h")]


def test_every_installed_header_compiles_alone(installed, tmp_path):
    include = installed / "include"
    lines = [f'#include "{path.relative_to(include)}"' for path in sorted(include.rglob("*.h"))]
    failed = []
    for line in lines:
        flags = ["-std=c++20", "-fsyntax-only", "-Wno-psabi", f"-I{include}", "-x", "c++", "-"]
        result = subprocess.run(["g++", *flags], input=line, capture_output=True, text=True)
        if result.returncode:
            failed.append(f"{line}: {result.stderr.splitlines()[0]}")
    assert not failed, "\n".join(failed)


def test_the_library_shows_only_its_own_names(installed):
    [library] = [path for path in installed.rglob("libmoka.so.*") if not path.is_symlink()]
    names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    foreign = [name for name in names if "4moka" not in name and not name.startswith("moka_")]
    assert not foreign


def test_nothing_installed_names_the_build_folder(installed, build):
    texts = [path for path in installed.rglob("*") if path.suffix in (".cmake", ".pc", ".h")]
    assert texts
    assert not [path for path in texts if str(build) in path.read_text() or str(ROOT) in path.read_text()]


def test_the_command_finds_its_library(installed):
    command = installed / "bin" / "moka"
    assert "info" in run(command, "--help", env={"PATH": os.environ["PATH"]})
    assert Path(command).stat().st_size > 0
