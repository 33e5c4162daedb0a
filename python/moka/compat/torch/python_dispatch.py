"""torch.utils._python_dispatch: modes and subclasses that see operators below autograd."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka.dispatching import (
    TorchDispatchMode,
    current_mode,
    is_traceable_wrapper_subclass,
    return_and_correct_aliasing,
    without_modes,
)

__all__ = [
    "BaseTorchDispatchMode",
    "TorchDispatchMode",
    "is_traceable_wrapper_subclass",
    "return_and_correct_aliasing",
]

BaseTorchDispatchMode = TorchDispatchMode
_get_current_dispatch_mode = current_mode
_disable_current_modes = no_dispatch = without_modes


def is_in_torch_dispatch_mode(include_infra_modes: bool = True) -> bool:
    """Whether a mode sees the operators of this thread."""
    return current_mode() is not None


def _get_current_dispatch_mode_stack() -> list[Any]:
    from moka.dispatching import _modes

    return list(_modes.stack)
