"""Checkpointing: intermediate results are computed again in backward instead of being kept."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import moka
from moka._C import Tensor
from moka.autograd import Function, backward, enable_grad, is_grad_enabled

__all__ = ["checkpoint", "checkpoint_sequential"]


class _Checkpoint(Function):
    """The last argument carries the function's other state; the first is a tensor that keeps the node
    alive."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        outputs = call.run(tensors)
        ctx.several = isinstance(outputs, tuple)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        inputs = [t.detach().requires_grad_(t.requires_grad) for t in ctx.saved_tensors]
        now = moka.get_rng_state()
        moka.set_rng_state(ctx.call.random)
        try:
            with enable_grad():
                outputs = ctx.call.run(inputs)
        finally:
            moka.set_rng_state(now)
        listed = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, gradient)
            for out, gradient in zip(listed, gradients, strict=True)
            if isinstance(out, Tensor) and out.requires_grad and gradient is not None
        ]
        if pairs:
            backward([out for out, _ in pairs], [gradient for _, gradient in pairs])
        return (None, *(t.grad if t.requires_grad else None for t in inputs))


class _Call:
    """A function with its arguments, whose tensors are given again at each run."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.places = [i for i, value in enumerate(args) if isinstance(value, Tensor)]
        self.random = moka.get_rng_state()

    def run(self, tensors: Sequence[Tensor]) -> Any:
        args = list(self.args)
        for place, tensor in zip(self.places, tensors, strict=True):
            args[place] = tensor
        return self.function(*args, **self.kwargs)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Any = None,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), whose intermediate results are not kept but computed again in backward.

    Parameters that the function uses get their gradients too. Random numbers (dropout) are the same both
    times.
    use_reentrant, context_fn, determinism_check and debug choose among ways that torch has; here there is
    one.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    call = _Call(function, args, kwargs)
    tensors = [args[place] for place in call.places]
    if not any(t.requires_grad for t in tensors):
        # Parameters inside may still need gradients: an extra input makes sure that backward comes here.
        call = _Call(lambda _, *rest, **named: function(*rest, **named), (_switch(), *args), kwargs)
        tensors = [call.args[place] for place in call.places]
    return _Checkpoint.apply(call, *tensors)


def _switch() -> Tensor:
    return moka.zeros(1, requires_grad=True)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A sequence of modules in `segments` parts, each of which is checkpointed (the last one is not)."""
    modules = list(functions.children()) if hasattr(functions, "children") else list(functions)
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
