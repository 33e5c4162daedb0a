"""Tensors whose memory other processes read and write too: `Tensor.share_memory_`, `Module.share_memory`.

A process that is forked sees the memory; one that is spawned, or that gets the tensor through a queue of
`multiprocessing`, is given the file behind it.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np

from moka import _C, no_grad
from moka._C import Tensor
from moka.nn import Buffer, Parameter

__all__ = ["is_shared", "share"]

_files: dict[int, tuple[int, int]] = {}  # address of the memory -> file descriptor, bytes


def _new_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("moka")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _forget(address: int, descriptor: int) -> None:
    del _files[address]
    os.close(descriptor)


def _mapped(descriptor: int, size: int) -> Tensor:
    """The bytes of the file, which stays open as long as they are in use."""
    memory = mmap.mmap(descriptor, size)
    content = _C.from_numpy(np.frombuffer(memory, dtype=np.uint8))
    _files[content.data_ptr()] = (descriptor, size)
    weakref.finalize(memory, _forget, content.data_ptr(), descriptor)
    return content


def _placed(content: Tensor, like: tuple[Any, ...]) -> Tensor:
    dtype, shape, strides, offset = like
    whole = content[: content.numel() // dtype.itemsize * dtype.itemsize].view(dtype)
    return whole.as_strided(shape, strides, offset)


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset()


def is_shared(tensor: Tensor) -> bool:
    """Whether the tensor lies in memory that `share` made."""
    return tensor.untyped_storage().data_ptr() in _files


def share(tensor: Tensor) -> Tensor:
    """Move the tensor into memory that processes share; gives it back. Views made before keep theirs."""
    if is_shared(tensor):
        return tensor
    with no_grad():
        size = max(tensor.untyped_storage().nbytes(), tensor.dtype.itemsize)
        moved = _placed(_mapped(_new_file(size), size), _layout(tensor))
        moved.copy_(tensor.detach())
        tensor.data = moved
    return tensor


def _rebuilt(kind: type, descriptor: Any, size: int, like: tuple[Any, ...], requires_grad: bool) -> Any:
    made = _placed(_mapped(descriptor.detach(), size), like)
    if kind is Parameter:
        return Parameter(made, requires_grad)
    return Buffer(made) if kind is Buffer else made.requires_grad_(requires_grad)


def _sent(tensor: Tensor) -> Any:
    """How a tensor goes to another process: shared memory as its file, everything else by value."""
    if not is_shared(tensor) or (tensor.requires_grad and not tensor.is_leaf):
        return tensor.__reduce_ex__(2)
    descriptor, size = _files[tensor.untyped_storage().data_ptr()]
    return _rebuilt, (type(tensor), DupFd(descriptor), size, _layout(tensor), tensor.requires_grad)


for _kind in (Tensor, Parameter, Buffer):
    ForkingPickler.register(_kind, _sent)
