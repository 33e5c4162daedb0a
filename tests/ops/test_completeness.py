"""Every operator value is whole: doc, samples; derivative, onnx and netdef there or refused with a reason."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from table import TABLE, make_case, outputs

# Parts of gradients and hidden helpers are reached through the operators that use them.
PUBLIC = [op for op in TABLE.values() if op["method"] != "none"]


# They take complex numbers, or integers that only another operator makes; they have tests of their own:
# test_complex.py, test_linalg.py, test_fft.py.
NEEDS_MORE = {"nonzero", "imag", "view_as_real", "istft", "lu_solve", "linalg_lu_solve", "lu_unpack"}
NEEDS_MORE |= {"linalg_ldl_solve"}


@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op["name"])
def test_has_documentation(op):
    assert op["doc"].endswith("."), "a sentence"


@pytest.mark.parametrize("op", PUBLIC, ids=lambda op: op["name"])
def test_has_two_samples(op):
    lists = [a["type"] for a in op["args"] if a["type"] in ("Tensor[]", "Tensor?[]")]
    if op["name"] in NEEDS_MORE or "Tensor?[]" in lists or len(lists) > 1:
        # Lists of indices, and several lists, are more than a sample can say; see test_indexing.py.
        assert op["samples"] == []
    else:
        assert len(op["samples"]) >= 2


@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op["name"])
def test_has_a_derivative_or_says_why_not(op):
    assert op["derivative"] or op["no_derivative"] or op["composite"]


@pytest.mark.parametrize(
    "op", [op for op in TABLE.values() if op["derivative"] and len(op["outs"]) > 1], ids=lambda op: op["name"]
)
def test_every_floating_output_has_a_gradient_or_says_why_not(op):
    names = [name for name, _ in op["outs"]]
    constant = {name for row in op["constants"] for name in row.split()}
    assert constant <= set(names[op["gradients"] :])
    for name, result in list(zip(names, outputs(make_case(op, 0).call()), strict=True))[op["gradients"] :]:
        assert name in constant or not result.is_floating_point(), f"{name}: wrt<n>(...) or constants(...)"


@pytest.mark.parametrize("format", ["onnx", "netdef"])
@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op["name"])
def test_has_a_spelling_or_says_why_not(op, format):
    assert op[format]["rows"] or op[format]["none"]


@pytest.mark.parametrize(
    "op", [op for op in TABLE.values() if op["kind"] == "formula"], ids=lambda op: op["name"]
)
def test_formula_reads_as_text(op):
    assert op["formula"].splitlines()[-1].startswith("return ")
