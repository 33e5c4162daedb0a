"""torch.utils.hooks: what registering a hook returns."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from moka.nn.hooks import HookHandle

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


class RemovableHandle(HookHandle):
    """A handle of a table of a program's own: `table[handle.id] = hook`, and remove() takes it away."""

    def __init__(self, hooks_dict: dict[int, Any], *, extra_dict: Any = None) -> None:
        from moka.nn.hooks import _next_id

        extra = [extra_dict] if isinstance(extra_dict, (dict, OrderedDict)) else list(extra_dict or ())
        super().__init__(hooks_dict, next(_next_id), tuple(extra))

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        return NotImplemented


def unserializable_hook(f: Any) -> Any:
    """Mark a hook that is left behind when its tensor is saved, as all are here."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor: Any) -> None:
    """Nothing: hooks are never saved."""
