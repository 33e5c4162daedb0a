"""Clipping gradients; parameters as a vector."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
from moka.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters

import moka
from moka import nn


def with_gradients(*gradients):
    parameters = [nn.Parameter(moka.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = moka.tensor(gradient)
    return parameters


@pytest.mark.parametrize(("norm", "total"), [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0)])
def test_the_norm_of_all_gradients_together_is_limited(norm, total):
    parameters = with_gradients([3.0, -4.0], [12.0])
    assert clip_grad_norm_(parameters, 1.0, norm).item() == pytest.approx(total)
    assert parameters[1].grad.item() == pytest.approx(12.0 / total, rel=1e-4)
    assert parameters[0].grad[1].item() == pytest.approx(-4.0 / total, rel=1e-4)


def test_small_gradients_are_left_alone():
    parameters = with_gradients([3.0, -4.0])
    clip_grad_norm_(parameters, 6.0)
    assert parameters[0].grad.tolist() == [3.0, -4.0]


def test_infinite_gradients_can_be_an_error():
    with pytest.raises(RuntimeError, match="for gradients is non-finite"):
        clip_grad_norm_(with_gradients([math.inf]), 1.0, error_if_nonfinite=True)


def test_every_element_can_be_limited():
    parameters = with_gradients([3.0, -4.0, 0.5])
    clip_grad_value_(parameters, 1.0)
    assert parameters[0].grad.tolist() == [1.0, -1.0, 0.5]


def test_parameters_become_a_vector_and_come_back():
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = parameters_to_vector(layer.parameters())
    vector_to_parameters(vector, other.parameters())
    assert other.weight.tolist() == layer.weight.tolist() and other.bias.tolist() == layer.bias.tolist()
    with pytest.raises(ValueError, match="a vector of 8 elements is needed"):
        vector_to_parameters(vector[1:], other.parameters())
