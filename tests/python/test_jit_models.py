"""Networks of every usual kind: eager = traced = exported = frozen = saved and loaded, of any batch."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from moka.export import Dim, export
from moka.jit.trees import tree_of

import moka
from tests.python.small_models import MODELS, build


def same(found, expected, name):
    a, b = [], []
    assert tree_of(found, a) == tree_of(expected, b), name
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape, name
        assert moka.allclose(x, y, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("name", MODELS)
def test_recordings_compute_what_the_network_does(name, tmp_path):
    net, inputs = build(name)
    example = inputs(2)
    traced = moka.jit.trace(net, example)
    program = export(net, example, dynamic_shapes=tuple({0: Dim("batch")} for _ in example))
    traced.save(tmp_path / "net.moka")
    runs = {
        "traced": traced,
        "exported": program,
        "module": program.module(),
        "frozen": moka.jit.freeze(traced),
        "loaded": moka.jit.load(tmp_path / "net.moka"),
    }
    for batch in (2, 1, 5):
        args = inputs(batch)
        expected = net(*args)
        for kind, run in runs.items():
            same(run(*args), expected, kind)
    assert not traced.python_segments and all(
        node["line"] for node in traced.graph.nodes() if node["kind"] == "op"
    )
