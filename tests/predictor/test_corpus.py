"""Files of every release load for ever and answer what they answered then."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import numpy as np
import pytest

MODELS = sorted((Path(__file__).resolve().parents[1] / "corpus").glob("*/*.moka"))


def test_the_corpus_is_there():
    assert {"0.1.0"} <= {path.parent.name for path in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("how", [(), ("--no-optimize",)], ids=["optimized", "as-it-stands"])
def test_a_model_of_an_old_release_answers_as_it_did(moka, model, how, tmp_path):
    moka("run", model, "-i", model.with_suffix(".x.npy"), "-o", "y.npy", *how)
    expected = np.load(model.with_suffix(".y.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-5)
