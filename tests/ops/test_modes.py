"""Every operator in other clothes: strided inputs, narrow types, out=, in place, traced, shape inference."""
# SPDX-License-Identifier: Apache-2.0

import re

import numpy as np
import pytest
from table import cases, outputs

import moka

DETERMINISTIC = [
    c for c in cases("float32") if not c.op["random"] and c.op["name"] not in ("empty", "empty_like")
]


def same(a, b, rtol=1e-5, atol=1e-6):
    a, b = a.detach(), b.detach()
    assert tuple(a.shape) == tuple(b.shape) and a.dtype == b.dtype
    if a.is_complex():
        a, b = moka.view_as_real(a), moka.view_as_real(b)
    np.testing.assert_allclose(a.double().numpy(), b.double().numpy(), rtol=rtol, atol=atol, equal_nan=True)


def copied(args):
    return [
        [t.clone() for t in a]
        if isinstance(a, list) and a and isinstance(a[0], moka.Tensor)
        else a.clone()
        if isinstance(a, moka.Tensor)
        else a
        for a in args
    ]


def strided(t):
    """The same values in memory with gaps and reversed dimension order."""
    if t.dim() == 0:
        return moka.stack([t, t])[0]
    wide = moka.stack([t, t], t.dim())  # a gap after each element
    dims = list(range(t.dim()))
    back = moka.permute(wide, [t.dim(), *reversed(dims)]).contiguous()[0]
    return moka.permute(back, list(reversed(dims)))


@pytest.mark.parametrize("case", DETERMINISTIC, ids=lambda c: c.id)
def test_strided_inputs_give_the_same(case):
    expected = outputs(case.call(copied(case.args)))
    args = [
        [strided(t) for t in a]
        if isinstance(a, list) and a and isinstance(a[0], moka.Tensor)
        else strided(a)
        if isinstance(a, moka.Tensor)
        else a
        for a in case.args
    ]
    if case.op["name"] in ("view", "view_as", "as_strided", "as_strided_scatter", "view_as_complex"):
        args = copied(case.args)  # these read the memory as it lies, or refuse what they cannot show
    for a, b in zip(outputs(case.call(args)), expected, strict=True):
        same(a, b)


@pytest.mark.parametrize("case", [c for c in DETERMINISTIC if c.op["kind"] == "formula"], ids=lambda c: c.id)
def test_out_takes_the_result(case):
    expected = case.call()
    target = moka.empty_like(expected)
    assert case.op["base"] and case.call([*case.args]) is not None
    result = moka._C._operators[case.op["base"]](*case.args, **case.kwargs, out=target)
    assert result is target
    same(target, expected)


HALF = [c for c in DETERMINISTIC if c.op["kind"] == "formula"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", HALF, ids=lambda c: c.id)
def test_half_types_follow_float32(case, dtype):
    narrow = getattr(moka, dtype)
    args = [a.to(narrow) if isinstance(a, moka.Tensor) and a.dtype == moka.float32 else a for a in case.args]
    wide = [a.float() if isinstance(a, moka.Tensor) and a.dtype == narrow else a for a in args]
    got, expected = case.call(args), case.call(wide)
    if expected.dtype == moka.float32:
        assert got.dtype == narrow
    np.testing.assert_allclose(got.float().numpy(), expected.float().numpy(), rtol=2e-2, atol=2e-2)


IN_PLACE = [c for c in DETERMINISTIC if c.op["kind"] == "formula" and c.op["method"] != "none"]


@pytest.mark.parametrize("case", IN_PLACE, ids=lambda c: c.id)
def test_in_place_form_equals_the_functional_one(case):
    first = case.args[0]
    expected = case.call()
    if (
        not isinstance(first, moka.Tensor)
        or tuple(expected.shape) != tuple(first.shape)
        or not hasattr(moka.Tensor, case.op["base"] + "_")
    ):
        return
    target = first.clone()
    if expected.dtype != target.dtype and not (expected.dtype == moka.bool):
        return
    result = getattr(target, case.op["base"] + "_")(*case.args[1:], **case.kwargs)
    assert result is target and target._version >= 1
    same(target.to(expected.dtype), expected)


@pytest.mark.parametrize("case", DETERMINISTIC, ids=lambda c: c.id)
def test_traced_equals_eager(case):
    tensors = [a for a in case.args if isinstance(a, moka.Tensor)]
    if not tensors or case.op["base"].endswith("_"):
        return

    def program(*given):
        rest = list(given)
        args = [rest.pop(0) if isinstance(a, moka.Tensor) else a for a in case.args]
        return tuple(outputs(case.call(args)))

    expected = program(*tensors)
    if len({id(t) for t in tensors}) != len(tensors) or any(e is t for e in expected for t in tensors):
        return
    traced = moka.jit.trace(program, tuple(tensors), dynamic={})
    got = outputs(traced(*tensors))
    for a, b in zip(got, expected, strict=True):
        same(a, b)


VALUES = "depend on values|cannot be called on meta tensors"


@pytest.mark.parametrize("case", [c for c in cases("float32") if c.args], ids=lambda c: c.id)
def test_tensors_without_memory_give_the_shapes(case):
    def emptied(value):
        if isinstance(value, list):
            return [emptied(part) for part in value]
        return value.to("meta") if isinstance(value, moka.Tensor) else value

    args = emptied(case.args)
    if not any(isinstance(a, moka.Tensor) for a in (*args, *(args[0] if isinstance(args[0], list) else ()))):
        return
    expected = outputs(case.call(copied(case.args)))
    try:
        found = outputs(case.call(args))
    except (NotImplementedError, RuntimeError) as error:
        assert re.search(VALUES, str(error)), error
        return
    for a, b in zip(found, expected, strict=True):
        assert a.is_meta and a.shape == b.shape and a.dtype == b.dtype and a.stride() == b.stride()
