"""Gradient graphs of every operator against the tape."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from table import cases, outputs
from test_gradients import floating, is_differentiable, is_in_place, leaves, replaced

import moka
from moka import _C

# Gradients that only the tape differentiates again; and where a trace calls LAPACK, the tape other operators.
BY_THE_TAPE_ALONE = {"prod_backward", "pdist_backward", "linalg_householder_product", "orgqr", "ormqr"}
CASES = [
    c
    for c in cases("float64", is_differentiable)
    if c.differentiable and not (c.op["random"] or is_in_place(c.op) or c.op["name"] in BY_THE_TAPE_ALONE)
]


def scalar_of(case, args):
    results = outputs(case.call(args))
    if case.op["kind"] != "body" and not case.op["outs"][0][1].endswith("[]"):
        results = results[: case.op["gradients"]]
    total = None
    for k, y in enumerate(y for y in results if floating(y)):
        weight = moka.tensor(np.random.default_rng(k).uniform(0.5, 1.5, tuple(y.shape)))
        part = (y * weight).sum()
        total = part if total is None else total + part
    return total


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_the_gradient_graph_gives_what_the_tape_gives(case):
    places = leaves(case)
    tensors = [moka.tensor(t.numpy().copy(), requires_grad=True) for _, t in places]

    def call(*given):
        args = case.args
        for (path, _), t in zip(places, given, strict=True):
            args = replaced(args, path, t)
        return scalar_of(case, args)

    total = call(*tensors)
    expected = moka.autograd.grad(total, tensors, allow_unused=True)
    graph = moka.jit.trace(call, tuple(tensors)).graph
    gradients = graph.gradients(list(graph.inputs))
    found = _C.Executable(gradients).run(*[t.detach() for t in tensors])
    for got, want in zip(found, expected, strict=True):
        wanted = np.zeros(tuple(got.shape)) if want is None else want.numpy()
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-9, atol=1e-11)
