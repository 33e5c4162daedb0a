"""Operators that are left to Python below autograd: modes and subclasses with __torch_dispatch__."""
# SPDX-License-Identifier: Apache-2.0

import gc

import pytest
from moka.dispatching import TorchDispatchMode
from moka.utils.pytree import tree_map

import moka
from moka import Tensor, nn


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Boxed(Tensor):
    """Stands for another tensor."""

    calls: list = []

    @staticmethod
    def __new__(cls, inner):
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=inner.device, requires_grad=inner.requires_grad
        )
        made.inner = inner.detach()
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func.overloadpacket.__name__)
        inner = lambda v: v.inner if isinstance(v, Boxed) else v  # noqa: E731
        boxed = lambda v: Boxed(v) if isinstance(v, Tensor) else v  # noqa: E731
        return tree_map(boxed, func(*tree_map(inner, args), **tree_map(inner, kwargs or {})))


def test_modes_see_operators_by_their_aten_names():
    x = moka.ones(2, 3, requires_grad=True)
    with Names() as names:
        y = ((x * x + 1).t() / x.t()).sum(0)
        moka.softmax(y, 0).max(0)
        x.detach().view(3, 2)[0].add_(2)
    assert names.seen == [
        *("aten.mul.Tensor", "aten.add.Scalar", "aten.t.default", "aten.t.default", "aten.div.Tensor"),
        *("aten.sum.dim_IntList", "aten._softmax.default", "aten.max.dim", "aten.detach.default"),
        *("aten.view.default", "aten.select.int", "aten.add_.Scalar"),
    ]
    assert not moka._C._dispatch_modes()


def test_modes_see_layers_and_backward():
    layer, x = nn.Linear(3, 4), moka.ones(2, 3)
    with Names() as names:
        loss = layer(x).relu().sum()
        loss.backward()
    assert names.seen[:4] == ["aten.t.default", "aten.addmm.default", "aten.relu.default", "aten.sum.default"]
    assert "aten.mm.default" in names.seen[4:]
    assert layer.bias.grad.tolist() == (layer(x) > 0).sum(0).tolist()


def test_modes_nest_and_may_change_results():
    class Doubles(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {})) * 2

    x = moka.ones(2)
    with Doubles(), Names() as names:
        assert (x + 1).tolist() == [4.0, 4.0]
    assert names.seen == ["aten.add.Scalar"]
    with pytest.raises(NotImplementedError, match="must define __torch_dispatch__"), TorchDispatchMode():
        x + 1


def test_wrappers_take_part_in_gradients():
    leaf = Boxed(moka.tensor([1.0, 2.0, 3.0], requires_grad=True))
    assert (leaf.shape, leaf.dtype, str(leaf.device), leaf.requires_grad) == ((3,), moka.float32, "cpu", True)
    Boxed.calls.clear()
    loss = (leaf * leaf).sum()
    assert Boxed.calls == ["mul", "sum"] and loss.inner.item() == 14
    loss.backward()
    assert isinstance(leaf.grad, Boxed) and leaf.grad.inner.tolist() == [2.0, 4.0, 6.0]
    (first,) = moka.autograd.grad((leaf**3).sum(), leaf, create_graph=True)
    (second,) = moka.autograd.grad(first.sum(), leaf)
    assert second.inner.tolist() == [6.0, 12.0, 18.0]


def test_saved_wrappers_keep_their_class():
    leaf = Boxed(moka.tensor([0.5], requires_grad=True))
    result = (leaf * 2).exp().exp()
    gc.collect()
    (gradient,) = moka.autograd.grad(result, leaf)
    e = moka.tensor([1.0]).exp()
    assert moka.allclose(gradient.inner, 2 * e * e.exp())


def test_what_nobody_answers_is_an_error():
    class Mute(Tensor):
        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    made = Tensor._make_wrapper_subclass(Mute, (2,))
    with pytest.raises(TypeError, match="Multiple dispatch failed for 'aten.add.Scalar'"):
        moka.add(made, 1)
    with pytest.raises(RuntimeError, match="requires __torch_dispatch__"):
        Tensor._make_wrapper_subclass(Tensor, (2,))


class Slotted(Tensor):
    """The same, with what it stands for in a slot."""

    __slots__ = ["inner"]

    @staticmethod
    def __new__(cls, inner):
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        inner = lambda v: v.inner if isinstance(v, cls) else v  # noqa: E731
        slotted = lambda v: cls(v) if isinstance(v, Tensor) else v  # noqa: E731
        return tree_map(slotted, func(*tree_map(inner, args), **tree_map(inner, kwargs or {})))


def test_attributes_in_slots_stay_with_a_wrapper():
    y = (Slotted(moka.tensor([2.0, 3.0])) * 2).sum()
    assert type(y) is Slotted and y.inner.item() == 10


def test_numbers_of_wrappers_come_from_their_class():
    x = Boxed(moka.tensor(3.0))
    Boxed.calls.clear()
    assert (x.item(), float(x), int(x), bool(x)) == (3.0, 3.0, 3, True)
    assert Boxed.calls == ["_local_scalar_dense"] * 4
    assert Tensor.__repr__(x, tensor_contents="3.") == "tensor(3., shape=[], dtype=moka.float32)"
