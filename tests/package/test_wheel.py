"""The wheel installs into an empty environment, imports, and serves C++ projects."""
# SPDX-License-Identifier: Apache-2.0

import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT, build_example, clean_environment, run

pytestmark = pytest.mark.slow
MEGABYTE = 1 << 20


def test_the_wheel_is_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    assert wheel.stat().st_size < 50 * MEGABYTE
    assert unpacked < 150 * MEGABYTE


def test_the_wheel_holds_what_it_should(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "moka/__init__.py" in names
    assert "moka/lib/libmoka.so" in names
    assert "moka/lib/cmake/Moka/MokaConfig.cmake" in names
    assert any(name.startswith("moka/_C.") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    wrong = [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".a", "_internal.h"))]
    assert not wrong


def test_it_imports_and_computes(wheel_python, tmp_path):
    code = "import moka; print(moka.__file__); print((moka.tensor([1.0, 2.0]) + 1).sum().item())"
    place, result = run(wheel_python, "-c", code, cwd=tmp_path, env=clean_environment()).split("\n")[:2]
    assert Path(place).is_relative_to(Path(wheel_python).parents[1])
    assert float(result) == 5.0


def test_the_example_builds_against_the_wheel(wheel_python, tmp_path):
    folder = run(wheel_python, "-m", "moka", "--cmake-dir", cwd=tmp_path, env=clean_environment()).strip()
    assert Path(folder, "MokaConfig.cmake").exists()
    printed = build_example(tmp_path / "build", f"-DMoka_DIR={folder}")
    assert printed.splitlines() == (ROOT / "examples" / "cpp" / "expected.txt").read_text().splitlines()
