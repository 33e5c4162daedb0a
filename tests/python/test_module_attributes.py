"""Attributes of a Module: the class comes first, then the instance, the registries and __getattr__."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import collections
import copy
import pickle

import pytest

import moka
from moka import nn


class Net(nn.Module):
    rate = 3

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.scale = nn.Parameter(moka.ones(1))
        self.register_buffer("mean", moka.zeros(2))
        self.plain = "text"

    @property
    def broken(self) -> int:
        return self.no_such_name


def test_registries_instances_and_classes_are_found():
    net = Net()
    assert net.head is net._modules["head"] and net.scale is net._parameters["scale"]
    assert net.mean is net._buffers["mean"] and net.plain == "text" and net.rate == 3
    net.__dict__["scale"] = "the instance comes first"
    assert net.scale == "the instance comes first"
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.plain == "text" and moka.equal(again.mean, net.mean)


def test_what_is_missing_is_said_with_what_is_near():
    net = Net()
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'heads'; did you mean 'head'"):
        net.heads  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'broken'"):
        net.broken  # noqa: B018
    assert not hasattr(net, "no_such_name") and getattr(net, "scal", None) is None
    del net.scale
    assert not hasattr(net, "scale")
    with pytest.raises(AttributeError, match="no attribute 'head'"):
        Net.__new__(Net).head  # noqa: B018


def test_registries_of_other_kinds_are_read():
    class Counting(collections.OrderedDict):
        def __getitem__(self, name):
            return f"made {super().__getitem__(name)}"

    net = Net()
    net.__dict__["_buffers"] = Counting(mean="here")
    assert net.mean == "made here"


def test_a_class_with_its_own_getattr_answers_itself():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    class Below(Wrapper):
        pass

    for cls in (Wrapper, Below):
        wrapper = cls(Net())
        assert wrapper.inner.plain == "text" and wrapper.rate == 3
        assert wrapper.head is wrapper.inner.head
        with pytest.raises(AttributeError, match="'Net' object has no attribute 'none'"):
            wrapper.none  # noqa: B018


def test_getattr_may_be_replaced_and_put_back(monkeypatch):
    net, read = Net(), []
    original = nn.Module.__getattr__

    def reading(self, name):
        read.append(name)
        return original(self, name)

    with monkeypatch.context() as m:
        m.setattr(nn.Module, "__getattr__", reading)
        assert net.head is net._modules["head"] and read == ["head"]
    assert net.head is net._modules["head"] and read == ["head"]
    with monkeypatch.context() as m:
        m.setattr(Net, "__getattr__", reading, raising=False)
        assert net.mean is net._buffers["mean"] and read == ["head", "mean"]
    assert net.mean is net._buffers["mean"] and read == ["head", "mean"]
