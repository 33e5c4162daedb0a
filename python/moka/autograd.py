"""Gradients from Python: modes that switch recording, grad and backward, custom functions,
hooks of tensors.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from . import _C
from ._C import Tensor, is_grad_enabled, is_inference_mode_enabled

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

Callee = TypeVar("Callee", bound=Callable[..., Any])
Tensors = Tensor | Sequence[Tensor]


class _Mode:
    """A switch of this thread, as a context manager and as a decorator."""

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exception: object) -> None:
        raise NotImplementedError

    def _again(self) -> _Mode:
        return type(self)()

    def __call__(self, function: Callee) -> Callee:
        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return switched  # type: ignore[return-value]


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
    """Switches on (or off) that errors in backward show the forward line that made the failing operation."""

    def __init__(self, mode: bool = True) -> None:
        self._mode = bool(mode)
        self._before = _C._set_anomaly(self._mode)

    def _again(self) -> _Mode:
        return set_detect_anomaly(self._mode)

    def __enter__(self) -> None:
        _C._set_anomaly(self._mode)

    def __exit__(self, *exception: object) -> None:
        _C._set_anomaly(self._before)


class detect_anomaly(_Mode):
    """Inside, errors in backward show the forward line that made the failing operation."""

    def __enter__(self) -> None:
        self._before = _C._set_anomaly(True)

    def __exit__(self, *exception: object) -> None:
        _C._set_anomaly(self._before)


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradients of the sum of `tensors` (weighted by grad_tensors) to `.grad` of the leaves they
    came from.
    """
    _C._backward(tensors, grad_tensors, retain_graph, create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` (weighted by grad_outputs) with respect to each of `inputs`.

    Args:
        retain_graph: keep what backward needs, for another call; as create_graph when None.
        create_graph: record the computation of the gradients, so that they can be differentiated.
        allow_unused: give None for inputs that outputs do not depend on, instead of an error.
        materialize_grads: give zeros for those.
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    unused = materialize_grads if allow_unused is None else allow_unused
    found = _C._grad(outputs, wanted, grad_outputs, retain_graph, create_graph, unused)
    if materialize_grads:
        found = tuple(_C.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True))
    return found


class FunctionContext:
    """What forward of a custom Function leaves for its backward."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._constant: set[int] = set()
        self._fill_missing = True
        self._again: Callable[[], tuple[Any, ...]] | None = None
        self._outputs: dict[int, int] = {}  # place in _saved -> place among the outputs

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs; changing one of them in place before backward is then an error."""
        self._saved = tensors
        self._versions = tuple(0 if tensor is None else tensor._version for tensor in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept."""
        for place, (tensor, version) in enumerate(zip(self._saved, self._versions, strict=True)):
            if tensor is not None and tensor._version != version:
                raise RuntimeError(
                    f"backward: saved tensor {place} (shape {list(tensor.shape)}) was changed in "
                    "place after forward"
                )
        if not self._outputs or self._again is None or not is_grad_enabled():
            return self._saved
        # Kept outputs have no history (it would keep itself alive): for second derivatives it is made again.
        fresh = self._again()
        return tuple(fresh[self._outputs[i]] if i in self._outputs else t for i, t in enumerate(self._saved))

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self._constant = {id(tensor) for tensor in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True) or None (False) for outputs that nothing depended on."""
        self._fill_missing = value


class Function:
    """An operation with a gradient of one's own: a subclass defines the static methods forward and backward.

    >>> class Cube(moka.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x * x
    >>> y = Cube.apply(x)
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        """Compute the outputs from (ctx, *inputs), or from inputs alone where setup_context is defined."""
        raise NotImplementedError("Function: define the static method forward(ctx, *inputs)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient of every input (None where there is none) from the gradients of the outputs."""
        raise NotImplementedError("Function: define the static method backward(ctx, *gradients)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep for backward what forward, defined without ctx, cannot keep itself."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record it."""
        ctx = FunctionContext()
        recording = is_grad_enabled()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and recording and a.requires_grad for a in args)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args)
        if not any(ctx.needs_input_grad):
            return outputs
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        recorded = cls._record(ctx, args, several)
        return recorded if isinstance(outputs, tuple) else recorded[0]

    @classmethod
    def _record(
        cls, ctx: FunctionContext, args: tuple[Any, ...], outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        name = f"{cls.__name__}Backward"
        places = [
            i for i, out in enumerate(outputs) if isinstance(out, Tensor) and id(out) not in ctx._constant
        ]
        kinds = {i: (tuple(outputs[i].shape), outputs[i].dtype) for i in places}
        # (the closures below must not hold `outputs`: an output would keep itself alive through its history)
        count = len(outputs)

        def run(*grads: Any) -> Any:
            full: list[Any] = [None] * count
            for place, gradient in zip(places, grads, strict=True):
                if gradient is None and ctx._fill_missing:
                    shape, dtype = kinds[place]
                    gradient = _C.zeros(shape, dtype=dtype)
                full[place] = gradient
            result = cls.backward(ctx, *full)
            returned = result if isinstance(result, tuple) else (result,)
            if len(returned) < len(args):
                raise RuntimeError(
                    f"{cls.__name__}.backward gave {len(returned)} gradients for {len(args)} inputs; "
                    "give None where "
                    f"there is none"
                )
            return returned

        ids = {id(out): i for i, out in enumerate(outputs)}
        ctx._outputs = {i: ids[id(t)] for i, t in enumerate(ctx._saved) if t is not None and id(t) in ids}
        inputs = {id(a) for a in args}
        ctx._outputs = {i: place for i, place in ctx._outputs.items() if id(ctx._saved[i]) not in inputs}
        plain = [out.detach() if isinstance(out, Tensor) else out for out in outputs]
        ctx._saved = tuple(
            plain[ctx._outputs[i]] if i in ctx._outputs else t for i, t in enumerate(ctx._saved)
        )

        def record(outs: Sequence[Any]) -> tuple[Any, ...]:
            made = list(outs)
            history = _C._record_function(name, args, tuple(made[i] for i in places), run)
            for place, tensor in zip(places, history, strict=True):
                made[place] = tensor
            return tuple(made)

        if ctx._outputs:
            ctx._again = lambda: record([out.detach() if isinstance(out, Tensor) else out for out in plain])
        return record(outputs)


class _HookHandle:
    """What Tensor.register_hook returns: `remove()` takes the hook away."""

    def __init__(self, tensor: Tensor, number: int) -> None:
        self._tensor: Tensor | None = tensor
        self._number = number

    def remove(self) -> None:
        """Take the hook away; doing it twice is harmless."""
        if self._tensor is not None:
            _C._remove_hook(self._tensor, self._number)
            self._tensor = None

    def __enter__(self) -> _HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
