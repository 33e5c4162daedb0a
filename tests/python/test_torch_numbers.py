"""Streams that draw as torch does: numbers that torch 2.15 gave after manual_seed(0)."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka.data import DataLoader, RandomSampler, TensorDataset

RECORDED = [
    ("moka.rand(3)", [0.49626, 0.76822, 0.08848]),
    ("moka.rand(2, dtype=moka.float64)", [0.97005, 0.70782]),
    ("moka.rand(2, dtype=moka.bfloat16)", [0.49609, 0.76953]),
    ("moka.randn(3)", [1.541, -0.29343, -2.17879]),
    (
        "moka.randn(18)",
        [-1.12584, -1.15236, 0.56665, 0.79351, 0.59884, -1.5551, -0.34136, 1.85301, 0.4681,
         -0.15771, -0.1734, 0.18348, 1.38937, 1.58633, 0.9463, -0.84368, 0.93183, 1.25901],
    ),
    ("moka.randn(17, dtype=moka.float16)[:3]", [-1.12598, -1.35254, -1.69629]),
    ("moka.randint(0, 10, (5,))", [4.0, 9.0, 3.0, 0.0, 3.0]),
    ("moka.randint(0, 2**40, (2,))", [741280623151.0, 506137267392.0]),
    ("moka.randperm(6)", [2.0, 5.0, 3.0, 0.0, 1.0, 4.0]),
    ("moka.empty(2, dtype=moka.int32).random_()", [209652396.0, 398764591.0]),
    ("moka.bernoulli(moka.full((6,), 0.3))", [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
    ("moka.empty(10).bernoulli_(0.3)", [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
    ("moka.nn.functional.dropout(moka.ones(8), 0.5)", [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 2.0]),
    ("moka.nn.functional.dropout(moka.ones(2, 4).t(), 0.5)", [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0, 2.0]),
    ("moka.empty(2, 2).t().uniform_(-1, 1)", [-0.00749, -0.82305, 0.53644, -0.73594]),
    ("moka.empty(3).exponential_(2.0)", [1.75416, 0.61519, 0.30752]),
    ("moka.empty(4).geometric_(0.3)", [1.0, 1.0, 3.0, 1.0]),
    ("moka.empty(2).cauchy_()", [10.59773, 0.76477]),
    ("moka.empty(2).log_normal_(0.0, 1.0)", [4.66924, 0.7457]),
    ("moka.poisson(moka.tensor([3.0, 20.0, 0.5]))", [6.0, 18.0, 0.0]),
    ("moka.multinomial(moka.arange(1.0, 9), 4)", [6.0, 7.0, 2.0, 4.0]),
    ("moka.multinomial(moka.arange(1.0, 9), 4, True)", [7.0, 6.0, 5.0, 7.0]),
    ("moka.nn.init.trunc_normal_(moka.empty(4), 0.0, 1.0, -0.5, 0.5)", [0.37039, -0.29343, 0.40335, 0.18204]),
    ("moka.nn.Linear(2, 1).weight.detach()", [-0.00529, 0.37932]),
    ("moka.distributions.Gamma(moka.tensor([0.4, 2.5]), moka.ones(2)).sample()", [0.00012, 0.94217]),
]


@pytest.fixture(autouse=True)
def as_torch():
    moka._C._draw_as_torch(True)
    moka.manual_seed(0)
    yield
    moka._C._draw_as_torch(False)


@pytest.mark.parametrize(("call", "numbers"), RECORDED, ids=[call for call, _ in RECORDED])
def test_draws(call, numbers):
    assert eval(call).double().flatten().tolist() == pytest.approx(numbers, rel=1e-3, abs=2e-5)


def test_states_have_torch_layout_and_can_be_taken_up():
    state = moka.get_rng_state()
    assert state.shape == (5056,) and state.dtype == moka.uint8 and int(state.long().sum()) == 315707
    first = moka.randn(3)
    moka.set_rng_state(state)
    assert moka.equal(moka.randn(3), first)
    generator = moka.Generator().manual_seed(3)
    copy = generator.clone_state()
    assert moka.equal(moka.rand(4, generator=generator), moka.rand(4, generator=copy))
    with pytest.raises(RuntimeError, match="5056 bytes"):
        generator.set_state(moka.zeros(3, dtype=moka.uint8))


def test_loaders_visit_samples_in_torch_order():
    data = TensorDataset(moka.arange(20))
    visited = [batch[0].tolist() for batch in DataLoader(data, batch_size=7, shuffle=True)]
    assert visited == [[6, 15, 11, 13, 9, 2, 1], [17, 16, 8, 5, 12, 18, 3], [19, 10, 14, 4, 7, 0]]
    assert sorted(RandomSampler(range(5), num_samples=8)) != list(range(8))


def test_asking_for_the_state_of_a_loader_draws_nothing():
    loader = DataLoader(TensorDataset(moka.arange(6)), batch_size=3, shuffle=True)
    before = moka.get_rng_state()
    assert loader.state_dict()["seed"] == loader.state_dict()["seed"]
    assert moka.equal(moka.get_rng_state(), before)


def test_streams_of_moka_are_as_before():
    moka._C._draw_as_torch(False)
    assert moka.get_rng_state() == (5489, 0)
