"""Averages of parameters over training: values computed by hand."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from moka.optim import SGD, swa_utils
from moka.optim.swa_utils import update_bn

import moka
from moka import nn


def test_averages_of_parameters():
    model = nn.Linear(1, 1, bias=False)
    means = swa_utils.AveragedModel(model)
    slow = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75))
    for value in (1.0, 2.0, 6.0):
        with moka.no_grad():
            model.weight.fill_(value)
        means.update_parameters(model)
        slow.update_parameters(model)
    assert means.module.weight.item() == pytest.approx(3) and means.n_averaged.item() == 3
    assert slow.module.weight.item() == pytest.approx((1 * 0.75 + 2 * 0.25) * 0.75 + 6 * 0.25)
    assert "module.weight" in means.state_dict()


def test_rates_go_to_the_last_one():
    optimizer = SGD([moka.ones(1, requires_grad=True)], lr=1.0)
    schedule = swa_utils.SWALR(optimizer, swa_lr=0.2, anneal_epochs=4, anneal_strategy="linear")
    rates = []
    for _ in range(6):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2, 0.2])


def test_running_averages_are_computed_anew():
    model = nn.BatchNorm1d(2)
    batches = [moka.tensor([[0.0, 1.0], [2.0, 3.0]]), moka.tensor([[4.0, 5.0], [6.0, 7.0]])]
    update_bn(batches, model)
    assert model.running_mean.tolist() == [3, 4] and model.momentum == 0.1
