"""examples/c compiled as C against the library, and run."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(build, tmp_path_factory) -> Path:
    library = build / "lib"
    name = "moka_predictor" if (library / "libmoka_predictor.so").exists() else "moka"
    target = tmp_path_factory.mktemp("c") / "run_model"
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}"]
    command += [ROOT / "examples" / "c" / "run_model.c", "-o", target]
    command += [f"-L{library}", f"-l{name}", f"-Wl,-rpath,{library}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target


def test_it_compiles_without_a_warning_and_runs(program, classifier, scores):
    result = subprocess.run([program, classifier], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    name, *numbers = result.stdout.split()
    assert name == "scores:"
    zeros = np.zeros((1, 4), np.float32)
    np.testing.assert_allclose([float(n) for n in numbers], scores(zeros)[0], atol=1e-6)


def test_it_says_what_is_wrong(program, tmp_path):
    result = subprocess.run([program, tmp_path / "missing.moka"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "missing.moka: cannot be opened" in result.stderr
