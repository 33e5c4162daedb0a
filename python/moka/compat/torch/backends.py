"""torch.backends: which libraries there are, and switches for them that have no effect here."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


def _no(*_: Any) -> bool:
    return False


def _yes(*_: Any) -> bool:
    return True


@contextmanager
def _flags(**_: Any) -> Iterator[None]:
    """A block with other switches of cuDNN, which is not here."""
    yield


cudnn = SimpleNamespace(
    enabled=True,
    benchmark=False,
    deterministic=False,
    allow_tf32=True,
    is_available=_no,
    version=lambda: None,
    flags=_flags,
)
cuda = SimpleNamespace(
    matmul=SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True), is_built=_no
)
mps = SimpleNamespace(is_available=_no, is_built=_no)
mkl = SimpleNamespace(is_available=_no)
mkldnn = SimpleNamespace(is_available=_yes, enabled=True)
openmp = SimpleNamespace(is_available=_yes)
opt_einsum = SimpleNamespace(is_available=_no, enabled=False, strategy=None)
cpu = SimpleNamespace(get_cpu_capability=lambda: "DEFAULT")
