"""torch.profiler and torch.autograd.profiler: moka.profiler with PyTorch's names of operators."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import profiler as _profiler
from moka.profiler import *  # noqa: F403
from moka.profiler.events import Interval as Interval

__all__ = [
    *(name for name in _profiler.__all__ if name not in ("machine_limits", "write_trace")),
    *("Interval", "emit_itt", "emit_nvtx", "kineto_available"),
]


class profile(_profiler.profile):
    """moka.profiler.profile with names such as "aten::add"."""

    _prefix = "aten::"


_KinetoProfile = profile


def kineto_available() -> bool:
    """Profiles watch operators."""
    return True


class emit_nvtx:
    """Refused: marks for NVIDIA's tools need CUDA."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("torch.autograd.profiler.emit_nvtx: this build of Moka has no CUDA")


class emit_itt:
    """Refused: marks for Intel's tools need their library."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("torch.autograd.profiler.emit_itt: this build of Moka has no ITT")
