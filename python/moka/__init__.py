"""Moka: tensors, operators, gradients, networks, graphs and models, with the names of the torch API."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from . import _C
from . import aliases as _aliases
from . import autograd as autograd
from . import call_forms as _call_forms
from . import exchange as _exchange
from . import layouts as _layouts
from . import numeric_types as _numeric_types
from . import statistics as _statistics
from . import tensor_methods as _tensor_methods
from . import tensor_questions as _tensor_questions
from . import view_copies as _view_copies
from ._C import *  # noqa: F403
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .call_forms import *  # noqa: F403
from .creation import arange as arange
from .creation import asarray as asarray
from .creation import frombuffer as frombuffer
from .creation import linspace as linspace
from .creation import logspace as logspace
from .creation import randint as randint
from .exchange import from_dlpack as from_dlpack
from .layouts import *  # noqa: F403
from .numeric_types import *  # noqa: F403

# Loaded when first used, so that `import moka` stays fast: name -> (module, name in it, or "" for the
# module).
_LAZY = {
    **{name: (f"moka.{name}", "") for name in ("amp", "array_api", "caffe2", "coverage", "data")},
    **{name: (f"moka.{name}", "") for name in ("distributions", "fft", "func", "jit", "linalg", "nn")},
    **{name: (f"moka.{name}", "") for name in ("export", "onnx", "optim", "random", "safetensors", "signal")},
    "quasirandom": ("moka.quasirandom", ""),
    **{name: (f"moka.{name}", "") for name in ("distributed", "sparse", "special", "testing", "utils")},
    "profiler": ("moka.profiler", ""),
    "profile": ("moka.profiler", "write_trace"),
    **{name: ("moka.written_functions", name) for name in ("constant_pad_nd", "frexp", "from_file")},
    **{name: ("moka.written_functions", name) for name in ("grid_sampler", "pairwise_distance")},
    **{name: ("moka.low_rank", name) for name in ("nuclear_norm", "pca_lowrank", "svd_lowrank")},
    "segment_reduce": ("moka.written_functions", "segment_reduce"),
    **{name: ("moka.linalg", name) for name in ("chain_matmul", "einsum", "tensordot")},
    "autocast": ("moka.amp", "autocast"),
    "histogram": ("moka.histograms", "histogram"),
    "histogramdd": ("moka.histograms", "histogramdd"),
    "lu": ("moka.linalg", "_packed_lu"),
    "vmap": ("moka.func", "vmap"),
    "load": ("moka.checkpoint", "load"),
    "range": ("moka.creation", "range_"),
    "progress": ("moka.progress_bar", "progress"),
    "save": ("moka.checkpoint", "save"),
    "set_printoptions": ("moka.tensor_text", "set_printoptions"),
}

if TYPE_CHECKING:
    from . import amp as amp
    from . import data as data
    from . import export as export
    from . import jit as jit
    from . import nn as nn
    from . import onnx as onnx
    from . import optim as optim
    from . import quasirandom as quasirandom
    from . import safetensors as safetensors
    from . import special as special
    from . import utils as utils
    from .checkpoint import load as load
    from .checkpoint import save as save
    from .progress_bar import progress as progress
    from .tensor_text import set_printoptions as set_printoptions

_tensor_methods.install()
_call_forms.install()
_exchange.install()
_aliases.install(_sys.modules[__name__])
_statistics.install(_sys.modules[__name__])
_tensor_questions.install(_sys.modules[__name__])
_view_copies.install(_sys.modules[__name__])
# Frames inside this folder are not where a program's operations come from.
_C._set_package_folder(__file__.rpartition("/")[0] + "/")

__version__: str = _C.__version__
__all__ = sorted(
    {name for name in dir(_C) if not name.startswith("_")}
    | set(_LAZY)
    | {name for name in _aliases.ALIASES if name in globals()}
    | set(_statistics.__all__)
    | set(_tensor_questions.__all__)
    | set(_view_copies.__all__)
    | {"__version__", "autograd", "enable_grad", "get_rng_state", "inference_mode", "no_grad"}
    | {"set_grad_enabled", "set_rng_state"}
    | {"from_dlpack", "frombuffer", "set_printoptions"}
    | set(_call_forms.__all__)
    | set(_layouts.__all__)
    | set(_numeric_types.__all__)
)


def get_rng_state() -> _Any:
    """The state of the default random stream, as plain data: save it to go on with the same numbers later."""
    return _C.default_generator.get_state()


def set_rng_state(state: _Any) -> None:
    """Make the default random stream go on from a state of get_rng_state()."""
    if not isinstance(state, _C.Tensor) and (not isinstance(state, (tuple, list)) or len(state) != 2):
        raise TypeError(f"set_rng_state: a state of get_rng_state() is needed, but {state!r:.40} came")
    _C.default_generator.set_state(state if isinstance(state, _C.Tensor) else tuple(state))


def __getattr__(name: str) -> _Any:
    place = _LAZY.get(name)
    if place is None:
        from .missing import MissingName

        text = f"module 'moka' has no attribute {name!r}"
        raise MissingName(text, name, "; did you mean moka.{}?", lambda: __all__)
    module = _import_module(place[0])
    value = getattr(module, place[1]) if place[1] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
