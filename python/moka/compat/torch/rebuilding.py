"""torch._utils: how pickles of tensors are put together, and small helpers that packages import."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.nn import Parameter

__all__ = ["ExceptionWrapper", "render_call"]


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    return Parameter(data, requires_grad)


def _rebuild_tensor(storage: Any, storage_offset: int, size: Any, stride: Any) -> Tensor:
    return _C.as_strided(storage._flat(), size, stride, storage_offset)


def _rebuild_tensor_v2(
    storage: Any,
    storage_offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    return _rebuild_tensor(storage, storage_offset, size, stride).requires_grad_(requires_grad)


def _rebuild_meta_tensor_no_storage(dtype: Any, size: Any, stride: Any, requires_grad: bool) -> Tensor:
    return _C.empty_strided(size, stride, dtype=dtype, device="meta").requires_grad_(requires_grad)


def _rebuild_tensor_v3(
    storage: Any,
    storage_offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    flat = storage._flat().view(dtype)
    return _C.as_strided(flat, size, stride, storage_offset).requires_grad_(requires_grad)


def _rebuild_parameter_with_state(
    data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any
) -> Parameter:
    made = Parameter(data, requires_grad)
    made.__dict__.update(state)
    return made


def _rebuild_from_type_v2(func: Any, new_type: type, args: Any, state: Any) -> Any:
    made = func(*args)
    if type(made) is not new_type:
        made = made.as_subclass(new_type)
    if isinstance(state, tuple):  # attributes and values of slots
        state = {**(state[0] or {}), **(state[1] or {})}
    for name, value in (state or {}).items():
        setattr(made, name, value)
    return made


def _element_size(dtype: Any) -> int:
    return dtype.itemsize


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    if isinstance(device, int):
        return device
    if device is None and optional:
        return -1
    kind = _C.device(device) if isinstance(device, str) else device
    if kind is not None and kind.type == "cpu" and allow_cpu:
        return -1
    raise ValueError(f"a CUDA device is needed, but {device!r} came")


def _get_all_device_indices() -> list[int]:
    return []


def _get_available_device_type() -> None:
    return None


def _get_device_module(device_type: str) -> Any:
    from .root_switches import get_device_module

    return get_device_module(device_type)


def _flatten_dense_tensors(tensors: Iterable[Tensor]) -> Tensor:
    return _C.cat([tensor.contiguous().view(-1) for tensor in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    parts, place = [], 0
    for tensor in tensors:
        parts.append(flat[place : place + tensor.numel()].view(tensor.shape))
        place += tensor.numel()
    return tuple(parts)


def _take_tensors(tensors: Iterable[Tensor], size_limit: int) -> Iterable[list[Tensor]]:
    """Neighbours of one dtype, up to so many bytes together."""
    part: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bytes_ = tensor.numel() * tensor.element_size()
        if part and (size + bytes_ > size_limit or part[0].dtype != tensor.dtype):
            yield part
            part, size = [], 0
        part.append(tensor)
        size += bytes_
    if part:
        yield part


class ExceptionWrapper:
    """An error caught in one thread, to be raised in another."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        import sys

        kind, value, trace = exc_info or sys.exc_info()
        self.exc_type, self.where = kind, where
        self.exc_msg = "".join(traceback.format_exception(kind, value, trace))

    def reraise(self) -> None:
        """Raise it, with the text of the first traceback."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        try:
            error = self.exc_type(message)
        except TypeError:
            error = RuntimeError(message)
        raise error


def render_call(fn: Any, args: Any, kwargs: Any) -> str:
    """The text of a call."""
    words = [repr(value) for value in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    return f"{getattr(fn, '__name__', fn)}({', '.join(words)})"
