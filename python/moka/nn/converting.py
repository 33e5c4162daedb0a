"""Moving and converting a module: every parameter and buffer in place."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

__all__ = [
    "Converting",
    "get_overwrite_module_params_on_conversion",
    "set_overwrite_module_params_on_conversion",
]

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


_overwrite = [False]  # whether conversions make new Parameters


def get_overwrite_module_params_on_conversion() -> bool:
    """Whether Module.to and its like put new Parameters in the place of those there were."""
    return _overwrite[0]


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Say whether Module.to and its like put new Parameters in the place of those there were (False at the
    start: the same Parameters show converted memory).
    """
    _overwrite[0] = value


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
        tensor: Tensor | None = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: Any = None,
    ) -> Self:
        """Move and convert parameters and buffers in place; a dtype applies to floating-point tensors only.

        Accepts `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other_tensor)` and `to(memory_format=...)`
        (for tensors with 4 or 5 dimensions); returns self.
        """
        if copy:
            raise RuntimeError("Module.to: copy is for tensors; a module is converted in place")
        rest = list(args)
        if rest and isinstance(rest[0], Tensor):
            tensor = rest.pop(0)
        elif rest and isinstance(rest[0], _C.dtype):
            dtype = rest.pop(0)
        elif rest:
            device = rest.pop(0)
            if not (device is None or isinstance(device, (str, int, _C.device))) or isinstance(device, bool):
                raise TypeError(
                    f"Module.to: a device, a dtype or a Tensor is needed, but {type(device).__name__} came"
                )
            if rest:
                dtype = rest.pop(0)
                if not (dtype is None or isinstance(dtype, _C.dtype)):
                    raise TypeError(f"Module.to: a dtype is needed after the device, but {dtype!r:.40} came")
        if len(rest) > 1 or any(not isinstance(value, bool) for value in rest):
            raise TypeError(f"Module.to: only non_blocking may follow, but {rest!r:.60} came")
        if tensor is not None:
            dtype, device = tensor.dtype, tensor.device
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"Module.to: dtype must be floating point or complex, but {dtype} came")
        if dtype is not None and dtype.is_complex:
            warnings.warn(
                "Complex modules are a new feature: a layer may not yet take complex parameters",
                stacklevel=2,
            )

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
        return self._apply(lambda tensor: _C.empty_like(tensor, device=device), recurse)

    def share_memory(self: Self) -> Self:
        """Move parameters and buffers into memory that processes share; returns self."""
        return self._apply(lambda tensor: tensor.share_memory_())

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        once = fn if isinstance(fn, _Once) else _Once(fn)
        if recurse:
            for module in self.children():
                module._apply(once)
        with no_grad():
            for name, parameter in list(self._parameters.items()):
                if parameter is None:
                    continue
                if id(parameter) in once.done:
                    self._parameters[name] = once.done[id(parameter)][1]
                    continue
                given = parameter
                gradient = parameter.grad
                parameter.grad = None
                changed = once.convert(parameter)
                if gradient is not None:
                    gradient = once.convert(gradient).requires_grad_(gradient.requires_grad)
                if _overwrite[0] and changed is not parameter:
                    self._parameters[name] = parameter = Parameter(changed, parameter.requires_grad)
                elif changed is not parameter:
                    parameter.data = changed
                parameter.grad = gradient
                once.done[id(given)] = (given, parameter)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = once(buffer)
        return self
