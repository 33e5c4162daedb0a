"""torch._C: the few names of torch's extension that Python programs read."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import enum
from contextlib import nullcontext
from typing import Any

from moka import _C
from moka._C import Generator, Size, Tensor, device, dtype
from moka.amp import autocast
from moka.overrides import DisableTorchFunctionSubclass, _modes, disabled_torch_function_impl

from .futures import Future
from .jit_extras import CompilationUnit, ScriptModule
from .refusing import refused_class
from .traced_modules import ScriptFunction

__all__ = [
    "CompilationUnit",
    "DispatchKey",
    "DispatchKeySet",
    "Future",
    "Generator",
    "ScriptFunction",
    "ScriptModule",
    "Size",
    "Tensor",
    "TensorBase",
    "device",
    "dtype",
    "layout",
    "memory_format",
]



def _len_torch_function_stack() -> int:
    """How many TorchFunctionModes are active."""
    return len(_modes.stack)


def _is_torch_function_mode_enabled() -> bool:
    """Whether one is."""
    return bool(_modes.stack)


TensorBase = Tensor
layout = type(getattr(_C, "strided", None))
memory_format = type(getattr(_C, "contiguous_format", None))
_TensorMeta = type(Tensor)
_TensorBase = Tensor
Graph = type("Graph", (), {"__doc__": "The type of TorchScript's graphs; there are none."})
Node = type("Node", (), {"__doc__": "The type of TorchScript's nodes; there are none."})
Value = type("Value", (), {"__doc__": "The type of TorchScript's values; there are none."})
has_cuda = has_mkl = has_lapack = False
has_openmp = True
is_grad_enabled, is_inference_mode_enabled = _C.is_grad_enabled, _C.is_inference_mode_enabled


class DispatchKey(enum.Enum):
    """Layers that torch runs operators through; only autocast's can be left out here."""

    CPU = "CPU"
    CUDA = "CUDA"
    XPU = "XPU"
    Meta = "Meta"
    Autograd = "Autograd"
    AutogradCPU = "AutogradCPU"
    AutogradCUDA = "AutogradCUDA"
    AutocastCPU = "AutocastCPU"
    AutocastCUDA = "AutocastCUDA"
    AutocastXPU = "AutocastXPU"
    CompositeExplicitAutograd = "CompositeExplicitAutograd"
    CompositeImplicitAutograd = "CompositeImplicitAutograd"
    Python = "Python"
    PythonDispatcher = "PythonDispatcher"


class DispatchKeySet:
    """Some of those layers."""

    def __init__(self, *keys: DispatchKey) -> None:
        self.keys = frozenset(keys)

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*(self.keys | other.keys))

    def __sub__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*(self.keys - other.keys))

    def has(self, key: DispatchKey) -> bool:
        """Whether it is one of them."""
        return key in self.keys


class _ExcludeDispatchKeyGuard:
    """The block leaves these layers out; autocast is the one that can be."""

    def __init__(self, keys: DispatchKeySet) -> None:
        off = keys.has(DispatchKey.AutocastCPU)
        self._inside: Any = autocast("cpu", enabled=False) if off else nullcontext()

    def __enter__(self) -> None:
        self._inside.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._inside.__exit__(*exception)


def _get_tracing_state() -> Any:
    """Something while moka.jit.trace records, otherwise None."""
    return True if _C._is_tracing() else None


def _are_functorch_transforms_active() -> bool:
    """Whether vmap runs."""
    return _C._batch_levels() > 0 if hasattr(_C, "_batch_levels") else False


PyTorchFileReader = refused_class("torch._C.PyTorchFileReader", "torch.load reads files of torch")
PyTorchFileWriter = refused_class("torch._C.PyTorchFileWriter", "torch.save writes files of torch")


def _log_api_usage_once(*_: Any) -> None:
    """Nothing is logged."""


_disabled_torch_function_impl = disabled_torch_function_impl
DisableTorchFunction = DisableTorchFunctionSubclass


def _is_torch_function_enabled() -> bool:
    return not _C._overrides_disabled()


def _get_cublas_allow_tf32() -> bool:
    return False


def _cuda_getDeviceCount() -> int:
    return 0


def _cuda_clearCublasWorkspaces() -> None:
    """Nothing: there is no CUDA."""


def _has_mkldnn() -> bool:
    return True


def _jit_set_profiling_executor(value: bool) -> bool:
    """Nothing: graphs are compiled when they are made."""
    return value


_jit_set_profiling_mode = _jit_override_can_fuse_on_cpu = _jit_set_profiling_executor
_jit_override_can_fuse_on_gpu = _jit_set_profiling_executor
_jit_set_texpr_fuser_enabled = _jit_set_nvfuser_enabled = _debug_set_autodiff_subgraph_inlining = (
    _jit_set_profiling_executor
)


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """What `Tensor.to(...)` was asked for: device, dtype, non_blocking, memory_format."""
    found: dict[str, Any] = {"device": None, "dtype": None, "non_blocking": False, "memory_format": None}
    found.update((key, value) for key, value in kwargs.items() if key in found)
    for value in args:
        if isinstance(value, Tensor):
            found["device"], found["dtype"] = value.device, value.dtype
        elif isinstance(value, _C.dtype):
            found["dtype"] = value
        elif isinstance(value, bool):
            found["non_blocking"] = value
        else:
            found["device"] = value
    if isinstance(found["device"], (str, int)):
        found["device"] = _C.device(found["device"])
    return tuple(found.values())  # type: ignore[return-value]
