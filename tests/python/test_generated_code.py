"""Code compiled for fused regions: kept between processes, and done without where there is no compiler."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys

import pytest

PROGRAM = """
import moka

def f(x, b):
    h = x + b
    return h * 0.5 * (1 + moka.erf(h * 0.7071)) - moka.exp(-h * h)

moka.manual_seed(1)
x, b = moka.randn(37, 50), moka.randn(50)
traced = moka.jit.trace(f, (x, b))
for rows in (37, 3, 64):
    x = moka.randn(rows, 50)
    difference = (traced(x, b) - f(x, b)).abs().max().item()
    assert difference < 1e-5, difference
"""


def log_of(cache, **settings):
    """What a process that runs the program says of its back ends."""
    environment = {**os.environ, "MOKA_LOG": "backends", "MOKA_CACHE": str(cache), **settings}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_second_process_compiles_nothing(tmp_path):
    first = log_of(tmp_path)
    if "llvm: a region was compiled" not in first:
        assert "a region stays without code" in first
        pytest.skip("libLLVM is not installed")
    assert first.count("a region was compiled") == 1  # for three sizes
    second = log_of(tmp_path)
    assert "came from the cache" in second and "compiled" not in second
    for entry in tmp_path.glob("*.code"):
        entry.write_bytes(entry.read_bytes()[:-1] + b"~")
    third = log_of(tmp_path)
    assert "is damaged; it is not used" in third and "a region was compiled" in third
    assert "came from the cache" in log_of(tmp_path)


def test_regions_run_without_a_compiler(tmp_path):
    log = log_of(tmp_path, MOKA_LLVM="0")
    assert "a region stays without code: libLLVM is switched off by MOKA_LLVM=0" in log
    log = log_of(tmp_path, MOKA_LLVM=str(tmp_path / "nothing.so"))
    assert "a region stays without code: MOKA_LLVM cannot be opened" in log
    assert not list(tmp_path.glob("*.code"))
