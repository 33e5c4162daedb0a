"""Sequential, ModuleList, ModuleDict, ParameterList."""
# SPDX-License-Identifier: Apache-2.0

import pytest

import moka
from moka import nn


def test_sequential_can_be_sliced_and_indexed():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net[1:]) == 2 and net[-1] is net[2]
    assert isinstance(net[:2], nn.Sequential)
    with pytest.raises(IndexError, match="index 3 is outside a list of 3"):
        net[3]


def test_sequential_takes_names_from_a_dict():
    net = nn.Sequential({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert list(net.state_dict()) == ["a.weight", "a.bias"] and net.b is net[1]


def test_lists_grow_shrink_and_renumber():
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.append(nn.ReLU()).extend([nn.Tanh(), nn.Sigmoid()])
    layers.insert(1, nn.Identity())
    assert [type(m).__name__ for m in layers] == ["Linear", "Identity", "ReLU", "Tanh", "Sigmoid"]
    del layers[0]
    layers[0] = nn.GELU()
    assert isinstance(layers.pop(), nn.Sigmoid)
    assert [name for name, _ in layers.named_children()] == ["0", "1", "2"]
    assert isinstance(layers[0], nn.GELU) and layers[1] in layers


def test_lists_refuse_what_is_no_module():
    with pytest.raises(TypeError, match="must be a Module"):
        nn.ModuleList([3])


def test_dicts_hold_modules_by_name():
    heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
    heads["b"] = nn.Linear(2, 2)
    assert list(heads) == ["a", "b"] and "b" in heads and len(heads) == 2
    assert [name for name, _ in heads.named_parameters()] == ["a.weight", "a.bias", "b.weight", "b.bias"]
    del heads["a"]
    assert list(heads.keys()) == ["b"]
    with pytest.raises(KeyError, match="no module 'c'; there are b"):
        heads["c"]


def test_parameter_lists_register_their_tensors():
    values = nn.ParameterList([moka.zeros(2), nn.Parameter(moka.ones(3))])
    assert [name for name, _ in values.named_parameters()] == ["0", "1"]
    assert values[1].tolist() == [1.0, 1.0, 1.0] and len(values) == 2
