"""Functions of `torch` itself that check, ask or set something; most have little to do on a CPU without a
compiler.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import builtins
from typing import Any

import moka
from moka import _C, layouts
from moka._C import Tensor, dtype
from moka.overrides import handle_torch_function, has_torch_function_unary

from . import absent_devices, accelerator, cpu, cuda
from .cuda_streams import Event, Stream
from .extension import PyTorchFileReader, PyTorchFileWriter
from .jit_extras import ScriptModule
from .refusing import refused_class

__all__ = [
    "Event",
    "OutOfMemoryError",
    "PyTorchFileReader",
    "PyTorchFileWriter",
    "ScriptModule",
    "Stream",
    "SymBool",
    "SymFloat",
    "SymInt",
    "alert_not_deterministic",
    "get_default_device",
    "get_deterministic_debug_mode",
    "get_device_module",
    "is_contiguous_or_false",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_distributed",
    "is_inference",
    "is_warn_always_enabled",
    "set_deterministic_debug_mode",
    "set_warn_always",
    "sym_float",
    "sym_int",
    "sym_ite",
    "sym_max",
    "sym_min",
    "sym_not",
    "sym_sum",
    "unravel_index",
]


class _MissingType:
    """A type of elements that tensors here never have; for tables of types."""

    is_floating_point, is_complex, is_signed = False, False, True
    __class__ = property(lambda self: dtype)  # for isinstance(x, torch.dtype)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


qint8, quint8, qint32, quint4x2, quint2x4 = map(_MissingType, "qint8 quint8 qint32 quint4x2 quint2x4".split())
legacy_contiguous_format = layouts.contiguous_format

_SYMBOLS = "sizes are plain numbers here, nothing is symbolic"
SymInt = refused_class("torch.SymInt", _SYMBOLS)
SymFloat = refused_class("torch.SymFloat", _SYMBOLS)
SymBool = refused_class("torch.SymBool", _SYMBOLS)
OutOfMemoryError = cuda.OutOfMemoryError

sym_int, sym_float = int, float
sym_max, sym_min = builtins.max, builtins.min
sym_sum = builtins.sum


def sym_not(a: Any) -> bool:
    """not a."""
    return not a


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """t if b else f."""
    return t if b else f


def _check_with(error: type[Exception], condition: Any, message: Any = None) -> None:
    if not isinstance(condition, bool):
        raise TypeError(f"condition must be a bool, but {type(condition).__name__} came")
    if not condition:
        raise error(message() if callable(message) else message or "Expected condition to be True")


def _check(condition: Any, message: Any = None) -> None:
    """Raise RuntimeError unless the condition holds; `message` may be a function."""
    _check_with(RuntimeError, condition, message)


def _check_index(condition: Any, message: Any = None) -> None:
    _check_with(IndexError, condition, message)


def _check_value(condition: Any, message: Any = None) -> None:
    _check_with(ValueError, condition, message)


def _check_type(condition: Any, message: Any = None) -> None:
    _check_with(TypeError, condition, message)


def _check_not_implemented(condition: Any, message: Any = None) -> None:
    _check_with(NotImplementedError, condition, message)


def _check_is_size(i: Any, message: Any = None, *, max: Any = None) -> None:
    _check_with(RuntimeError, i >= 0, message)


def _check_tensor_all_with(error: type[Exception], condition: Tensor, message: Any = None) -> None:
    _check_with(error, bool(condition.all().item()), message)


def _check_tensor_all(condition: Tensor, message: Any = None) -> None:
    _check_tensor_all_with(RuntimeError, condition, message)


def _assert(condition: Any, message: str) -> Any:
    """An assertion that a trace may see."""
    if type(condition) is not bool and has_torch_function_unary(condition):
        return handle_torch_function(_assert, (condition,), condition, message)
    assert condition, message


def _assert_async(condition: Tensor, message: str = "Expected Tensor with single nonzero value") -> None:
    if not bool(condition):
        raise RuntimeError(message)


def _shape_as_tensor(input: Tensor) -> Tensor:
    return _C.tensor(list(input.shape), dtype=_C.int64)


def _softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of softmax from its result."""
    product = grad_output * output
    return (product - output * product.sum(dim, keepdim=True)).to(input_dtype)


def _sample_dirichlet(concentration: Tensor, generator: Any = None) -> Tensor:
    """Numbers that add up to 1 along the last dimension, drawn by Dirichlet's distribution."""
    drawn = _C._standard_gamma(concentration, generator)
    return drawn / drawn.sum(-1, keepdim=True)


def get_default_device() -> Any:
    """Where tensors that name no device are made."""
    return _C._default_device()


def get_device_module(device: Any = None) -> Any:
    """The module of a kind of device: torch.cpu, torch.cuda, ..."""
    kind = "cpu" if device is None else _C.device(device).type if isinstance(device, str) else device.type
    modules = {"cpu": cpu, "cuda": cuda, "accelerator": accelerator}
    modules |= {"mps": absent_devices, "xpu": absent_devices}
    if kind not in modules:
        raise RuntimeError(f"get_device_module: there is no module for devices of type {kind!r}")
    return modules[kind]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: nothing would be warned of."""
    return False


def get_deterministic_debug_mode() -> int:
    """0, or 2 after use_deterministic_algorithms(True)."""
    from .root import are_deterministic_algorithms_enabled

    return 2 if are_deterministic_algorithms_enabled() else 0


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """use_deterministic_algorithms under numbers and words."""
    from .root import use_deterministic_algorithms

    known: dict[Any, bool] = {0: False, 1: True, 2: True, "default": False, "warn": True, "error": True}
    if debug_mode not in known:
        raise RuntimeError(
            "set_deterministic_debug_mode: 'default', 'warn' or 'error' (0, 1, 2) is needed, but "
            f"{debug_mode!r} came"
        )
    use_deterministic_algorithms(known[debug_mode])


def alert_not_deterministic(caller: str) -> None:
    """Nothing: with the same number of threads results have the same bits."""


def set_warn_always(b: bool) -> None:
    """Noted for is_warn_always_enabled; how often a warning shows is for Python's filters to say."""
    _warn_always[0] = b


_warn_always = [False]


def is_warn_always_enabled() -> bool:
    """What set_warn_always was given last."""
    return _warn_always[0]


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference_mode()."""
    return input.is_inference()


def is_distributed(input: Tensor) -> bool:
    """False."""
    return False


def is_contiguous_or_false(a: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie one after the other."""
    return a.is_contiguous() if memory_format is None else a.is_contiguous(memory_format=memory_format)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Flat indices as one tensor of indices for each dimension of `shape`."""
    if not isinstance(indices, Tensor) or indices.dtype.is_floating_point or indices.dtype == _C.bool:
        raise TypeError("unravel_index: indices must be a tensor of integers")
    sizes = [int(shape)] if isinstance(shape, int) else [int(size) for size in shape]
    found = []
    for size in reversed(sizes):
        found.append(indices % size)
        indices = moka.div(indices, size, rounding_mode="floor")
    return tuple(reversed(found))
