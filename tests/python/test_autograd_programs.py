"""Random programs of views, in-place writes and operations: values and gradients that torch computed.

The programs and results come from tools/record_autograd_programs.py.
"""
# SPDX-License-Identifier: Apache-2.0

import json
from pathlib import Path

import numpy as np
import pytest

import moka

PROGRAMS = json.loads((Path(__file__).parent / "autograd_programs.json").read_text())


def run(lines):
    space = {"m": moka}
    for line in lines:
        exec(line, space)
    return space


def test_there_are_enough_programs():
    assert len(PROGRAMS) >= 60
    assert sum("error" not in p for p in PROGRAMS) >= 60
    lines = [line for p in PROGRAMS if "error" not in p for line in p["lines"]]
    assert sum("_(" in line or "] = " in line or "= " not in line for line in lines) > 100


@pytest.mark.parametrize(
    "program", [p for p in PROGRAMS if "error" not in p], ids=lambda p: str(len(p["lines"]))
)
def test_values_and_gradients_are_those_of_torch(program):
    space = run(program["lines"])
    for name, expected in program["values"].items():
        np.testing.assert_allclose(
            space[name].detach().numpy(), expected, rtol=1e-9, atol=1e-12, err_msg=name
        )
        assert space[name].requires_grad == program["requires_grad"][name], name
    for name in program["lost"]:
        with pytest.raises(RuntimeError, match="in place"):
            _ = space[name].grad_fn
    for name, expected in program["grads"].items():
        got = space[name].grad
        assert (got is None) == (expected is None), name
        if got is not None:
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if "error" in p], ids=lambda p: p["text"][:40])
def test_refuses_what_torch_refuses(program):
    *before, last = program["lines"]
    space = run(before)
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError)):
        exec(last, space)
