"""Names of torch.autograd and torch._vmap_internals beside those of moka.autograd."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moka.autograd import Function
from moka.func import vmap
from moka.nn.hooks import HookHandle as RemovableHandle

__all__ = [
    "InplaceFunction",
    "RemovableHandle",
    "is_multithreading_enabled",
    "kineto_available",
    "set_multithreading_enabled",
    "vmap",
]

_threads = [True]


class InplaceFunction(Function):
    """A Function under the name that older programs derive from."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


def kineto_available() -> bool:
    """Whether the profiler records what operators cost: True."""
    return True


def is_multithreading_enabled() -> bool:
    """What set_multithreading_enabled was told last."""
    return _threads[0]


class set_multithreading_enabled:  # noqa: N801  (a block)
    """A switch, or a block, that is_multithreading_enabled() tells; a backward runs in the thread that calls
    it.
    """

    def __init__(self, mode: bool) -> None:
        self.prev = _threads[0]
        self.mode = _threads[0] = mode

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        _threads[0] = self.prev


def _vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, allow_none_pass_through: bool = False
) -> Callable[..., Any]:
    return vmap(func, in_dims, out_dims)
