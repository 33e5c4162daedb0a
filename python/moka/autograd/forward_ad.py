"""Forward mode: tensors that carry a tangent, and results that carry theirs.

>>> with forward_ad.dual_level():
...     x = forward_ad.make_dual(primal, tangent)
...     y, derivative = forward_ad.unpack_dual(f(x))
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from moka import _C
from moka._C import Tensor

from .modes import _Mode

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class _Open(threading.local):
    """The level of this thread's dual_level; 0 where there is none."""

    level = 0


_open = _Open()


def __getattr__(name: str) -> int:
    if name == "_current_level":  # PyTorch's name for it
        return 0 if _open.level else -1
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, None where it has none."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Open the level of forward mode; there is one, in which tangents are not differentiated themselves.

    Raises:
        RuntimeError: it is open. moka.func.jvp nests.
    """
    if _open.level:
        raise RuntimeError("Nested forward mode AD is not supported at the moment; moka.func.jvp nests")
    _open.level = _C._forward_open()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level. Tensors lose their tangents."""
    if not _open.level:
        raise RuntimeError("Trying to exit a forward AD level but no level exists")
    if level not in (None, 0):
        raise RuntimeError(
            f"Trying to exit a forward AD level that was not the last one that was created: the level is 0, "
            f"got {level}"
        )
    if _open.level != _C._forward_levels():
        raise RuntimeError("exit_dual_level: moka.func.jvp has opened levels inside, which must end first")
    _C._forward_close()
    _open.level = 0


class dual_level(_Mode):
    """The level of forward mode as a context manager."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


def _level(level: int | None) -> int:
    if level is not None and level > 0:
        raise RuntimeError(f"forward mode: there is only level 0, got {level}")
    return 0 if level is not None and level < 0 else _open.level


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` with a tangent of its shape and type: the same memory, and the same place in the tape.

    Raises:
        RuntimeError: no level is open, shapes or types differ, or the tensor has a tangent already.
        ValueError: one of them is neither floating nor complex.
    """
    at = _level(level)
    if not at:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    return _dual("make_dual", tensor, tangent, at)


def _dual(name: str, tensor: Any, tangent: Any, level: int) -> Tensor:
    for what, value in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected the {what} to be a Tensor, got {type(value).__name__}")
        if not (value.is_floating_point() or value.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {value.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            f"Trying to set a forward gradient that has a different size than that of the original Tensor, "
            f"this is not supported. Tensor is of size {list(tensor.shape)} while the given forward gradient "
            f"is of size {list(tangent.shape)}."
        )
    if tensor.dtype != tangent.dtype:
        raise RuntimeError(
            f"Expected the tangent to have the type of its primal, {tensor.dtype}, but got {tangent.dtype}"
        )
    if _C._tangent(tangent, level) is not None:
        raise RuntimeError(
            f"{name}: the tangent has a tangent itself: Trying to set as a forward gradient a "
            "Tensor that has a forward "
            f"gradient at the same level"
        )
    return _C._make_dual(tensor, tangent, level)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent."""
    at = _level(level)
    if not at:
        return UnpackedDualTensor(tensor, None)
    tangent = _C._tangent(tensor, at)
    return UnpackedDualTensor(tensor if tangent is None else _C._without_tangent(tensor, at), tangent)


class _set_fwd_grad_enabled(_Mode):
    """Whether operations give their results tangents; at once, and back at the end of the block."""

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before = _C._set_forward_enabled(self._mode)

    def _again(self) -> _set_fwd_grad_enabled:
        return _set_fwd_grad_enabled(self._mode)

    def __enter__(self) -> None:
        _C._set_forward_enabled(self._mode)

    def __exit__(self, *exception: object) -> None:
        _C._set_forward_enabled(self._before)


set_forward_grad_enabled = _set_fwd_grad_enabled
