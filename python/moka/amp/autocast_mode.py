"""Autocast: operators choose the type they compute in while it is on."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from moka import _C
from moka._C import Tensor

__all__ = [
    "autocast",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]

Callee = TypeVar("Callee", bound=Callable[..., Any])
clear_autocast_cache = _C.clear_autocast_cache

# The types that autocast takes on devices that this build does not compute on; asked and set, never used.
_elsewhere: dict[str, Any] = {}
_KNOWN = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "privateuseone")


def _checked(device_type: str) -> str:
    if not isinstance(device_type, str):
        raise ValueError(
            f"autocast: device_type must be a string such as 'cpu', got {type(device_type).__name__}"
        )
    if device_type not in _KNOWN:
        raise RuntimeError(
            f"autocast: unknown device_type {device_type!r}; 'cpu' is what this build computes on"
        )
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast can be switched on for that kind of device."""
    return _checked(device_type) == "cpu"


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether it is on in this thread for that kind of device."""
    return _checked(device_type) == "cpu" and _C._autocast_mode()[0]


def get_autocast_dtype(device_type: str) -> Any:
    """The type that products are computed in while it is on."""
    if _checked(device_type) == "cpu":
        return _C._autocast_mode()[1]
    return _elsewhere.get(device_type, _C.float16 if device_type in ("cuda", "mps") else _C.bfloat16)


def is_autocast_cache_enabled() -> bool:
    """Whether weights are converted once in a scope and kept."""
    return _C._autocast_mode()[2]


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch it on or off for this thread."""
    if _checked(device_type) == "cpu":
        _, dtype, keeps = _C._autocast_mode()
        _C._set_autocast(enabled, dtype, keeps)
    elif enabled:
        raise RuntimeError(f"autocast: this build does not compute on {device_type!r}")


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Choose the type of products."""
    if _checked(device_type) == "cpu":
        enabled, _, keeps = _C._autocast_mode()
        _C._set_autocast(enabled, dtype, keeps)
    else:
        _elsewhere[device_type] = dtype


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep converted weights within a scope, or not."""
    now, dtype, _ = _C._autocast_mode()
    _C._set_autocast(now, dtype, enabled)


class autocast:
    """Within it products (linear, matmul, convolutions, attention) compute in a 16-bit type, losses and
    factorizations in float32, and joining operators in the widest type that comes; others keep the type
    of their operands. A context manager and a decorator.

    >>> with moka.autocast("cpu"):
    ...     loss = loss_fn(model(x), y)
    >>> loss.backward()

    Float32 and 16-bit tensors are converted; float64, integers, in-place calls and out= are left alone.
    Leave the scope before backward: gradients are computed in the types of the forward.

    Args:
        device_type: "cpu"; for devices that this build has not, a warning is given and nothing changes.
        dtype: bfloat16 (default) or float16.
        enabled: False switches it off within an outer scope.
        cache_enabled: convert a weight once and keep that until the outermost scope ends.
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device = _checked(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled)
        self._before: list[tuple[bool, Any, bool]] = []
        if not self._enabled:
            return
        if not is_autocast_available(device_type):
            warnings.warn(
                f"autocast: device_type is {device_type!r}, which is not available here. Disabling",
                stacklevel=2,
            )
            self._enabled = False
        elif self.fast_dtype not in (_C.bfloat16, _C.float16):
            warnings.warn(
                f"autocast: on the CPU the type must be bfloat16 or float16, got {self.fast_dtype}. "
                "Disabling",
                stacklevel=2,
            )
            self._enabled = False

    def __enter__(self) -> autocast:
        if self.device == "cpu":
            _, dtype, _ = _C._autocast_mode()
            _C._open_autocast_scope()
            self._before.append(
                _C._set_autocast(
                    self._enabled, self.fast_dtype if self._enabled else dtype, self._cache_enabled
                )
            )
        return self

    def __exit__(self, *exception: object) -> None:
        if self.device == "cpu":
            _C._set_autocast(*self._before.pop())
            _C._close_autocast_scope()

    def __call__(self, function: Callee) -> Callee:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def _converted(value: Any, dtype: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype != _C.float64 else value
    if isinstance(value, dict):
        return {key: _converted(item, dtype) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_converted(item, dtype) for item in value)
    return value


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str = "cpu", cast_inputs: Any = None
) -> Any:
    """Decorates `forward` of an autograd.Function: with `cast_inputs` its floating arguments are
    converted to that type and autocast is off inside; without, it runs under the caller's autocast.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    _checked(device_type)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*_converted(args, cast_inputs), **_converted(kwargs, cast_inputs))

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cpu") -> Any:
    """Decorates `backward` of an autograd.Function: it runs with autocast as its forward did."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    _checked(device_type)

    @functools.wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return backward
