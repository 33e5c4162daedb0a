"""torch.backends: which libraries there are, and switches for them that have no effect here."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from .refusing import refused_class

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


def _no(*_: Any) -> bool:
    return False


def _yes(*_: Any) -> bool:
    return True


def _flags_of(namespace: SimpleNamespace) -> Any:
    """A context in which switches have other values; None leaves one as it is."""

    @contextmanager
    def flags(**switches: Any) -> Iterator[None]:
        before = dict(vars(namespace))
        for name, value in switches.items():
            if not hasattr(namespace, name):
                raise TypeError(f"flags() got an unexpected keyword argument {name!r}")
            if value is not None:
                setattr(namespace, name, value)
        try:
            yield
        finally:
            vars(namespace).update(before)

    return flags


cudnn = SimpleNamespace(
    enabled=True,
    benchmark=False,
    benchmark_limit=10,
    deterministic=False,
    allow_tf32=True,
    is_available=_no,
    version=lambda: None,
)
cuda = SimpleNamespace(
    matmul=SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True),
    is_built=_no,
    preferred_linalg_library=lambda backend=None: "default",
)
_KERNELS = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def _kernel_switches() -> None:
    """Which kernels attention may use on CUDA: kept, and without effect."""

    def switch(name: str) -> Any:
        return lambda enabled: _KERNELS.update({name: bool(enabled)})

    def asked(name: str) -> Any:
        return lambda: _KERNELS[name]

    for name in _KERNELS:
        setattr(cuda, f"enable_{name}_sdp", switch(name))
        setattr(cuda, f"{name}_sdp_enabled", asked(name))


@contextmanager
def _sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """A block in which the switches are these."""
    before = dict(_KERNELS)
    _KERNELS.update(
        flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn
    )
    try:
        yield
    finally:
        _KERNELS.update(before)


_kernel_switches()
cuda.sdp_kernel = _sdp_kernel
cuda.is_flash_attention_available = _no
cuda.can_use_flash_attention = cuda.can_use_efficient_attention = cuda.can_use_cudnn_attention = _no
cuda.SDPAParams = refused_class("torch.backends.cuda.SDPAParams", "there are no kernels of CUDA to ask for")
cuda.preferred_linalg_library = cuda.preferred_blas_library = lambda backend=None: "default"
mps = SimpleNamespace(is_available=_no, is_built=_no)
mkl = SimpleNamespace(is_available=_no)
mkldnn = SimpleNamespace(is_available=_yes, enabled=True, deterministic=False, allow_tf32=True)
openmp = SimpleNamespace(is_available=_yes)
opt_einsum = SimpleNamespace(is_available=_no, enabled=False, strategy=None)
for _library in (cudnn, mkldnn):
    _library.flags = _flags_of(_library)
cpu = SimpleNamespace(get_cpu_capability=lambda: "DEFAULT")
