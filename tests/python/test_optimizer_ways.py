"""Every optimizer in every configuration goes the way that torch 2.15 went (optimizer_ways.json)."""
# SPDX-License-Identifier: Apache-2.0

import copy
import json
import pickle
from pathlib import Path

import optimizer_way as way
import pytest

import moka
from moka import optim

WAYS = json.loads((Path(__file__).parent / "optimizer_ways.json").read_text())
NAMES = [f"{w['kind']}-{w['desc']}" for w in WAYS]
KINDS = [name for name in optim.__all__ if isinstance(getattr(optim, name), type) and name != "Optimizer"]


def parameters(kind):
    made = []
    for place, shape in enumerate(way.shapes(kind)):
        values = moka.tensor(way.wave(shape, 0.1 * place), dtype=getattr(moka, way.number_type(kind)))
        made.append(values.reshape(shape).detach().requires_grad_(True))
    return made


def walk(kind, options, optimizer, params, steps):
    for number in steps:
        if kind == "LBFGS":

            def closure():
                optimizer.zero_grad()
                value = way.loss(params) * (-1 if options.get("maximize") else 1)
                value.backward()
                return value

            optimizer.step(closure)
            continue
        for place, p in enumerate(params):
            values = moka.tensor(way.gradient(kind, place, tuple(p.shape), number), dtype=p.dtype)
            p.grad = values.reshape(p.shape)
        optimizer.step()


def check(recorded, params):
    found = [value for p in params for value in p.detach().reshape(-1).tolist()]
    start = [value for p in parameters(recorded["kind"]) for value in p.reshape(-1).tolist()]
    assert found != start
    # Muon computes in bfloat16, whose rounding is not the same everywhere.
    close = 1e-3 + recorded["options"].get("lr", 1e-3) if recorded["kind"] == "Muon" else 1e-5
    assert found == pytest.approx(recorded["end"], abs=close)


def steps_of(kind):
    return 5 if kind == "LBFGS" else way.STEPS


def test_all_fifteen_are_recorded():
    assert sorted({w["kind"] for w in WAYS}) == sorted(KINDS) and len(KINDS) == 15


@pytest.mark.parametrize("recorded", WAYS, ids=NAMES)
def test_the_way_is_torchs(recorded):
    kind, options = recorded["kind"], recorded["options"]
    params = parameters(kind)
    walk(kind, options, getattr(optim, kind)(params, **options), params, range(steps_of(kind)))
    check(recorded, params)


@pytest.mark.parametrize("recorded", WAYS, ids=NAMES)
def test_a_saved_state_goes_on(recorded):
    kind, options = recorded["kind"], recorded["options"]
    params = parameters(kind)
    optimizer = getattr(optim, kind)(params, **options)
    walk(kind, options, optimizer, params, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    other = getattr(optim, kind)(params)  # takes its options from the state
    other.load_state_dict(state)
    walk(kind, options, other, params, range(3, steps_of(kind)))
    check(recorded, params)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
def test_native_and_differentiable_steps_agree(kind):
    options = next(w["options"] for w in reversed(WAYS) if w["kind"] == kind and w["options"].get("maximize"))
    ends = []
    for differentiable in (False, True):
        params = parameters(kind)
        if differentiable:
            params = [p.clone() for p in params]
            for p in params:
                p.retain_grad()
        optimizer = getattr(optim, kind)(params, **options, differentiable=differentiable)
        walk(kind, options, optimizer, params, range(4))
        ends.append([value for p in params for value in p.detach().reshape(-1).tolist()])
    assert ends[1] == pytest.approx(ends[0], abs=1e-6)


def test_gradients_pass_through_a_differentiable_step():
    rate = moka.tensor(0.1, requires_grad=True)
    start = moka.tensor([1.0, -2.0], requires_grad=True)
    w = start.clone()
    optimizer = optim.SGD([w], lr=rate, differentiable=True)
    w.grad = moka.tensor([0.5, 3.0])
    optimizer.step()
    w.sum().backward()
    assert rate.grad.item() == pytest.approx(-3.5) and start.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_knows_its_options_and_forgets_gradients(kind):
    params = parameters(kind)
    optimizer = getattr(optim, kind)(params)
    assert optimizer.param_groups[0]["lr"] == optimizer.defaults["lr"]
    for p in params:
        p.grad = moka.ones_like(p)
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad.abs().sum().item() == 0 for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    assert kind in repr(optimizer) and "lr:" in repr(optimizer)


def test_torchs_state_with_steps_as_tensors_is_taken():
    params = parameters("Adam")
    optimizer = optim.Adam(params)
    walk("Adam", {}, optimizer, params, range(2))
    state = copy.deepcopy(optimizer.state_dict())
    for values in state["state"].values():
        values["step"] = moka.tensor(float(values["step"]))
    other = optim.Adam(params)
    other.load_state_dict(state)
    assert other.state[params[0]]["step"] == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"fused": True, "differentiable": True}, RuntimeError),
        ({"fused": True, "foreach": True}, RuntimeError),
        ({"lr": 0.1, "betas": (1.0, 0.5)}, ValueError),
        ({"lr": [0.1, 0.2]}, ValueError),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, error):
    if isinstance(options.get("lr"), list):
        options = {"lr": moka.tensor(options["lr"])}
    with pytest.raises(error):
        optim.Adam(parameters("Adam"), **options)


def test_own_optimizers_define_step_and_get_hooks():
    class Halving(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        @moka.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(0.5)
                    self.state[p]["seen"] = self.state[p].get("seen", 0) + 1

    w = moka.nn.Parameter(moka.ones(2))
    optimizer = Halving([w])
    order = []
    optimizer.register_step_pre_hook(lambda *_: order.append("before"))
    handle = optim.optimizer.register_optimizer_step_post_hook(lambda *_: order.append("everywhere"))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert w.tolist() == [0.25, 0.25] and order == ["before", "everywhere", "before"]
    assert optimizer.state_dict()["state"] == {0: {"seen": 2}}


def test_state_hooks_see_and_change_the_state():
    w = moka.nn.Parameter(moka.ones(2))
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "extra": 1})
    state = optimizer.state_dict()
    assert state["extra"] == 1
    optimizer.register_load_state_dict_pre_hook(
        lambda _, state: {**state, "param_groups": [{**state["param_groups"][0], "lr": 9.0}]}
    )
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 9.0


def test_names_of_parameters_are_kept():
    layer = moka.nn.Linear(2, 1)
    optimizer = optim.SGD(layer.named_parameters(), lr=0.1)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="names for the parameters of all groups"):
        optimizer.add_param_group({"params": [moka.nn.Parameter(moka.ones(1))]})


def test_duplicates_and_sets_warn():
    w = moka.nn.Parameter(moka.ones(2))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([w, w], lr=0.1)
    with pytest.warns(FutureWarning, match="is a set"):
        optim.SGD({w}, lr=0.1)


def test_optimizers_are_pickled_with_their_state():
    w = moka.nn.Parameter(moka.ones(2))
    optimizer = optim.Adam([w], lr=0.25)
    w.grad = moka.ones(2)
    optimizer.step()
    other = pickle.loads(pickle.dumps(optimizer))
    (copied,) = other.param_groups[0]["params"]
    assert other.param_groups[0]["lr"] == 0.25 and other.state[copied]["step"] == 1
