"""Tensors and arrays of other libraries on one memory, by DLPack and NumPy; methods that keep the object."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _C
from ._C import Tensor

__all__ = ["from_dlpack", "install"]

_CPU = (1, 0)  # kDLCPU and its index


def _exported(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """The tensor as a DLPack capsule on the same memory, or with `copy=True` on memory of its own."""
    if self.requires_grad:
        raise BufferError(
            "__dlpack__: a tensor that requires grad cannot leave the tape; use detach().__dlpack__()"
        )
    if stream is not None and type(stream) is not int:
        raise TypeError(f"__dlpack__: stream must be int or None, got {type(stream).__name__}")
    if stream not in (None, -1):
        raise BufferError(f"__dlpack__: memory of the CPU has no streams, got stream={stream!r}")
    if dl_device is not None and tuple(dl_device) != _CPU:
        raise BufferError(f"__dlpack__: the tensor lives on the CPU, asked for device {tuple(dl_device)}")
    tensor = self.clone() if copy else self
    return _C._to_dlpack(tensor, bool(max_version and max_version[0] >= 1), bool(copy))


def _device(self: Tensor) -> tuple[int, int]:
    return _CPU


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of any object with `__dlpack__`, or of a DLPack capsule.

    `copy=True` always copies, `copy=False` is an error where a copy would be needed.
    """
    if device is not None and str(_C.device(device) if isinstance(device, str) else device) != "cpu":
        raise BufferError(f"from_dlpack: this build has no device {device}")
    if not hasattr(ext_tensor, "__dlpack__"):
        tensor = _C._from_dlpack(ext_tensor)
        return tensor.clone() if copy else tensor
    kind = ext_tensor.__dlpack_device__()[0] if hasattr(ext_tensor, "__dlpack_device__") else 1
    if kind != _CPU[0]:
        raise BufferError(f"from_dlpack: the array lives on DLPack device type {int(kind)}, not on the CPU")
    try:
        capsule = ext_tensor.__dlpack__(max_version=(1, 0), copy=copy)
    except TypeError:  # written before DLPack 1.0
        tensor = _C._from_dlpack(ext_tensor.__dlpack__())
        return tensor.clone() if copy else tensor
    return _C._from_dlpack(capsule)


def _interface(self: Tensor) -> dict[str, Any]:
    """NumPy's array interface, version 3: a description of the memory."""
    if self.requires_grad:
        raise RuntimeError("__array_interface__: the tensor requires grad; use detach()")
    return self.numpy().__array_interface__


def _keeping(name: str, of: str) -> Callable[..., Tensor]:
    """The method `name`: the tensor itself shows from then on what the method `of` makes of it."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        _C._become(self, getattr(self, of)(*args, **kwargs), name)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{of}() in place: the tensor itself shows the result from then on."
    return method


def _resize_(self: Tensor, *sizes: Any, memory_format: str | None = None) -> Tensor:
    """Sets the size; new elements are not initialised. The memory grows where it must."""
    if len(sizes) == 1 and not isinstance(sizes[0], int):
        sizes = tuple(sizes[0])
    _C._resize(self, [int(s) for s in sizes], memory_format)
    return self


def _is_contiguous(self: Tensor, memory_format: str | None = None) -> bool:
    """Whether the elements lie in order, or as the memory format says."""
    if memory_format is None:
        return _plain_is_contiguous(self)
    return _C._is_in_format(self, memory_format)


_plain_is_contiguous = Tensor.is_contiguous


def install() -> None:
    """Add the methods to the extension's class."""
    for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "as_strided"):
        setattr(Tensor, name + "_", _keeping(name + "_", name))
    Tensor.resize_ = _resize_
    Tensor.is_contiguous = _is_contiguous
    Tensor.__dlpack__ = _exported
    Tensor.__dlpack_device__ = _device
    Tensor.__array_interface__ = property(_interface)
    Tensor.__array_priority__ = 1000  # NumPy leaves operators with tensors to them
