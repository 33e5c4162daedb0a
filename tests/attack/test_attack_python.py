"""Calls from Python with arguments that nobody would give: nothing kills the process."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys
from pathlib import Path

import pytest

import moka

PROGRAM = Path(__file__).with_name("attack_python.py")
SEED = int(os.environ.get("MOKA_SEED", "0"))


def attack(count: int, first: int) -> None:
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(count), str(first)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{count} calls" in result.stdout


def test_strange_arguments_are_refused():
    attack(2_000, 0)


@pytest.mark.slow
def test_many_strange_arguments_are_refused():
    attack(60_000, SEED)


def test_lists_that_hold_themselves_are_refused():
    loop = [1]
    loop.append(loop)
    for call in (
        lambda: moka.vstack(loop),
        lambda: moka.ones(loop),
        lambda: moka.add(loop, loop),
        lambda: moka.ones(2).view(loop),
        lambda: moka.cat(tensors=loop),
    ):
        with pytest.raises(TypeError):
            call()


def test_what_is_no_number_leaves_no_error_behind():
    with pytest.raises(TypeError):
        moka.ones(2).stride("x")
    with pytest.raises(TypeError, match="requires_grad"):
        moka.ones(2, requires_grad=moka.ones(3))
    with pytest.raises(TypeError, match="entry 1 is float"):
        moka.Size([1, 2.5])
    assert moka.Size([moka.tensor(2), 3]) == (2, 3)
