"""Forward mode of every operator against finite differences; alone, batched, over reverse mode."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from moka.func import vmap
from test_gradients import CASES, differentiable_results, floating, fresh, is_in_place, leaves, scalar_of

import moka
from moka.autograd import forward_ad

STEP = 1e-6


def direction_for(values):
    return np.random.default_rng(7).uniform(-1, 1, values.shape)


def results(case, path, values):
    with moka.no_grad():
        return [y.numpy().copy() for y in differentiable_results(case, fresh(case, path, values, False)[1])]


def dual_arguments(case, path, values, tangent, requires_grad=False):
    """The arguments with a dual at path; in-place operators write a clone() of it."""
    leaf, _ = fresh(case, path, values, requires_grad)
    dual = forward_ad.make_dual(leaf, tangent)
    args = [list(a) if isinstance(a, list) else a for a in case.args]
    if is_in_place(case.op) and path != (0,):
        args[0] = args[0].clone()
    if len(path) == 1:
        args[path[0]] = dual.clone() if is_in_place(case.op) else dual
    else:
        args[path[0]][path[1]] = dual
    return leaf, args


def tangents(case, args):
    """The tangent of every differentiable result, zeros where it has none."""
    pairs = [forward_ad.unpack_dual(y) for y in differentiable_results(case, args)]
    return [moka.zeros_like(y) if t is None else t for y, t in pairs]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_forward_mode(case):
    for path, tensor in leaves(case):
        values = tensor.numpy().copy()
        direction = direction_for(values)
        up = results(case, path, values + STEP * direction)
        down = results(case, path, values - STEP * direction)
        with forward_ad.dual_level():
            _, args = dual_arguments(case, path, values, moka.tensor(direction))
            found = [t.numpy() for t in tangents(case, args)]
        reverse = reaches(case, path, values)
        for k, (a, b, got) in enumerate(zip(up, down, found, strict=True)):
            expected = (a - b) / (2 * STEP) if reverse else np.zeros_like(a)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=f"{path}, output {k}")


def reaches(case, path, values):
    """Whether the operator differentiates this argument: not the statistics of a normalization."""
    _, args = fresh(case, path, values, True)
    return any(y.requires_grad for y in differentiable_results(case, args))


@pytest.mark.parametrize("case", [c for c in CASES if not is_in_place(c.op)], ids=lambda c: c.id)
def test_batched_tangents(case):
    """One call for two tangents gives what two calls give."""
    for path, tensor in leaves(case):
        values = tensor.numpy().copy()
        both = moka.tensor(np.random.default_rng(5).uniform(-1, 1, (2, *values.shape)))

        def push(tangent, path=path, values=values):
            return tuple(tangents(case, dual_arguments(case, path, values, tangent)[1]))

        with forward_ad.dual_level():
            expected = [push(both[0]), push(both[1])]
            found = vmap(push)(both)
            for k, got in enumerate(found):
                want = np.stack([one[k].numpy() for one in expected])
                np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-11, err_msg=str(path))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_forward_over_reverse(case):
    """The tangent of a gradient: second derivatives."""
    for path, tensor in leaves(case):
        values = tensor.numpy().copy()
        direction = direction_for(values)
        weights: list = []

        def slope(v, path=path, weights=weights):
            leaf, args = fresh(case, path, v, True)
            total = scalar_of(case, args, weights)
            if not total.requires_grad:
                return None
            (g,) = moka.autograd.grad(total, leaf, allow_unused=True)
            return g

        if not floating(slope(values)):
            continue
        up, down = slope(values + STEP * direction), slope(values - STEP * direction)
        with forward_ad.dual_level():
            leaf, args = dual_arguments(case, path, values, moka.tensor(direction), True)
            (g,) = moka.autograd.grad(scalar_of(case, args, weights), leaf)
            second = forward_ad.unpack_dual(g).tangent
            got = np.zeros_like(values) if second is None else second.numpy()
        expected = (up - down).numpy() / (2 * STEP)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=f"argument {path}")
