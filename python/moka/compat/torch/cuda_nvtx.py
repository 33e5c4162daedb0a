"""torch.cuda.nvtx and torch.cuda.profiler: marks for NVIDIA's tools, which need CUDA."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .refusing import refused_function

__all__ = [
    "range",
]

_WHY = "this build of Moka has no CUDA, to which these marks belong"

_REFUSED = ("init mark profile range_pop range_push start stop").split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.cuda.{_name}", _WHY)
__all__ += _REFUSED
