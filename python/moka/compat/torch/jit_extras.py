"""Names of torch.jit that only mark code for a compiler of Python, which is not here: they change nothing.

`script` gives its argument back, to be run by Python, as torch does under PYTORCH_JIT=0.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar
from typing import Dict as Dict  # noqa: UP035
from typing import List as List  # noqa: UP035
from typing import Optional as Optional
from typing import Tuple as Tuple  # noqa: UP035

from moka.nn import Module
from moka.nn.parameter import is_lazy

from .refusing import refused_class

__all__ = [
    "Attribute",
    "CompilationUnit",
    "Error",
    "Final",
    "RecursiveScriptModule",
    "ScriptModule",
    "ScriptWarning",
    "TracerWarning",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "fuser",
    "ignore",
    "interface",
    "is_scripting",
    "isinstance",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "optimized_execution",
    "run_frozen_optimizations",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "strict_fusion",
    "unused",
    "wait",
]

_NONE = "Moka compiles no Python code; use torch.jit.trace, which records a run as a graph"
_T = TypeVar("_T")
_isinstance = isinstance

BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = list
CompilationUnit = refused_class("torch.jit.CompilationUnit", _NONE)


class Error(RuntimeError):
    """An error of a compiled function; there are none."""


class TracerWarning(Warning):
    """A warning of jit.trace."""


class ScriptWarning(Warning):
    """A warning of jit.script."""


class ScriptModule(Module):
    """A Module whose methods are marked for a compiler; Python runs them."""


class RecursiveScriptModule(ScriptModule):
    """The type of compiled modules; there are none."""


class Attribute:
    """A value with a type for a compiler; only `value` matters here."""

    def __init__(self, value: Any, type: Any) -> None:
        self.value, self.type = value, type


def script(
    obj: _T,
    optimize: Any = None,
    _frames_up: int = 0,
    _rcb: Any = None,
    example_inputs: Any = None,
) -> _T:
    """The function, class or Module itself: Python runs it. A lazy module has to have run before."""
    for module in obj.modules() if _isinstance(obj, Module) else ():
        waiting = [name for name, value in module._parameters.items() if is_lazy(value)]
        if waiting:
            raise RuntimeError(
                f"jit.script: {type(module).__name__!r} has uninitialized parameters {', '.join(waiting)}. "
                "Did you forget to run a forward pass?"
            )
    return obj


def script_if_tracing(fn: _T) -> _T:
    """The function."""
    return fn


script_method = export = unused = interface = script_if_tracing
_overload = _overload_method = _script_if_tracing = _copy_to_script_wrapper = script_if_tracing


def is_scripting() -> bool:
    """False: Python runs this code."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value; the type tells a compiler about it."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """isinstance, also with types such as list[int], of which only the container is looked at."""
    kinds = target_type if _isinstance(target_type, tuple) else (target_type,)
    return any(_isinstance(obj, getattr(kind, "__origin__", None) or kind) for kind in kinds)


def ignore(drop: Any = False, **_: Any) -> Any:
    """The function, or a decorator that gives it back."""
    return drop if callable(drop) else lambda fn: fn


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A future of the function's result, which is computed at once."""
    from .futures import Future

    future = Future()
    future.set_result(func(*args, **kwargs))
    return future


_fork = fork


def wait(future: Any) -> Any:
    """The result of fork()."""
    return future.wait()


_wait = wait


def optimized_execution(should_optimize: bool) -> AbstractContextManager[None]:
    """A block that changes nothing."""
    return nullcontext()


fuser = strict_fusion = optimized_execution


def set_fusion_strategy(strategy: Any) -> list[Any]:
    """Nothing: graphs are fused when they are made."""
    return []


def onednn_fusion_enabled() -> bool:
    """False."""
    return False


def enable_onednn_fusion(enabled: bool) -> None:
    """Nothing: oneDNN is used where it is faster."""


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module; graphs are optimized when they are made."""
    return mod


def run_frozen_optimizations(mod: Any, *_: Any, **__: Any) -> None:
    """Nothing: graphs are optimized when they are made."""


def _qualified_name(obj: Any, mangle_name: bool = True) -> str:
    return f"{obj.__module__}.{obj.__qualname__}"
