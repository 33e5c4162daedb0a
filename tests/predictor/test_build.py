"""`moka build`: compiled code in a package, and who runs it."""
# SPDX-License-Identifier: Apache-2.0

import os
import zipfile

import numpy as np
import pytest

from .conftest import write_package

ROWS = """moka-ir 1
graph main(%x: float32[batch, 80]) {
  state parameter "weight": float32[80] = float32[80] @"weight"
  %w: float32[80] = get "weight"
  %a: float32[batch, 80] = mul(%x, %w)
  %b: float32[batch, 80] = softmax(%a, -1)
  %c: float32[batch, 80] = tanh(%x)
  %y: float32[batch, 80] = mul(%b, %c)
  return %y as "y"
}
"""


@pytest.fixture
def rows(tmp_path, moka, monkeypatch):
    """A package with a region, an input and what it gives without compiled code."""
    monkeypatch.setenv("MOKA_CACHE", "0")
    package = write_package(tmp_path / "rows.moka", ROWS, {"weight": np.linspace(0, 1, 80, dtype=np.float32)})
    with zipfile.ZipFile(package, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("notes.txt"), "a file of the user")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(6, 80)).astype(np.float32))
    out = tmp_path / "out.moka"
    found = moka("build", package, "-o", out, "--target", "aarch64", "--key", "key", code=None)
    if "needs a compiler" in found.stderr:
        pytest.skip("libLLVM is not installed")
    return package


def outcome(moka, package, monkeypatch, **settings):
    """The result of a run without libLLVM, and what the back ends say."""
    for name, value in {"MOKA_LLVM": "0", "MOKA_LOG": "backends", **settings}.items():
        monkeypatch.setenv(name, str(value))
    done = moka("run", package, "-i", "x.npy", "-o", "y.npy")
    for name in ("MOKA_LLVM", "MOKA_LOG", *settings):
        monkeypatch.delenv(name)
    return np.load(package.parent / "y.npy"), done.stderr


def test_code_is_run_with_its_key_alone(moka, rows, tmp_path, monkeypatch):
    plain, _ = outcome(moka, rows, monkeypatch)
    targets = [word for name in ("x86-64-v3", "x86-64-v4", "aarch64") for word in ("--target", name)]
    built = moka("build", rows, *targets, "-b", 6, "--key", "mine")
    assert "made the key mine" in built.stderr and os.stat(tmp_path / "mine").st_mode & 0o777 == 0o600
    assert "x86-64-v4: 1 regions compiled, 0 run in tiles" in built.stdout
    with zipfile.ZipFile(rows) as archive:
        names = set(archive.namelist())
        assert archive.read("notes.txt") == b"a file of the user"
        assert archive.read("code/plans") == b"float32[6,80]\n"
    assert {"code/x86-64-v3", "code/x86-64-v4", "code/aarch64"} < names
    result, log = outcome(moka, rows, monkeypatch)
    assert "is not run: no key is given" in log and (result == plain).all()
    result, log = outcome(moka, rows, monkeypatch, MOKA_CODE_KEY=tmp_path / "mine")
    if "this processor runs none" in log:
        pytest.skip("this processor runs no compiled code")
    assert "is used" in log and log.count("a region's code is loaded") == 1
    np.testing.assert_allclose(result, plain, rtol=1e-5, atol=1e-7)
    result, log = outcome(moka, rows, monkeypatch, MOKA_CODE_KEY=tmp_path / "key")
    assert "was not built with this key" in log and (result == plain).all()
    result, log = outcome(moka, rows, monkeypatch, MOKA_CODE_KEY=tmp_path / "mine", MOKA_MAX_ISA="baseline")
    assert "this processor runs" in log and "is loaded" not in log


def test_wrong_usage_is_said(moka, rows, tmp_path, classifier):
    found = moka("build", rows, "--target", "pdp11", "--key", "key", code=2)
    assert "there is no target pdp11" in found.stderr
    assert "name its file with --key" in moka("build", rows, "--target", "aarch64", code=2).stderr
    assert "--target is required" in moka("build", rows, "--key", "key", code=2).stderr
    (tmp_path / "open").write_bytes(b"x" * 32)
    (tmp_path / "open").chmod(0o644)
    found = moka("build", rows, "--target", "aarch64", "--key", "open", code=1)
    assert "others may read or write it" in found.stderr
    moka("build", rows, "--target", "aarch64", "--key", "key")
    found = moka("run", rows, "--random", "--code-key", "nowhere", code=1)
    assert "nowhere: as a code key, it cannot be read" in found.stderr
