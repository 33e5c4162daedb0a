"""What the package tests share: the build they install from, and a way to run commands."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items):
    for item in items:  # the first to ask for the wheel builds all of it
        item.add_marker(pytest.mark.timeout(1500))


def run(*command, **settings) -> str:
    """Output of a command that has to succeed."""
    words = [str(word) for word in command]
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)
    assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}"
    return result.stdout


def clean_environment() -> dict:
    """This environment without the build that the other tests run on."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def build_example(folder: Path, *settings: str) -> str:
    """Builds examples/cpp in `folder` with CMake, runs it, and returns what it printed."""
    run("cmake", "-S", ROOT / "examples" / "cpp", "-B", folder, "-G", "Ninja", *settings)
    run("cmake", "--build", folder)
    return run(folder / "tensors", env=clean_environment())


@pytest.fixture(scope="session")
def installed(build, tmp_path_factory) -> Path:
    """A prefix with the native library, as `cmake --install` puts it."""
    prefix = tmp_path_factory.mktemp("native")
    run("cmake", "--install", build, "--component", "native", "--prefix", prefix)
    return prefix


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built with the packages of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", ROOT, *flags, env=clean_environment())
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def wheel_python(wheel, tmp_path_factory) -> Path:
    """Python of a fresh environment that has the wheel, and sees this environment's NumPy."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    Path(site, "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python
