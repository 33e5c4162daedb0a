"""The tape itself: nodes and edges, hooks of several tensors, and what nodes save."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from moka import _C
from moka._C import Node, Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class GradientEdge(NamedTuple):
    """An output of a node: what autograd.grad and backward take in place of a tensor."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of `tensor` goes; for a leaf, the node that adds to its .grad."""
    return GradientEdge(*tensor._gradient_edge())


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a write that happened where Moka could not see it."""
    for one in [tensor] if isinstance(tensor, Tensor) else tensor:
        one._raise_version()


class _Hooks(threading.local):
    """How many hooks of saved tensors are on, and why there may be none."""

    on = 0
    forbidden: str | None = None


_hooks = _Hooks()


class saved_tensors_hooks:
    """Inside, what nodes would save is given to pack_hook, and its result to unpack_hook when backward needs
    the tensor, which unpack_hook must return with the same shape and type.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if _hooks.forbidden is not None:
            raise RuntimeError(_hooks.forbidden)
        _C._push_saved_tensor_hooks(self.pack_hook, self.unpack_hook)
        _hooks.on += 1

    def __exit__(self, *exception: object) -> None:
        _hooks.on -= 1
        _C._pop_saved_tensor_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Inside, saved tensors wait in main memory for their backward."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Tensor) -> tuple[Any, Tensor]:
            return tensor.device, tensor.to("cpu", copy=True)

        def unpack(packed: tuple[Any, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device)

        super().__init__(pack, unpack)


class disable_saved_tensors_hooks:
    """Inside, hooks of saved tensors are an error with this message, also where they are on already."""

    def __init__(self, error_message: str) -> None:
        self._message = error_message

    def __enter__(self) -> None:
        if _hooks.on:
            raise RuntimeError(self._message)
        self._before, _hooks.forbidden = _hooks.forbidden, self._message

    def __exit__(self, *exception: object) -> None:
        _hooks.forbidden = self._before


class _Handles:
    """The handles of several hooks as one."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        """Take all of them away."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> _Handles:
    """Call fn once a backward, when the gradients of all `tensors` have come (with the list of them, None
    where none comes), or with mode="any" when the first has (with that one).
    """
    if mode not in ("all", "any"):
        raise ValueError(f"register_multi_grad_hook: mode must be 'all' or 'any', got {mode!r}")
    lock = threading.Lock()
    state: dict[str, Any] = {"task": 0}

    def came(place: int, gradient: Tensor) -> None:
        with lock:
            task = _C._running_backward()
            if state["task"] != task:
                state.update(task=task, gradients=[None] * len(tensors), done=False)
                if mode == "all":
                    _C._at_end_of_backward(lambda: finish(task))
            state["gradients"][place] = gradient
            full = all(g is not None for g in state["gradients"])
            call = not state["done"] and (mode == "any" or full)
            state["done"] |= call
        if call:
            fn(gradient if mode == "any" else state["gradients"])

    def finish(task: int) -> None:
        # Some tensors got no gradient in this backward.
        with lock:
            call = state["task"] == task and not state["done"]
            state["done"] = True
        if call:
            fn(state["gradients"])

    handles = [
        tensor.register_hook(lambda gradient, place=place: came(place, gradient))
        for place, tensor in enumerate(tensors)
    ]
    return _Handles(handles)
