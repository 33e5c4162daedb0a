"""torch.nn.utils._named_member_accessor: one tensor of a module in place of another."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka._C import Tensor
from moka.nn import Module

__all__ = ["set_tensor", "swap_tensor"]


def swap_tensor(module: Module, name: str, tensor: Any, allow_missing: bool = False) -> Any:
    """Put `tensor` where the module has a parameter, a buffer or an attribute of that name, as it is; returns
    what was there. None takes the name away, where `allow_missing`.
    """
    if not isinstance(module, Module):
        raise TypeError(f"{module!r} is not an instance of torch.nn.Module")
    if "." in name:
        raise KeyError(f'tensor name can\'t contain ".", got {name!r}')
    if tensor is not None and not isinstance(tensor, Tensor):
        raise TypeError(f"{tensor!r} is not an instance of torch.Tensor")
    for table in (module._parameters, module._buffers, module.__dict__):
        if name in table:
            before = table[name]
            if tensor is None and allow_missing and before is None:
                del table[name]
            else:
                table[name] = tensor
            return before
    if not allow_missing:
        raise AttributeError(f"{type(module).__name__} has no attribute {name!r}")
    if tensor is not None:
        module.__dict__[name] = tensor
    return None


def set_tensor(module: Module, name: str, tensor: Tensor) -> None:
    """Put `tensor` there."""
    swap_tensor(module, name, tensor)
