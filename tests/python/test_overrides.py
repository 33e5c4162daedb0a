"""Subclasses of Tensor: __torch_function__ of functions, methods, signs and attributes; modes."""
# SPDX-License-Identifier: Apache-2.0

import copy
import pickle

import pytest
from moka.overrides import DisableTorchFunctionSubclass, TorchFunctionMode, has_torch_function

import moka
from moka import nn


class Told(moka.Tensor):
    calls: list = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


class Plain(moka.Tensor):
    pass


def told(call):
    Told.calls.clear()
    result = call()
    return result, list(Told.calls)


def test_every_way_to_call_is_told():
    x = moka.ones(2, 2).as_subclass(Told)
    for call, name in (
        (lambda: x + 1, "add"),
        (lambda: 2 * x, "mul"),
        (lambda: 1 - x, "__rsub__"),
        (lambda: x @ x, "matmul"),
        (lambda: x[0], "__getitem__"),
        (lambda: -x, "neg"),
        (lambda: x == 1, "__eq__"),
        (lambda: x.sum(), "sum"),
        (lambda: x.to(moka.float64), "to"),
        (lambda: x.split(1)[0], "split"),
        (lambda: x.T, "__get__"),
        (lambda: moka.cat([x, x]), "cat"),
        (lambda: moka.add(moka.ones(2, 2), x), "add"),
        (lambda: moka.where(moka.ones(2, 2) > 0, x, 1), "where"),
    ):
        result, names = told(call)
        assert type(result) is Told and names[0] == name and len(names) == 1, (name, names)
    assert told(lambda: x.shape) == (x.shape, ["__get__"])
    assert told(lambda: len(x)) == (2, ["__len__"])
    assert told(lambda: x.add_(1)) == (x, ["add_"])
    assert has_torch_function((x,)) and not has_torch_function((nn.Parameter(moka.ones(1)), moka.ones(1)))


def test_results_are_of_the_subclass_unless_disabled():
    s = Plain([1.0, 2.0])
    results = [s + 1, moka.add(s, 1), s[0], s.clone(), s.chunk(2)[0], moka.ones(2) + s, s.data]
    assert {type(r) for r in results} == {Plain} and s.tolist() == [1.0, 2.0]
    parameter = nn.Parameter(moka.ones(2))
    assert type(parameter + s) is Plain and type(parameter + 1) is moka.Tensor
    with DisableTorchFunctionSubclass():
        assert type(s + 1) is moka.Tensor
    assert type(pickle.loads(pickle.dumps(s))) is Plain and type(copy.deepcopy(s)) is Plain
    kept = nn.Parameter(s)
    assert type(kept) is Plain and isinstance(kept, nn.Parameter) and kept.requires_grad
    layer = nn.Module()
    layer.weight = kept
    assert dict(layer.named_parameters())["weight"] is kept
    assert Plain(2, 3).shape == (2, 3)


def test_classes_that_do_not_know_each_other_are_an_error():
    class Refusing(moka.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    x = moka.ones(2).as_subclass(Refusing)
    with pytest.raises(TypeError, match="no implementation found"):
        moka.add(x, 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        x + 1


def test_values_that_are_no_tensors_take_part_in_arithmetic():
    class Wrapped:
        def __init__(self, value):
            self.value = value

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return cls(func(*(a.value if isinstance(a, cls) else a for a in args), **(kwargs or {})))

    x = Wrapped(moka.ones(2))
    assert (moka.ones(2) + x).value.tolist() == [2, 2] and moka.mul(x, 3).value.tolist() == [3, 3]


def test_indices_and_written_values_may_be_others():
    class Told:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__

    x = moka.ones(5)
    assert x[Told()] == x[Told(), 1] == "__getitem__"
    x[Told()] = 1.0  # a result is of no use
    x[0] = Told()
    assert x.tolist() == [1, 1, 1, 1, 1]

    class Own(moka.Tensor):
        pass

    assert type(x[moka.tensor([1, 2]).as_subclass(Own)]) is Own


def test_modes_see_calls_and_are_off_inside():
    seen = []

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Mode():
        y = moka.ones(2) + 1
        y.sum()
    moka.ones(1)
    assert seen == ["ones", "add", "sum"] and y.tolist() == [2, 2]

    class Zeros(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return moka.zeros(2) if func is moka.ones else func(*args, **(kwargs or {}))

    with Zeros(), Mode():
        assert moka.ones(2).tolist() == [0, 0]


def test_a_class_may_keep_a_function():
    """Operators kept by a class are functions, not its methods; those of Tensor are methods."""

    class Layer:
        product = moka.mul
        activation = moka.relu

    assert Layer.product is moka.mul and Layer().product is moka.mul
    assert Layer().activation(moka.tensor([-1.0, 2.0])).tolist() == [0, 2]
    x = moka.tensor([3.0])
    assert x.mul(2).tolist() == [6] and moka.Tensor.mul(x, 2).tolist() == [6]
    assert pickle.loads(pickle.dumps(moka.Tensor.mul)) is moka.Tensor.mul
    assert pickle.loads(pickle.dumps(moka.mul)) is moka.mul
