"""python -m moka: help, doctor, weights files, the folder for CMake."""
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys

import pytest

import moka
from moka import doctor


def command(*words, code=0):
    result = subprocess.run(
        [sys.executable, "-m", "moka", *words], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


def test_help_names_every_command():
    page = command("--help").stdout
    for word in ("run", "info", "build", "convert", "doctor", "coverage", "--cmake-dir"):
        assert word in page
    assert command().stdout == page


def test_version():
    assert command("--version").stdout == f"moka {moka.__version__}\n"


def test_unknown_commands_are_refused():
    assert "fly" in command("fly", code=2).stderr


def test_doctor_says_what_it_found():
    result = subprocess.run(
        [sys.executable, "-m", "moka", "doctor", "--json"], capture_output=True, text=True
    )
    answer = json.loads(result.stdout)
    found = {finding["subject"]: finding for finding in answer["findings"]}
    assert moka.__version__ in found["moka"]["found"] and found["arithmetic"]["advice"] == ""
    assert answer["ok"] == (not any(finding["advice"] for finding in answer["findings"]))
    assert result.returncode == (0 if answer["ok"] else 1)


def test_doctor_names_planted_faults(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    advice = {finding.subject: finding.advice for finding in doctor.examine()}
    assert "must be a number" in advice["variable OMP_NUM_THREADS"]
    before = moka.get_num_threads()
    try:
        moka.set_num_threads(4096)
        if moka.get_num_threads() > len(__import__("os").sched_getaffinity(0)):
            assert "call moka.set_num_threads" in {f.subject: f.advice for f in doctor.examine()}["kernels"]
    finally:
        moka.set_num_threads(before)


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def broken():
        raise OSError("no such device")

    monkeypatch.setattr(doctor, "_CHECKS", (broken,))
    assert doctor.examine() == [doctor.Finding("broken", "OSError: no such device", "this should work")]


def test_info_reads_weights_files(tmp_path):
    moka.save({"model": {"weight": moka.ones(2, 3)}, "epoch": 3}, tmp_path / "run.ckpt")
    page = command("info", str(tmp_path / "run.ckpt")).stdout
    assert "checkpoint of moka.save, 1 tensors" in page and "model.weight  F32   [2, 3]" in page
    (tmp_path / "cut").write_bytes((tmp_path / "run.ckpt").read_bytes()[:-1])
    assert "cut short" in command("info", str(tmp_path / "cut"), code=1).stderr


@pytest.mark.parametrize("words", [("run", "--help"), ("info", "missing.moka")])
def test_models_are_left_to_the_native_program(words):
    result = subprocess.run(
        [sys.executable, "-m", "moka", *words], capture_output=True, text=True, timeout=60
    )
    assert "--input" in result.stdout if words[0] == "run" else "missing.moka" in result.stderr
