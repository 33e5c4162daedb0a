"""Tensors in memory that processes share."""
# SPDX-License-Identifier: Apache-2.0

import multiprocessing
import subprocess
import sys

import pytest

import moka
from moka import nn


def _train(model, counter):
    with moka.no_grad():
        model.weight.add_(1.0)
        model.bias.zero_()
        counter.add_(2)


def _check(method):
    model, counter = nn.Linear(2, 3).share_memory(), moka.zeros(4, dtype=moka.int64)[1:3]
    before = model.weight.detach().clone()
    assert not counter.is_shared()
    assert counter.share_memory_() is counter and counter.is_shared() and counter.tolist() == [0, 0]
    process = multiprocessing.get_context(method).Process(target=_train, args=(model, counter))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert moka.equal(model.weight, before + 1.0) and model.bias.abs().sum() == 0
    assert counter.tolist() == [2, 2]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_write(method):
    subprocess.run([sys.executable, __file__, method], check=True, timeout=120)


def test_sharing_keeps_what_the_tensors_are():
    model = nn.BatchNorm1d(3).share_memory()
    assert all(entry.is_shared() for entry in model.state_dict().values())
    assert isinstance(model.weight, nn.Parameter) and model.weight.requires_grad and model.weight.is_leaf
    model(moka.randn(4, 3)).sum().backward()
    assert model.weight.grad is not None and not model.weight.grad.is_shared()
    turned = moka.arange(6).reshape(2, 3).t().share_memory_()
    assert turned.stride() == (1, 3) and turned.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert moka.zeros(0).share_memory_().is_shared()
    assert moka.ones(2, dtype=moka.bfloat16).share_memory_().tolist() == [1.0, 1.0]


def test_a_queue_gives_the_same_memory():
    queue = multiprocessing.get_context("fork").Queue()
    values = moka.arange(3).share_memory_()
    queue.put(values)
    received = queue.get(timeout=30)
    received[0] = 9
    assert values.tolist() == [9, 1, 2]
    weight = nn.Parameter(moka.ones(2)).share_memory_()
    queue.put(weight)
    assert isinstance(queue.get(timeout=30), nn.Parameter)


if __name__ == "__main__":
    _check(sys.argv[1])
