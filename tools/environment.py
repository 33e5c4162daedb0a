"""What ./dev setup and ./dev peers do: find what is missing on this machine, and install only that."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DEBIAN_PACKAGES",
    "DebianPackage",
    "SetupError",
    "install_images",
    "install_peers",
    "missing_packages",
    "setup",
]


class SetupError(Exception):
    """Something is missing that setup may not or cannot install; the text says what to do."""


class DebianPackage(NamedTuple):
    """One Debian package: how to see that its content is there, and what it is for."""

    name: str
    probes: tuple[str, ...]  # commands on PATH, or absolute paths; any one that exists is enough
    purpose: str
    needed: bool = True  # False: setup goes on without it and says what is lost


DEBIAN_PACKAGES = (
    DebianPackage("g++", ("g++", "c++", "clang++"), "the compiler"),
    DebianPackage("cmake", ("cmake",), "the build"),
    DebianPackage("ninja-build", ("ninja",), "the build"),
    DebianPackage("python3-venv", ("<venv>",), "the Python environment in .venv"),
    DebianPackage("python3-dev", ("<python headers>",), "the Python extension"),
    DebianPackage("libprotozero-dev", ("/usr/include/protozero/pbf_reader.hpp",), "ONNX and NetDef files"),
    DebianPackage("libgtest-dev", ("/usr/include/gtest/gtest.h",), "C++ tests"),
    DebianPackage("libcli11-dev", ("/usr/include/CLI/CLI.hpp",), "the moka command"),
    DebianPackage("libzip-dev", ("/usr/include/zip.h",), "PyTorch archives"),
    DebianPackage("libllvm19", ("<libLLVM>",), "compiled code for fused operators", needed=False),
    DebianPackage("ccache", ("ccache",), "fast rebuilds", needed=False),
    DebianPackage(
        "libonnx-testdata",
        ("/usr/share/libonnx-testdata/data/node",),
        "models with their data, for tests of the predictor",
        needed=False,
    ),
    DebianPackage(
        "dataset-fashion-mnist",
        ("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",),
        "the demo's images",
        needed=False,
    ),
)
FUZZ_PACKAGES = (
    DebianPackage("clang", ("clang++",), "libFuzzer"),
    DebianPackage("libclang-rt-14-dev", ("<fuzzer runtime>",), "libFuzzer"),
)
BROWSER_PACKAGES = (
    DebianPackage(
        "chromium-headless-shell",
        ("chromium-headless-shell", "chromium", "google-chrome"),
        "slow tests open the demo's report in it",
        needed=False,
    ),
)


def _python_headers() -> bool:
    import sysconfig

    return Path(sysconfig.get_paths()["include"], "Python.h").exists()


def _fuzzer_runtime() -> bool:
    clang = shutil.which("clang++")
    if not clang:
        return False
    flags = ["-fsanitize=fuzzer", "-x", "c++", "-", "-###"]
    shown = subprocess.run([clang, *flags], input="", capture_output=True, text=True).stderr
    return any(Path(word.strip('"')).exists() for word in shown.split() if "libclang_rt.fuzzer" in word)


def _is_there(probe: str) -> bool:
    if probe == "<venv>":
        import importlib.util

        return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
    if probe == "<python headers>":
        return _python_headers()
    if probe == "<fuzzer runtime>":
        return _fuzzer_runtime()
    if probe == "<libLLVM>":
        folders = [*Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/lib"), Path("/usr/lib64")]
        return any(any(folder.glob(f"libLLVM*{version}*")) for folder in folders for version in range(15, 22))
    return Path(probe).exists() if probe.startswith("/") else shutil.which(probe) is not None


def missing_packages(packages: tuple[DebianPackage, ...] = DEBIAN_PACKAGES) -> list[DebianPackage]:
    """The packages none of whose probes is on this machine."""
    return [package for package in packages if not any(_is_there(probe) for probe in package.probes)]


def _root_prefix() -> list[str] | None:
    """What to put before a command to run it as root; None where that is not possible without asking."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _install_debian(packages: tuple[DebianPackage, ...]) -> None:
    missing = missing_packages(packages)
    if not missing:
        return
    names = [package.name for package in missing]
    lines = "".join(f"\n  {package.name:22} {package.purpose}" for package in missing)
    prefix = _root_prefix()
    if shutil.which("apt-get") and prefix is not None:
        print(f"installing Debian packages:{lines}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = [*prefix, "apt-get", "install", "-y", "-q", "--no-install-recommends"]
        quiet = {"env": environment, "stdout": subprocess.DEVNULL}
        # Package lists may be absent or old: refresh them; then what is needed, then each optional one.
        subprocess.run([*prefix, "apt-get", "update", "-q"], **quiet)
        needed = [package.name for package in missing if package.needed]
        if needed:
            subprocess.run([*command, *needed], **quiet)
        for package in missing:
            if not package.needed:
                subprocess.run([*command, package.name], **quiet)
    still = missing_packages(packages)
    for package in still:
        if not package.needed:
            print(f"note: {package.name} is not here ({package.purpose}); going on without it")
    if any(package.needed for package in still):
        wanted = " ".join(package.name for package in still if package.needed)
        if prefix is None or not shutil.which("apt-get"):
            raise SetupError(
                f"these packages are missing and only root may install them:{lines}\n"
                f"Ask for:  apt-get install {' '.join(names)}\nthen run ./dev setup again."
            )
        raise SetupError(
            f"apt-get could not install {wanted}. Run it by hand to see why:\n  apt-get install {wanted}"
        )


def _installed(python: Path) -> dict[str, str]:
    """Name (as pip normalises it) and version of every distribution that `python` sees."""
    code = (
        "from importlib.metadata import distributions as d\n"
        "for x in d(): print((x.metadata['Name'] or '').lower().replace('_','-').replace('.','-'), x.version)"
    )
    result = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)


