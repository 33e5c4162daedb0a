"""Checkpointing: intermediate results are computed again in backward instead of being kept."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import moka
from moka import _C
from moka._C import Tensor
from moka.autograd import Function, backward, enable_grad, is_grad_enabled
from moka.autograd.graph import saved_tensors_hooks

__all__ = [
    "CheckpointError",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]

Contexts = tuple[AbstractContextManager, AbstractContextManager]
_stops_early = True


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function differed from the first."""


class _Enough(BaseException):
    """Ends a second run when all that backward needs has been computed."""


class set_checkpoint_early_stop:
    """Inside, whether second runs end as soon as everything that was kept before is there (the default)."""

    def __init__(self, enable: bool) -> None:
        self._enable = enable

    def __enter__(self) -> None:
        global _stops_early
        self._before, _stops_early = _stops_early, self._enable

    def __exit__(self, *exception: object) -> None:
        global _stops_early
        _stops_early = self._before


def noop_context_fn() -> Contexts:
    """Two contexts that do nothing."""
    return nullcontext(), nullcontext()


class _Surroundings:
    """The random stream and autocast as they were when a function ran; `again` goes back there "
    "for a while."""

    def __init__(self, preserved: bool) -> None:
        self._state = moka.get_rng_state() if preserved else None
        self._autocast = _C._autocast_mode()

    def again(self, stack: ExitStack) -> None:
        enabled, dtype, keeps = self._autocast
        stack.enter_context(moka.autocast("cpu", dtype=dtype, enabled=enabled, cache_enabled=keeps))
        if self._state is not None:
            stack.callback(moka.set_rng_state, moka.get_rng_state())
            moka.set_rng_state(self._state)


def _apart(value: Any) -> Any:
    """The tensor outside the tape that it came from, but needing a gradient as before."""
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


# ---- without a backward inside backward: what nodes save is a place, filled when backward comes to it
class _Place:
    """What a node holds in place of a tensor."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.values: dict[int, Tensor] = {}  # by backward: of the last one


class _Run:
    """One call of a checkpointed function."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple,
        kwargs: dict[str, Any],
        random: _Surroundings,
        again: Any,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.random, self.context = random, again
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        self.versions = [(t, t._version) for t in tensors if not t.is_inference()]
        self.places: list[weakref.ref[_Place]] = []

    def pack(self, tensor: Tensor) -> _Place:
        place = _Place(self)
        self.places.append(weakref.ref(place))
        return place

    def recompute(self, task: int) -> None:
        for tensor, version in self.versions:
            if tensor._version != version:
                raise CheckpointError(
                    f"checkpoint: an argument of shape {list(tensor.shape)} was changed in place since the "
                    "function ran, so that it cannot run again"
                )
        seen = 0

        def take(tensor: Tensor) -> Tensor:
            nonlocal seen
            place = self.places[seen]() if seen < len(self.places) else None
            if place is not None:
                place.values = {task: tensor}
            seen += 1
            if _stops_early and seen == len(self.places):
                raise _Enough
            return tensor

        with ExitStack() as stack:
            self.random.again(stack)
            stack.enter_context(enable_grad())
            stack.enter_context(self.context)
            stack.enter_context(saved_tensors_hooks(take, lambda tensor: tensor))
            try:
                args = tuple(_apart(value) for value in self.args)
                self.function(*args, **{name: _apart(value) for name, value in self.kwargs.items()})
            except _Enough:
                return
        if seen != len(self.places):
            raise CheckpointError(
                f"checkpoint: the function saved {len(self.places)} tensors when it first ran, and {seen} "
                "now: it must do the same both times"
            )


def _unpack(place: _Place) -> Tensor:
    task = _C._running_backward()
    if task not in place.values:
        place.run.recompute(task)
    if task not in place.values:
        raise CheckpointError("checkpoint: the second run of the function did not compute what the first did")
    return place.values.pop(task)


def _by_hooks(
    function: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    random: _Surroundings,
    contexts: Contexts,
) -> Any:
    first, again = contexts
    run = _Run(function, args, kwargs, random, again)
    with saved_tensors_hooks(run.pack, _unpack), first:
        return function(*args, **kwargs)


# ---- with a backward inside backward
class _Reentrant(Function):
    """Runs the function without recording it, and in backward again, with a backward of its own."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], random: _Surroundings, *args: Any) -> Any:
        ctx.function, ctx.random = function, random
        ctx.places = [i for i, value in enumerate(args) if isinstance(value, Tensor)]
        ctx.others = [None if isinstance(value, Tensor) else value for value in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if not _C._backward_reaches_all_leaves():
            raise RuntimeError(
                "checkpoint: use_reentrant=True runs a backward of its own, which would add to all leaves; "
                "with autograd.grad or backward(inputs=...) pass use_reentrant=False"
            )
        args = list(ctx.others)
        for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[place] = _apart(tensor)
        with ExitStack() as stack:
            ctx.random.again(stack)
            stack.enter_context(enable_grad())
            outputs = ctx.function(*args)
        listed = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, gradient)
            for out, gradient in zip(listed, gradients, strict=True)
            if isinstance(out, Tensor) and out.requires_grad and gradient is not None
        ]
        if not pairs:
            raise RuntimeError(
                "checkpoint: none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward([out for out, _ in pairs], [gradient for _, gradient in pairs])
        return (None, None, *(value.grad if isinstance(value, Tensor) else None for value in args))


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), whose intermediate results are not kept but computed again in backward.

    Parameters that the function uses get their gradients too.

    Args:
        use_reentrant: False (as None) computes again what nodes saved when backward comes to them. True runs
            a backward inside backward; then only positional arguments and backward() to all leaves work, and
            one of the arguments must require grad.
        preserve_rng_state: random numbers (dropout) are the same both times.
        context_fn: gives the contexts of the first and of the second run.
        determinism_check: "default" or "none"; shapes and types are compared in any case.
        debug: must be False.
    """
    if debug:
        raise NotImplementedError("checkpoint: debug=True is not supported; use moka.autograd.detect_anomaly")
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}"
        )
    random = _Surroundings(preserve_rng_state)
    if not use_reentrant:
        if not is_grad_enabled():
            return function(*args, **kwargs)
        return _by_hooks(function, args, kwargs, random, context_fn())
    if kwargs:
        raise ValueError(
            f"checkpoint: use_reentrant=True takes no keyword arguments, got {', '.join(kwargs)}"
        )
    if context_fn is not noop_context_fn:
        raise ValueError("checkpoint: context_fn needs use_reentrant=False")
    if is_grad_enabled() and not any(isinstance(v, Tensor) and v.requires_grad for v in args):
        warnings.warn(
            "checkpoint: with use_reentrant=True there are no gradients unless an argument requires grad",
            stacklevel=2,
        )
    return _Reentrant.apply(function, random, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A sequence of modules in `segments` parts, each of which is checkpointed (the last one is not)."""
    modules: Sequence[Any] = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(modules):
        raise ValueError(
            f"checkpoint_sequential: segments must be in 1 to {len(modules)}, the number of modules, but is "
            f"{segments}"
        )

    def part(first: int, last: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for module in modules[first:last]:
                value = module(value)
            return value

        return run

    size = len(modules) // segments
    for i in range(segments - 1):
        input = checkpoint(part(i * size, (i + 1) * size), input, use_reentrant=use_reentrant, **kwargs)
    return part((segments - 1) * size, len(modules))(input)
