"""Optimizers: the way they go (recorded from torch 2.15), groups, state, hooks, errors."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka import optim

# Twelve steps from [1, -2, 0.5] and [3] (lr 0.03) down (i % 3 + 1) * sum(w^2) + 0.01 * b^4.
WAYS = [
    ("SGD", {"lr": 0.05}, [0.064524, -0.129048, 0.032262, 2.669422]),
    (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
        [0.264803, -0.529605, 0.132401, 1.753036],
    ),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, [-0.250222, 0.500443, -0.125111, 1.673328]),
    ("SGD", {"lr": 0.01, "maximize": True}, [1.598665, -3.19733, 0.799332, 3.474519]),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1}, [0.445494, -1.436829, -0.017371, 2.644816]),
    ("Adam", {"lr": 0.05, "amsgrad": True}, [0.447038, -1.438495, -0.016283, 2.645797]),
    ("AdamW", {"lr": 0.05}, [0.442796, -1.428214, -0.017375, 2.635799]),
    ("AdamW", {"lr": 0.05, "maximize": True}, [1.563567, -2.55593, 1.06768, 3.352585]),
]


def start():
    return moka.nn.Parameter(moka.tensor([1.0, -2.0, 0.5])), moka.nn.Parameter(moka.tensor([3.0]))


def walk(optimizer, w, b, steps):
    for i in steps:
        optimizer.zero_grad()
        ((w * w).sum() * (i % 3 + 1) + (b * b * b * b).sum() * 0.01).backward()
        optimizer.step()
    return [round(value, 5) for value in w.tolist() + b.tolist()]


@pytest.mark.parametrize(("kind", "options", "end"), WAYS)
def test_optimizers_go_the_recorded_way(kind, options, end):
    w, b = start()
    optimizer = getattr(optim, kind)([{"params": [w]}, {"params": [b], "lr": 0.03}], **options)
    assert walk(optimizer, w, b, range(12)) == pytest.approx(end, abs=2e-5)


@pytest.mark.parametrize(("kind", "options", "end"), WAYS)
def test_a_saved_state_goes_on_the_same_way(kind, options, end):
    w, b = start()
    optimizer = getattr(optim, kind)([{"params": [w]}, {"params": [b], "lr": 0.03}], **options)
    walk(optimizer, w, b, range(5))
    state = optimizer.state_dict()
    other = getattr(optim, kind)([{"params": [w]}, {"params": [b]}], lr=1.0)
    other.load_state_dict(state)
    assert walk(other, w, b, range(5, 12)) == pytest.approx(end, abs=2e-5)


def test_parameters_without_gradient_stay():
    w, b = start()
    optimizer = optim.SGD([w, b], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    assert b.tolist() == [3.0] and w.tolist() != [1.0, -2.0, 0.5]


def test_closures_run_with_gradients_and_give_the_loss():
    w, b = start()
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with moka.no_grad():
        assert optimizer.step(closure).item() == 5.25
    assert w.tolist() == pytest.approx([0.8, -1.6, 0.4])


def test_hooks_run_around_a_step():
    w, _ = start()
    optimizer = optim.SGD([w], lr=0.1)
    order = []
    first = optimizer.register_step_pre_hook(lambda *_: order.append("before"))
    optimizer.register_step_post_hook(lambda *_: order.append("after"))
    optimizer.step()
    first.remove()
    optimizer.step()
    assert order == ["before", "after", "after"]


def test_groups_take_defaults_for_what_they_do_not_say():
    w, b = start()
    optimizer = optim.SGD([{"params": w, "lr": 0.5}], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": [b], "momentum": 0.0})
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [(0.5, 0.9), (0.1, 0.0)]


def test_named_parameters_are_accepted():
    layer = moka.nn.Linear(2, 1)
    optimizer = optim.SGD(layer.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["params"][1] is layer.bias


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (lambda w: (w,), "must be an iterable"),
        (lambda w: ([],), "is empty"),
        (lambda w: ([{"params": [w]}, {"params": [w]}],), "listed twice"),
        (lambda w: ([w * 2],), "only leaves can be optimized"),
        (lambda w: ([3],), "entry 0 is int"),
        (lambda w: ([w], -1.0), "Invalid learning rate: -1"),
        (lambda w: ([w], 0.1, 0.0, 0.0, 0.0, True), "Nesterov momentum requires"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    w, _ = start()
    with pytest.raises((ValueError, TypeError), match=text):
        optim.SGD(*arguments(w))


def test_a_state_of_other_groups_is_refused():
    w, b = start()
    state = optim.SGD([w, b], lr=0.1).state_dict()
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, the state has \[2\]"):
        optim.SGD([w], lr=0.1).load_state_dict(state)
    state = optim.Adam([w], lr=0.1).state_dict()
    state["state"] = {0: {"exp_avg": moka.zeros(7)}}
    with pytest.raises(ValueError, match=r"exp_avg has shape \[7\], its parameter \[3\]"):
        optim.Adam([w], lr=0.1).load_state_dict(state)
