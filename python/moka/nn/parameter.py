"""Tensors that a module owns: trained ones (Parameter) and state that is not trained (Buffer)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.tensor_methods import disabled_torch_function_impl

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _KindOfParameter(type(Tensor)):  # type: ignore[misc]
    """Parameters made of subclasses of Tensor are of those classes, and marked."""

    def __instancecheck__(self, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return self is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_KindOfParameter):
    """A tensor that a Module registers as one of its trained parameters when it is assigned to an attribute.

    Args:
        data: the initial value; the parameter shares its memory. Without it the parameter is empty.
        requires_grad: whether gradients are accumulated in `.grad`.

    >>> layer.weight = moka.nn.Parameter(moka.zeros(3, 4))
    """

    __torch_function__ = staticmethod(disabled_torch_function_impl)

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        source = _C.empty(0) if data is None else data
        if not isinstance(source, Tensor):
            raise TypeError(
                f"Parameter: data must be a Tensor, but {type(source).__name__} came; use moka.tensor(data)"
            )
        if _C._is_overriding(type(source)):  # a subclass stays what it is
            kept: Any = source.detach().requires_grad_(requires_grad)
            kept._is_param = True
            return kept
        return Tensor._make_subclass(cls, source, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything happens in __new__."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        known = memo.get(id(self))
        if known is None:
            known = memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return known


class Buffer(Tensor):
    """A tensor that a Module registers as state (saved and moved with the module, never trained) when
    assigned.

    Args:
        data: the initial value; the buffer shares its memory. Without it the buffer is empty.
        persistent: whether the buffer belongs to `state_dict()`.
    """

    persistent: bool
    __torch_function__ = staticmethod(disabled_torch_function_impl)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        source = _C.empty(0) if data is None else data
        if not isinstance(source, Tensor):
            raise TypeError(
                f"Buffer: data must be a Tensor, but {type(source).__name__} came; use moka.tensor(data)"
            )
        buffer = Tensor._make_subclass(cls, source)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Everything happens in __new__."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        known = memo.get(id(self))
        if known is None:
            known = memo[id(self)] = type(self)(self.detach().clone(), persistent=self.persistent)
        return known


# What may be done with a tensor whose shape is not known: it moves, and takes a state.
_OF_UNINITIALIZED = {
    *("__get__", "__set__", "__hash__", "copy_", "data_ptr", "get_device", "is_complex", "is_floating_point"),
    *("bfloat16", "char", "cpu", "cuda", "double", "float", "half", "int", "long", "short", "to"),
    *("detach", "requires_grad_", "size"),
}


class UninitializedTensorMixin:
    """What tensors share whose shape is not known yet; `materialize` gives it to them."""

    cls_to_become: type

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Operators have nothing to work on yet: ValueError."""
        name = getattr(func, "__name__", str(func))
        if name in _OF_UNINITIALIZED:
            return disabled_torch_function_impl(func, types, args, kwargs or {})
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {name}: it belongs to a lazy module, whose "
            "parameters have their shapes after a forward pass; call the module with an example batch before"
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter or tensor of this shape, with memory of no particular value."""
        plain = self.data  # type: ignore[has-type]
        self.data = _C.empty(shape, device=device or plain.device, dtype=dtype or plain.dtype)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> Any:
        """There is none yet: RuntimeError."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer: it is known after a forward "
            "pass, or after an initialized state was loaded. This happens when load_state_dict gets an "
            "uninitialized parameter for an initialized one"
        )

    def detach(self) -> Any:
        """The tensor itself, so that a state dict shows that it is uninitialized."""
        return self

    def share_memory_(self) -> Any:
        """There is no memory yet: RuntimeError."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer; run a forward pass before"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        known = memo.get(id(self))
        if known is None:
            known = memo[id(self)] = _uninitialized(*self.__reduce_ex__(2)[1])
        return known

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = self.data  # type: ignore[has-type]
        return _uninitialized, (type(self), self.requires_grad, plain.device, plain.dtype)  # type: ignore[attr-defined]


def _uninitialized(cls: Any, requires_grad: bool, device: Any, dtype: Any) -> Any:
    return cls(requires_grad, device=device, dtype=dtype)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known yet.

    Args:
        requires_grad: whether gradients are accumulated, later.
        device, dtype: of the parameter to come.
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Tensor._make_subclass(cls, _C.empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """Everything happens in __new__."""


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet; the arguments as of UninitializedParameter."""

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
        **_: Any,
    ) -> Any:
        made = Tensor._make_subclass(cls, _C.empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent = persistent
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """Everything happens in __new__."""


UninitializedBuffer.cls_to_become = Buffer


def is_lazy(value: Any) -> bool:
    """Whether the value is a parameter or buffer without a shape."""
    return isinstance(value, UninitializedTensorMixin)
