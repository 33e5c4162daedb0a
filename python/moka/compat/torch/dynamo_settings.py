"""torch._dynamo.config and torch._inductor.config: any setting can be read and written, and changes
nothing.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["patch"]

cache_size_limit = 8
recompile_limit = 8
suppress_errors = False
optimize_ddp = True
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
verbose = False
force_parameter_static_shapes = True
allow_unspec_int_on_nn_module = False
inline_inbuilt_nn_modules = True
coordinate_descent_tuning = False
fx_graph_cache = False


def patch(*_: Any, **__: Any) -> AbstractContextManager[None]:
    """A block that changes nothing."""
    return nullcontext()
