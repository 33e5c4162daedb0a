"""Tensors that a module owns: trained ones (Parameter) and state that is not trained (Buffer)."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that a Module registers as one of its trained parameters when it is assigned to an attribute.

    Args:
        data: the initial value; the parameter shares its memory. Without it the parameter is empty.
        requires_grad: whether gradients are accumulated in `.grad`.

    >>> layer.weight = moka.nn.Parameter(moka.zeros(3, 4))
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        source = _C.empty(0) if data is None else data
        if not isinstance(source, Tensor):
            raise TypeError(
                f"Parameter: data must be a Tensor, but {type(source).__name__} came; use moka.tensor(data)"
            )
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
