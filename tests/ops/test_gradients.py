"""Derivatives of every operator against finite differences in a random direction, first and second order."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from table import TABLE, cases, outputs

import moka


def is_differentiable(op):
    return bool(op["derivative"]) or (op["composite"] and not op["no_derivative"])


CASES = [c for c in cases("float64", is_differentiable) if c.differentiable and not c.op["random"]]


def floating(value):
    return isinstance(value, moka.Tensor) and value.dtype == moka.float64


def refused(op):
    """The places of arguments that may not require gradients."""
    names = {name for row in op["constants"] for name in row.split()}
    return {i for i, arg in enumerate(op["args"]) if arg["name"] in names}


def leaves(case):
    """(path, tensor) of every floating tensor among the arguments that may require gradients."""
    found = []
    for i, a in enumerate(case.args):
        if i in refused(case.op):
            continue
        if floating(a):
            found.append(((i,), a))
        elif isinstance(a, list):
            found += [((i, j), t) for j, t in enumerate(a) if floating(t)]
    return found


def replaced(args, path, tensor):
    out = [list(a) if isinstance(a, list) else a for a in args]
    if len(path) == 1:
        out[path[0]] = tensor
    else:
        out[path[0]][path[1]] = tensor
    return out


def is_in_place(op):
    return op["base"].endswith("_")


def differentiable_results(case, args):
    """The results with a gradient: those that derivatives name, all parts of a list or composite."""
    results = outputs(case.call(args))
    if case.op["kind"] != "body" and not case.op["outs"][0][1].endswith("[]"):
        results = results[: case.op["gradients"]]
    return [y for y in results if floating(y)]


def scalar_of(case, args, weights, only=None):
    """A fixed random combination of all differentiable results (or of one), and their weights once made."""
    total = None
    for k, y in enumerate(differentiable_results(case, args)):
        if len(weights) <= k:
            weights.append(moka.tensor(np.random.default_rng(k).uniform(0.5, 1.5, tuple(y.shape))))
        if only is not None and k != only:
            continue
        part = (y * weights[k]).sum()
        total = part if total is None else total + part
    return total


def fresh(case, path, values, requires_grad):
    """The arguments with one tensor replaced; in-place operators get a clone(), which they may write."""
    leaf = moka.tensor(values, requires_grad=requires_grad)
    used = leaf.clone() if is_in_place(case.op) else leaf
    args = replaced(case.args, path, used)
    if is_in_place(case.op) and path != (0,):
        args[0] = args[0].clone()
    return leaf, args


def check_first_derivative(case, only=None):
    for path, tensor in leaves(case):
        values = tensor.numpy().copy()
        weights: list = []
        leaf, args = fresh(case, path, values, True)
        total = scalar_of(case, args, weights, only)
        if total is None:
            assert only is not None, "no floating result"
            return  # this output holds integers
        if not total.requires_grad:
            continue  # this argument is not one that the operator differentiates: statistics, for example
        (gradient,) = moka.autograd.grad(total, leaf, allow_unused=True)
        gradient = np.zeros_like(values) if gradient is None else gradient.numpy()
        assert gradient.shape == values.shape
        direction = np.random.default_rng(7).uniform(-1, 1, values.shape)
        step = 1e-6
        with moka.no_grad():
            up = scalar_of(case, fresh(case, path, values + step * direction, False)[1], weights, only).item()
            down = scalar_of(
                case, fresh(case, path, values - step * direction, False)[1], weights, only
            ).item()
        expected = (up - down) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-7), (
            f"argument {path}"
        )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_first_derivative(case):
    check_first_derivative(case)


SEVERAL = [
    (c, k)
    for c in CASES
    for k in range(len(c.op["outs"]) if c.op["kind"] == "body" else c.op["gradients"])
    if max(len(c.op["outs"]) if c.op["kind"] == "body" else 0, c.op["gradients"]) > 1
]


@pytest.mark.parametrize(("case", "output"), SEVERAL, ids=lambda v: getattr(v, "id", str(v)))
def test_first_derivative_of_one_of_several_outputs(case, output):
    """The gradients of the others do not come: they count as zeros."""
    check_first_derivative(case, output)


# Gradient kernels whose own derivative is not written: their names are the list of what second order lacks.
FIRST_ORDER_ONLY = {name for name, op in TABLE.items() if op["no_derivative"].startswith("second derivative")}


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.op["name"] not in FIRST_ORDER_ONLY], ids=lambda c: c.id
)
def test_second_derivative(case):
    for path, tensor in leaves(case):
        values = tensor.numpy().copy()
        weights: list = []

        def slope(v, create, path=path, weights=weights):
            leaf, args = fresh(case, path, v, True)
            total = scalar_of(case, args, weights)
            if not total.requires_grad:
                return leaf, None
            (g,) = moka.autograd.grad(total, leaf, create_graph=create, allow_unused=True)
            return leaf, g

        try:
            leaf, g = slope(values, True)
            if g is None or not g.requires_grad:
                continue  # linear in this argument
            mix = moka.tensor(np.random.default_rng(3).uniform(0.5, 1.5, values.shape))
            (second,) = moka.autograd.grad((g * mix).sum(), leaf, allow_unused=True)
        except NotImplementedError as error:
            assert "derivative is not implemented" in str(error)
            pytest.skip(f"second order stops at: {error}")
        second = np.zeros_like(values) if second is None else second.numpy()
        direction = np.random.default_rng(7).uniform(-1, 1, values.shape)
        step = 1e-6
        up = (slope(values + step * direction, False)[1] * mix).sum().item()
        down = (slope(values - step * direction, False)[1] * mix).sum().item()
        expected = (up - down) / (2 * step)
        assert float((second * direction).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-6), (
            f"argument {path}"
        )


def in_half(case, narrow):
    """Leaves of the narrow type with the arguments' values and arguments made of them; the same wide."""
    narrow_leaves, wide_leaves = [], []

    def pair(value):
        if isinstance(value, list):
            pairs = [pair(v) for v in value]
            return [p[0] for p in pairs], [p[1] for p in pairs]
        if not floating(value):
            return value, value
        narrow_leaves.append(value.to(narrow).requires_grad_())
        wide_leaves.append(narrow_leaves[-1].detach().float().requires_grad_())
        return narrow_leaves[-1], wide_leaves[-1]

    constant = refused(case.op)
    pairs = [
        [t.detach() if i in constant and isinstance(t, moka.Tensor) else t for t in pair(a)]
        for i, a in enumerate(case.args)
    ]
    return [narrow_leaves, [p[0] for p in pairs]], [wide_leaves, [p[1] for p in pairs]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_half_gradients_follow_float32(case, dtype):
    gradients = []
    for leaves_of_type, args in in_half(case, getattr(moka, dtype)):
        if is_in_place(case.op):
            args = [args[0].clone(), *args[1:]]
        try:
            results = outputs(case.call(args))
        except RuntimeError as error:  # factorizations say so before anybody trains with them
            assert "Low precision dtypes" in str(error) or "Unsupported dtype" in str(error)
            assert not gradients
            return
        total = sum(
            (y.float() * moka.tensor(np.random.default_rng(k).uniform(0.5, 1.5, tuple(y.shape)))).sum()
            for k, y in enumerate(results)
            if isinstance(y, moka.Tensor) and y.requires_grad
        )
        if not isinstance(total, moka.Tensor):
            return
        gradients.append(moka.autograd.grad(total, leaves_of_type, allow_unused=True))
    for got, expected in zip(*gradients, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            assert got.dtype == getattr(moka, dtype)
            scale = np.nan_to_num(expected.abs().numpy(), nan=0, posinf=0).max(initial=1)
            np.testing.assert_allclose(got.float().numpy(), expected.numpy(), rtol=4e-2, atol=2e-2 * scale)
