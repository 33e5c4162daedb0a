"""Schedules: their rates (recorded from torch 2.15), their state, their errors."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from moka.optim import lr_scheduler as L

import moka
from moka import optim

SCHEDULES = [
    (lambda o: L.StepLR(o, 3, 0.5), [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025]),
    (
        lambda o: L.MultiStepLR(o, [2, 2, 5], 0.5),
        [0.1, 0.1, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.0125],
    ),
    (
        lambda o: L.ExponentialLR(o, 0.9),
        [0.1, 0.09, 0.081, 0.0729, 0.06561, 0.059049, 0.0531441, 0.0478297, 0.0430467],
    ),
    (
        lambda o: L.CosineAnnealingLR(o, 4, 0.01),
        [0.1, 0.0868198, 0.055, 0.0231802, 0.01, 0.0231802, 0.055, 0.0868198, 0.1],
    ),
    (lambda o: L.LinearLR(o, 0.2, 1.0, 4), [0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.1, 0.1, 0.1]),
    (
        lambda o: L.LambdaLR(o, lambda step: 1 / (1 + step)),
        [0.1, 0.05, 0.0333333, 0.025, 0.02, 0.0166667, 0.0142857, 0.0125, 0.0111111],
    ),
    (
        lambda o: L.OneCycleLR(o, 0.5, total_steps=9),
        [0.02, 0.3256791, 0.4972077, 0.4492833, 0.3528224, 0.2313186, 0.114365, 0.0304465, 2e-06],
    ),
    (
        lambda o: L.OneCycleLR(
            o, 0.5, epochs=3, steps_per_epoch=3, three_phase=True, anneal_strategy="linear"
        ),
        [0.02, 0.3023529, 0.4152941, 0.1329412, 0.0173916, 0.0130442, 0.0086968, 0.0043494, 2e-06],
    ),
    (
        lambda o: L.SequentialLR(o, [L.LinearLR(o, 0.1, 1.0, 3), L.CosineAnnealingLR(o, 6)], [3]),
        [0.01, 0.04, 0.07, 0.1, 0.0933013, 0.075, 0.05, 0.025, 0.0066987],
    ),
    (lambda o: L.ConstantLR(o, 0.25, 3), [0.025, 0.025, 0.025, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
    (
        lambda o: L.PolynomialLR(o, 6, 2.0),
        [0.1, 0.0694444, 0.0444444, 0.025, 0.0111111, 0.0027778, 0.0, 0.0, 0.0],
    ),
    (
        lambda o: L.MultiplicativeLR(o, lambda s: 0.9 + 0.01 * s),
        [0.1, 0.091, 0.08372, 0.0778596, 0.073188, 0.0695286, 0.0667475, 0.0647451, 0.0634502],
    ),
    (
        lambda o: L.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
        [0.1, 0.0775, 0.0325, 0.1, 0.0939711, 0.0775, 0.055, 0.0325, 0.0160289],
    ),
    (lambda o: L.CyclicLR(o, 0.02, 0.2, 3, 2), [0.02, 0.08, 0.14, 0.2, 0.11, 0.02, 0.08, 0.14, 0.2]),
    (
        lambda o: L.CyclicLR(o, 0.02, 0.2, 2, mode="triangular2", cycle_momentum=False),
        [0.02, 0.11, 0.2, 0.11, 0.02, 0.065, 0.11, 0.065, 0.02],
    ),
    (
        lambda o: L.CyclicLR(o, 0.02, 0.2, 3, mode="exp_range", gamma=0.9),
        [0.02, 0.074, 0.1172, 0.15122, 0.098732, 0.0554294, 0.02, 0.0486978, 0.0716561],
    ),
    (
        lambda o: L.ChainedScheduler([L.ConstantLR(o, 0.5, 4), L.ExponentialLR(o, 0.9)]),
        [0.05, 0.045, 0.0405, 0.03645, 0.06561, 0.059049, 0.0531441, 0.0478297, 0.0430467],
    ),
    (
        lambda o: L.SequentialLR(o, [L.ConstantLR(o, 0.5, 4), L.PolynomialLR(o, 5)], [4]),
        [0.05, 0.05, 0.05, 0.05, 0.1, 0.08, 0.06, 0.04, 0.02],
    ),
]


def optimizer():
    return optim.SGD([moka.nn.Parameter(moka.zeros(1))], lr=0.1, momentum=0.9)


def rates(opt, schedule, count):
    found = []
    for _ in range(count):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("make", "expected"), SCHEDULES)
def test_schedules_give_the_recorded_rates(make, expected):
    opt = optimizer()
    assert rates(opt, make(opt), 9) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("make", "expected"), SCHEDULES)
def test_a_saved_schedule_goes_on(make, expected):
    opt = optimizer()
    schedule = make(opt)
    rates(opt, schedule, 4)
    other = optimizer()
    resumed = make(other)
    other.load_state_dict(opt.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert rates(other, resumed, 5) == pytest.approx(expected[4:], abs=1e-7)


def test_one_cycle_moves_momentum_the_other_way():
    opt = optimizer()
    schedule = L.OneCycleLR(opt, 0.5, total_steps=9)
    momenta = []
    for _ in range(9):
        momenta.append(round(opt.param_groups[0]["momentum"], 4))
        schedule.step()
    assert momenta[0] == 0.95 and min(momenta) == 0.8506 and momenta[-1] == 0.95


def test_two_schedules_multiply():
    opt = optimizer()
    one, two = L.ExponentialLR(opt, 0.5), L.StepLR(opt, 2, 0.1)
    for _ in range(2):
        one.step()
        two.step()
    assert opt.param_groups[0]["lr"] == pytest.approx(0.1 * 0.25 * 0.1)


def test_wrong_arguments_are_refused():
    for make, text in [
        (lambda o: L.OneCycleLR(o, 0.1), "give total_steps"),
        (lambda o: L.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="square"), "'cos' or 'linear'"),
        (lambda o: L.SequentialLR(o, [L.StepLR(o, 1)], [3]), "need 0 milestones"),
        (lambda o: L.StepLR(o, 0), "at least 1"),
    ]:
        with pytest.raises(ValueError, match=text):
            make(optimizer())


def test_too_many_steps_of_one_cycle_are_an_error():
    opt = optimizer()
    schedule = L.OneCycleLR(opt, 0.1, total_steps=3)
    with pytest.raises(ValueError, match="step 4 was asked for, but the cycle has 3 steps"):
        for _ in range(5):
            schedule.step()


def test_warm_restarts_take_fractions_of_a_step():
    opt = optimizer()
    schedule = L.CosineAnnealingWarmRestarts(opt, 2, 3)
    found = []
    for step in [0, 0.5, 1, 1.5, 2, 3.5, 7.9, 8, 10, 26]:
        schedule.step(step)
        found.append(opt.param_groups[0]["lr"])
    expected = [0.1, 0.0853553, 0.05, 0.0146447, 0.1, 0.0853553, 6.85e-05, 0.1, 0.0969846, 0.1]
    assert found == pytest.approx(expected, abs=1e-7)


METRICS = [1, 0.9, 0.95, 0.91, 0.92, 0.5, 0.6, 0.7, 0.499, 0.8, 0.85, 0.9, 0.95, 0.96]
PLATEAUS = [
    ({"patience": 1}, [0.1] * 3 + [0.01] * 4 + [0.001] * 3 + [1e-4] * 2 + [1e-5] * 2),
    (
        {"patience": 0, "mode": "max", "threshold_mode": "abs", "threshold": 0.05, "cooldown": 2},
        [0.1] + [0.01] * 3 + [0.001] * 3 + [1e-4] * 3 + [1e-5] * 3 + [1e-6],
    ),
    ({"patience": 1, "min_lr": 0.03, "factor": 0.5}, [0.1] * 3 + [0.05] * 4 + [0.03] * 7),
]


@pytest.mark.parametrize(("options", "expected"), PLATEAUS)
@pytest.mark.parametrize("resume", [False, True])
def test_plateaus_lower_the_rate_when_nothing_gets_better(options, expected, resume):
    opt = optimizer()
    schedule = L.ReduceLROnPlateau(opt, **options)
    found = []
    for i, metric in enumerate(METRICS):
        if resume and i == 6:
            state = schedule.state_dict()
            schedule = L.ReduceLROnPlateau(opt, **options)
            schedule.load_state_dict(state)
        schedule.step(metric)
        found.append(opt.param_groups[0]["lr"])
    assert found == pytest.approx(expected)


def test_momentum_goes_the_other_way():
    opt = optimizer()
    schedule = L.CyclicLR(opt, 0.02, 0.2, 3, 2)
    found = []
    for _ in range(6):
        found.append(opt.param_groups[0]["momentum"])
        opt.step()
        schedule.step()
    assert found == pytest.approx([0.9, 0.8666667, 0.8333333, 0.8, 0.85, 0.9])


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    rate = moka.tensor(0.1)
    opt = optim.Adam([moka.nn.Parameter(moka.zeros(1))], lr=rate)
    schedule = L.ExponentialLR(opt, 0.5)
    schedule.step()
    assert opt.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: L.ConstantLR(o, 1.5), "factor must be in 0 to 1"),
        (lambda o: L.ReduceLROnPlateau(o, "least"), "mode must be 'min' or 'max'"),
        (lambda o: L.ReduceLROnPlateau(o, factor=1.0), "factor must be below 1"),
        (lambda o: L.ReduceLROnPlateau(o, min_lr=[0.1, 0.2]), "1 values of min_lr are needed"),
        (lambda o: L.CyclicLR(o, 0.1, 0.2, mode="square"), "mode must be 'triangular'"),
        (lambda o: L.CosineAnnealingWarmRestarts(o, 0), "T_0 must be an integer of at least 1"),
        (lambda o: L.ChainedScheduler([]), "at least one schedule"),
        (lambda o: L.ChainedScheduler([L.ReduceLROnPlateau(o)]), "needs a metric"),
    ],
)
def test_wrong_schedules_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make(optimizer())


class WrittenForTorch(L.LRScheduler):
    def get_lr(self):
        self.asked = self._get_lr_called_within_step, self._is_initial
        return [base * (self.last_epoch + 1) for base in self.base_lrs]


def test_schedules_say_from_where_get_lr_is_called():
    opt = optimizer()
    schedule = WrittenForTorch(opt)
    assert schedule.asked == (True, True)
    opt.step()
    schedule.step()
    assert schedule.asked == (True, False)
    schedule.get_lr()
    assert schedule.asked == (False, False)
    own = L.ExponentialLR(opt, 0.5).state_dict()
    assert list(own)[-4:] == ["_step_count", "_is_initial", "_get_lr_called_within_step", "_last_lr"]
