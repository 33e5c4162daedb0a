"""Clipping gradients; parameters as a vector, or computed from others."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
from moka.nn.utils import (
    clip_grad_norm_,
    clip_grad_value_,
    parameters_to_vector,
    parametrize,
    remove_weight_norm,
    vector_to_parameters,
)
from moka.nn.utils.old_norms import SpectralNorm, WeightNorm

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


class Double(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


class Sum(nn.Module):
    def forward(self, x):
        return x.sum()


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_the_first_parametrization_keeps_the_value_and_further_ones_change_it():
    layer = nn.Linear(2, 1)
    value = layer.weight.tolist()
    parametrize.register_parametrization(layer, "weight", Double())
    assert layer.weight.tolist() == value
    parametrize.register_parametrization(layer, "weight", Double())
    assert layer.weight.tolist() == [[2 * v for v in value[0]]]
    layer.weight = moka.ones(1, 2)
    assert layer.parametrizations.weight.original.tolist() == [[0.25, 0.25]]


@pytest.mark.parametrize("already", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"), [(Sum, "may not change the shape"), (Pair, "must return a tensor, but Pair gives")]
)
def test_a_parametrization_gives_a_tensor_of_the_same_shape(kind, message, already):
    layer = nn.Linear(2, 1)
    if already:
        parametrize.register_parametrization(layer, "weight", Double())
    with pytest.raises(ValueError, match=message):
        parametrize.register_parametrization(layer, "weight", kind())
    assert parametrize.is_parametrized(layer) == already and layer.weight.shape == (1, 2)
    parametrize.register_parametrization(layer, "weight", kind(), unsafe=True)
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "other", Double())


def test_the_hooks_of_old_norms_can_be_applied_by_name():
    layer = nn.Linear(3, 2)
    value = layer.weight.tolist()
    hook = WeightNorm.apply(layer, "weight", dim=0)
    assert sorted(name for name, _ in layer.named_parameters()) == ["bias", "weight_g", "weight_v"]
    assert [type(h).__name__ for h in layer._forward_pre_hooks.values()] == ["WeightNorm"]
    assert moka.allclose(hook.compute_weight(layer), moka.tensor(value))
    remove_weight_norm(layer)
    assert moka.allclose(layer.weight, moka.tensor(value)) and not layer._forward_pre_hooks
    with pytest.raises(ValueError, match="Expected n_power_iterations to be positive"):
        SpectralNorm("weight", 0)
