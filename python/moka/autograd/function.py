"""Custom functions: operations with a gradient of one's own."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from moka import _C
from moka._C import Tensor

from .modes import no_grad

__all__ = ["Function", "FunctionContext", "once_differentiable"]

# What forward returned; the numbers are those of the extension.
_OTHER, _MADE, _DIRTY, _FORWARDED = range(4)


class FunctionContext:
    """What forward of a custom Function leaves for its backward. Other attributes may be set freely."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self, function: type[Function]) -> None:
        self._function = function
        self._kept: tuple[Any, ...] = ()  # as forward gave them, then as _SavedTensor
        self._done = False
        self._released = False
        self._constant: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._written: set[int] = set()  # ids of what mark_dirty was given
        self._kept_forward: tuple[Any, ...] = ()
        self._in_jvp = False
        self._fill_missing = True
        self._shapes: tuple[Any, ...] = ()
        self._node: Any = None  # while backward runs

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs; changing one of them in place before backward is then an error."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward: expected Tensors or None, got {type(tensor).__name__}; keep other "
                    "values as attributes of ctx"
                )
        self._kept = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for jvp, where they are `saved_tensors` too."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_forward: expected Tensors or None, got {type(tensor).__name__}; keep other "
                    "values as attributes of ctx"
                )
        self._kept_forward = tensors

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The old name of saved_tensors."""
        warnings.warn("saved_variables is deprecated: use saved_tensors", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept; inside jvp, what save_for_forward did."""
        if self._in_jvp:
            return self._kept_forward
        if self._released:
            raise RuntimeError(
                f"{self._function.__name__}: its saved tensors are read after they have already been freed "
                "by an earlier backward; pass retain_graph=True to the first one"
            )
        if not self._done:
            return self._kept
        return tuple(
            None if saved is None else saved.unpack(place, self._node)
            for place, saved in enumerate(self._kept)
        )

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that forward wrote these inputs in place; forward must return them."""
        self._dirty = tensors
        self._written = {id(tensor) for tensor in tensors}

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True) or None (False) for outputs that nothing depended on."""
        self._fill_missing = bool(value)

    def _finish(self, node: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gives the outputs their history."""
        name = self._function.__name__
        constant, dirty = {id(t) for t in self._constant}, {id(t) for t in self._dirty}
        given = {id(t): i for i, t in enumerate(inputs) if isinstance(t, Tensor)}
        missing = dirty - {id(out) for out in outputs}
        if missing:
            raise RuntimeError(f"{name}: forward did not return {len(missing)} inputs that it marked dirty")
        kinds, sources = [], []
        for out in outputs:
            key = id(out)
            if (
                not isinstance(out, Tensor)
                or key in constant
                or not (out.is_floating_point() or out.is_complex())
            ):
                kinds.append(_OTHER)
            elif key in dirty:
                kinds.append(_DIRTY)
            else:
                kinds.append(_FORWARDED if key in given else _MADE)
            sources.append(given.get(key, -1))
        if self._fill_missing:
            self._shapes = tuple(
                (out.shape, out.dtype) if isinstance(out, Tensor) else None for out in outputs
            )
        recorded = _C._finish_function(node, outputs, tuple(kinds), tuple(sources))
        # Outputs are kept without their history, which would keep itself alive.
        made = {id(out): i for i, out in enumerate(outputs) if kinds[i] in (_MADE, _DIRTY)}
        self._kept = tuple(
            None if t is None else _C._save_tensor(t, name, made.get(id(t), -1)) for t in self._kept
        )
        self._constant = self._dirty = ()
        self._done = True
        return recorded

    def _set_tangent(self, place: int, out: Any, tangent: Any, level: int) -> None:
        """Gives output `place` what jvp returned for it, and what was saved of it too."""
        name = self._function.__name__
        if tangent is None or not _is_differentiable(out):
            if id(out) in self._written:
                _C._set_tangent(out, None, level, True)
            return
        if not isinstance(tangent, Tensor):
            raise TypeError(f"{name}.jvp must return Tensors or None, got {type(tangent).__name__}")
        if tangent.shape != out.shape:
            raise RuntimeError(
                f"{name}.jvp returned a tangent of shape {list(tangent.shape)} for output {place}, which has "
                f"shape {list(out.shape)}"
            )
        _C._set_tangent(out, tangent, level, id(out) in self._written)
        for saved in self._kept if self._done else ():
            if saved is not None:
                saved.keep_tangent(place, level, tangent)

    def _run_backward(self, node: Any, needs: tuple[bool, ...], grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Called by the node: the gradient of every input."""
        self.needs_input_grad = needs
        if self._fill_missing:
            grads = tuple(
                _C.zeros(shape[0], dtype=shape[1]) if gradient is None and shape is not None else gradient
                for gradient, shape in zip(grads, self._shapes, strict=True)
            )
        self._node = node
        try:
            result = self._function._pull_back()(self, *grads)
        finally:
            self._node = None
        returned = result if isinstance(result, tuple) else (result,)
        extra = returned[len(needs) :]
        if len(returned) < len(needs) or any(gradient is not None for gradient in extra):
            raise RuntimeError(
                f"{self._function.__name__}.backward gave {len(returned)} gradients for {len(needs)} inputs; "
                "give None where there is none"
            )
        return returned

    def _release(self) -> None:
        """Called by the node after a backward that does not keep the graph."""
        if self._kept:
            self._kept = ()
            self._released = True


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
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from (ctx, *inputs), or from inputs alone where setup_context is defined."""
        raise NotImplementedError(
            "Function: define the static method forward(ctx, *inputs): You must implement the "
            "forward function "
            "for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient of every input (None where there is none) from the gradients of the outputs."""
        raise NotImplementedError(
            "Function: define the static method backward(ctx, *gradients): You must implement either the "
            "backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    @staticmethod
    def vjp(ctx: Any, *grads: Any) -> Any:
        """Another name for backward; define one of them."""
        raise NotImplementedError("Function: define the static method backward(ctx, *gradients)")

    @classmethod
    def _pull_back(cls) -> Callable[..., Any]:
        if cls.vjp is Function.vjp:
            return cls.backward
        if cls.backward is not Function.backward:
            raise RuntimeError(
                f"{cls.__name__}: Implementing both 'backward' and 'vjp' for a custom Function is not "
                "allowed. You should only implement one of them."
            )
        return cls.vjp

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep for backward what forward, defined without ctx, cannot keep itself."""
        raise NotImplementedError

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Forward mode: the tangent of every output from those of the inputs (None where there is none)."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record it."""
        return cls._apply(args)[1]

    @classmethod
    def _apply(cls, args: tuple[Any, ...]) -> tuple[FunctionContext, Any]:
        level = _C._tangent_level(args)
        if level:
            return cls._apply_forward_mode(level, args)
        ctx = FunctionContext(cls)
        node = _C._begin_function(ctx, f"{cls.__name__}Backward", args)
        ctx.needs_input_grad = tuple(
            node is not None and isinstance(value, Tensor) and value.requires_grad for value in args
        )
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args)
        if node is None:
            return ctx, outputs
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        recorded = ctx._finish(node, args, several)
        return ctx, recorded if isinstance(outputs, tuple) else recorded[0]

    @classmethod
    def _apply_forward_mode(cls, level: int, args: tuple[Any, ...]) -> tuple[FunctionContext, Any]:
        tangents = [_C._tangent(a, level) if isinstance(a, Tensor) else None for a in args]
        visible = _C._hide_level(level)
        try:
            ctx, outputs = cls._apply(args)
            tangents = [
                # jvp may write into the tangent of what forward wrote into
                t.clone() if t is not None and id(value) in ctx._written else t
                for value, t in zip(args, tangents, strict=True)
            ]
            if ctx._fill_missing:
                for i, (value, tangent) in enumerate(zip(args, tangents, strict=True)):
                    if tangent is None and _is_differentiable(value):
                        tangents[i] = _C.zeros_like(value)
            ctx._in_jvp = True
            pushed = cls.jvp(ctx, *tangents)
            ctx._in_jvp = False
            several = outputs if isinstance(outputs, tuple) else (outputs,)
            given = pushed if isinstance(pushed, tuple) else (pushed,)
            if len(given) != len(several):
                raise RuntimeError(
                    f"{cls.__name__}.jvp gave {len(given)} tangents for {len(several)} outputs; give None "
                    "where there is none"
                )
            for i, (out, tangent) in enumerate(zip(several, given, strict=True)):
                ctx._set_tangent(i, out, tangent, level)
        finally:
            _C._show_levels(visible)
        return ctx, outputs


def _is_differentiable(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


class _RefuseSecond(Function):
    """Identity whose backward is an error: what once_differentiable puts behind gradients."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Any) -> Any:
        ctx.name = name
        return tuple(t.detach() if isinstance(t, Tensor) else t for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            f"{ctx.name}: its backward is marked once_differentiable: there is no second derivative"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a backward that is not differentiable itself: a second derivative is then an error."""

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        recording = _C.is_grad_enabled()
        with no_grad():
            result = backward(ctx, *grads)
        sources = [g for g in grads if isinstance(g, Tensor)] + [
            t for t in ctx.saved_tensors if t is not None
        ]
        if not recording or not any(t.requires_grad for t in sources):
            return result
        several = result if isinstance(result, tuple) else (result,)
        # Depends on everything that backward saw, so that every second derivative meets the error.
        hinge = [t for t in sources if t.requires_grad]
        out = []
        for gradient in several:
            if isinstance(gradient, Tensor):
                (gradient, *_) = _RefuseSecond.apply(ctx._function.__name__, gradient, *hinge)
            out.append(gradient)
        return tuple(out) if isinstance(result, tuple) else out[0]

    return once
