"""Modes of this thread: whether operations are recorded, inference, anomaly detection."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from moka import _C

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

Callee = TypeVar("Callee", bound=Callable[..., Any])


class _Mode:
    """A switch of this thread, as a context manager and as a decorator."""

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exception: object) -> None:
        raise NotImplementedError

    def _again(self) -> _Mode:
        return type(self)()

    def __call__(self, function: Callee) -> Callee:
        if inspect.isgeneratorfunction(function):
            return self._around_steps(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return switched  # type: ignore[return-value]

    def _around_steps(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # The mode holds while the generator runs, not between its steps.
        @functools.wraps(function)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            step, value = generator.send, None
            while True:
                try:
                    with self._again():
                        result = step(value)
                except StopIteration as end:
                    return end.value
                try:
                    step, value = generator.send, (yield result)
                except GeneratorExit:
                    with self._again():
                        generator.close()
                    raise
                except BaseException as error:
                    step, value = generator.throw, error

        return stepping


class no_grad(_Mode):
    """Operations inside are not recorded: results need no gradient. `with no_grad():` or `@no_grad()`."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)

    def __enter__(self) -> None:
        self._before = _C._set_grad_enabled(False)

    def __exit__(self, *exception: object) -> None:
        _C._set_grad_enabled(self._before)


class enable_grad(_Mode):
    """Operations inside are recorded, also where no_grad surrounds it."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)

    def __enter__(self) -> None:
        self._before = _C._set_grad_enabled(True)

    def __exit__(self, *exception: object) -> None:
        _C._set_grad_enabled(self._before)


class set_grad_enabled(_Mode):
    """Switches recording at once; as a context manager, back at its end."""

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before = _C._set_grad_enabled(self._mode)

    def __call__(self, function: Callee) -> Callee:
        _C._set_grad_enabled(self._before)
        return super().__call__(function)

    def _again(self) -> _Mode:
        return set_grad_enabled(self._mode)

    def __enter__(self) -> None:
        _C._set_grad_enabled(self._mode)

    def __exit__(self, *exception: object) -> None:
        _C._set_grad_enabled(self._before)


class inference_mode(_Mode):
    """no_grad, and without the bookkeeping that would let results take part in gradients later."""

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made._mode = True
            return made(mode)
        return made

    def __init__(self, mode: bool | Callable[..., Any] = True) -> None:
        self._mode = True if callable(mode) else bool(mode)

    def _again(self) -> _Mode:
        return inference_mode(self._mode)

    def __enter__(self) -> None:
        self._inference = _C._set_inference_mode(self._mode)
        self._grad = _C._set_grad_enabled(not self._mode)

    def __exit__(self, *exception: object) -> None:
        _C._set_inference_mode(self._inference)
        _C._set_grad_enabled(self._grad)


class set_detect_anomaly(_Mode):
    """Switches on (or off) that errors in backward show the forward line that made the failing operation.

    With check_nan, gradients that are NaN are errors too.
    """

    def __init__(self, mode: bool = True, check_nan: bool = True) -> None:
        self._mode = bool(mode), bool(check_nan)
        self._before = _C._set_anomaly(*self._mode)

    def _again(self) -> _Mode:
        return set_detect_anomaly(*self._mode)

    def __enter__(self) -> None:
        _C._set_anomaly(*self._mode)

    def __exit__(self, *exception: object) -> None:
        _C._set_anomaly(*self._before)


class detect_anomaly(_Mode):
    """Inside, errors in backward show the forward line that made the failing operation."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = bool(check_nan)

    def _again(self) -> _Mode:
        return detect_anomaly(self._check_nan)

    def __enter__(self) -> None:
        self._before = _C._set_anomaly(True, self._check_nan)

    def __exit__(self, *exception: object) -> None:
        _C._set_anomaly(*self._before)


_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def _program_lines() -> str:
    """The stack outside this package, as tracebacks print it; anomaly mode asks for it at every operation."""
    import traceback  # not at the top: `import moka` stays fast

    stack = traceback.extract_stack(sys._getframe())
    frames = [frame for frame in stack if not frame.filename.startswith(_PACKAGE)]
    return "".join(traceback.format_list(frames))
