"""Moving and converting a module: every parameter and buffer in place."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

if TYPE_CHECKING:
    from .module import Module

__all__ = ["Converting"]

Self = TypeVar("Self", bound="Converting")


class _Once:
    """A conversion that gives one result for a buffer that several modules share."""

    def __init__(self, convert: Callable[[Tensor], Tensor]) -> None:
        self.convert = convert
        self.done: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self.done:
            self.done[id(tensor)] = (tensor, self.convert(tensor))
        return self.done[id(tensor)][1]


class Converting:
    """The part of Module that changes where its tensors are and what type they have."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Tensor | None]

    if TYPE_CHECKING:

        def children(self) -> Iterator[Module]: ...

    def to(
        self: Self,
        *args: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Self:
        """Move and convert parameters and buffers in place; a dtype applies to floating-point tensors only.

        Accepts `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other_tensor)` and `to(memory_format=...)`
        (for tensors with 4 or 5 dimensions); returns self.
        """
        for value in args:
            if isinstance(value, Tensor):
                dtype, device = value.dtype, value.device
            elif isinstance(value, _C.dtype):
                dtype = value
            elif isinstance(value, bool):
                continue  # non_blocking: copies are done when to() returns
            elif type(value).__name__ == "memory_format":
                memory_format = value
            elif value is not None:
                device = value
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"Module.to: dtype must be floating point or complex, but {dtype} came")

        def convert(tensor: Tensor) -> Tensor:
            wanted = dtype if tensor.dtype.is_floating_point or tensor.dtype.is_complex else None
            if device is not None:
                tensor = tensor.to(device)
            if wanted is not None:
                tensor = tensor.to(wanted)
            if memory_format is not None and tensor.dim() in (4, 5):
                tensor = tensor.contiguous(memory_format=memory_format)
            return tensor

        return self._apply(convert)

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a type; returns self."""
        if isinstance(dst_type, str):
            dst_type = getattr(_C, dst_type.rpartition(".")[2])
        dst_type = getattr(dst_type, "dtype", dst_type)  # torch.FloatTensor and the like
        return self._apply(lambda tensor: tensor.to(dst_type))

    def float(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float32; returns self."""
        return self.to(_C.float32)

    def double(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float64; returns self."""
        return self.to(_C.float64)

    def half(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float16; returns self."""
        return self.to(_C.float16)

    def bfloat16(self: Self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16; returns self."""
        return self.to(_C.bfloat16)

    def cpu(self: Self) -> Self:
        """Move parameters and buffers to the CPU; returns self."""
        return self.to("cpu")

    def cuda(self: Self, device: Any = None) -> Self:
        """Move parameters and buffers to a CUDA device; returns self."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def to_empty(self: Self, *, device: Any, recurse: bool = True) -> Self:
        """Fresh memory of the same shapes on `device`, values undefined; returns self."""
        return self._apply(lambda tensor: _C.empty_like(tensor).to(device), recurse)

    def share_memory(self: Self) -> Self:
        """Nothing to do: loaders and trainers here share memory through threads; returns self."""
        return self

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        once = fn if isinstance(fn, _Once) else _Once(fn)
        if recurse:
            for module in self.children():
                module._apply(once)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is None or id(parameter) in once.done:
                    continue
                once.done[id(parameter)] = (parameter, parameter)
                gradient = parameter.grad
                parameter.grad = None
                parameter.data = once.convert(parameter.data)
                if gradient is not None:
                    parameter.grad = once.convert(gradient)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = once(buffer)
        return self