def _requirements(path: Path) -> dict[str, str]:
    """Name and version of every `name==version` line; `; x86_64` keeps other machines from asking."""
    wanted = {}
    for line in path.read_text().splitlines():
        pin, _, machine = line.split("#")[0].partition(";")
        if pin.strip() and machine.strip() in ("", platform.machine()):
            name, version = pin.strip().split("==")
            wanted[name.lower().replace("_", "-")] = version
    return wanted


def _fill_environment(folder: Path, requirements: Path, *options: str) -> Path:
    """Makes the virtual environment `folder` hold what `requirements` pins; returns its Python."""
    python = folder / "bin" / "python"
    if subprocess.run([str(python), "-c", ""], capture_output=True).returncode if python.exists() else True:
        print(f"making the Python environment {folder.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    installed = _installed(python)
    wanted = _requirements(requirements)
    lacking = [f"{name}=={version}" for name, version in wanted.items() if installed.get(name) != version]
    if not lacking:
        return python
    print(f"installing into {folder.name}: {' '.join(lacking)}", flush=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if subprocess.run([*pip, *options, *lacking]).returncode:
        raise SetupError(
            f"pip could not install {' '.join(lacking)} into {folder}.\n"
            "Is a package index reachable? Where it is not, point PIP_INDEX_URL or PIP_FIND_LINKS at a copy."
        )
    return python


def setup(root: Path, *, fuzz: bool = False, browser: bool = False, only_needed: bool = False) -> None:
    """Installs what is missing for building and testing; with `fuzz` also clang, with `browser` also one.

    With `only_needed` it does not look for optional packages, which saves asking for them again and again.
    """
    packages = DEBIAN_PACKAGES + (FUZZ_PACKAGES if fuzz else ()) + (BROWSER_PACKAGES if browser else ())
    _install_debian(tuple(package for package in packages if package.needed or not only_needed))
    version = subprocess.run(["cmake", "--version"], capture_output=True, text=True).stdout.split()
    if len(version) > 2 and tuple(int(part) for part in version[2].split(".")[:2]) < (3, 25):
        raise SetupError(
            f"cmake is {version[2]}, but the presets need 3.25; `pip install cmake` brings a current one"
        )
    _fill_environment(root / ".venv", root / "tools" / "requirements" / "dev.txt")


def install_images(root: Path, *, digits: bool = False) -> None:
    """The demo's images: Debian's Fashion-MNIST, or where that is not there scikit-learn's digits."""
    fashion = [package for package in DEBIAN_PACKAGES if package.name == "dataset-fashion-mnist"]
    if digits or missing_packages(tuple(fashion)):
        _fill_environment(root / ".venv", root / "tools" / "requirements" / "digits.txt", "--no-deps")


def install_peers(root: Path, stage: Path) -> Path:
    """Makes .peers with the pinned peers and with the build in `stage` importable; returns its Python."""
    python = _fill_environment(root / ".peers", root / "tools" / "requirements" / "peers.txt")
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    Path(site, "moka_build.pth").write_text(f"{stage}\n")
    return python
