"""Limits for gradients, against steps that are too large."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Iterable

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [parameter.grad for parameter in listed if parameter.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """(sum of |x|^p over all elements of all tensors)^(1/p), p = norm_type; the largest |x| for infinity, for
    0 the number of tensors that are not all zeros.
    """
    listed = [tensor.detach() for tensor in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    p = float(norm_type)
    with no_grad():
        if not listed:
            return _C.tensor(0.0)
        if math.isinf(p) or p == 0:
            total = _C.linalg_vector_norm(_C.stack([_C.linalg_vector_norm(t, p) for t in listed]), p)
        elif p == 2:
            total = _C.stack([(tensor * tensor).sum() for tensor in listed]).sum().sqrt()
        else:
            total = _C.stack([tensor.abs().pow(p).sum() for tensor in listed]).sum().pow(1 / p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"clip_grad_norm_: The total norm of order {p} for gradients is non-finite ({total.item()}), so "
            f"it cannot be clipped"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients by max_norm / total_norm where that is below one."""
    factor = float(max_norm) / (total_norm.item() + 1e-6)
    if factor < 1 or math.isnan(factor):
        with no_grad():
            for gradient in _gradients(parameters):
                gradient.mul_(factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their norm, taken as one vector, is at most max_norm.

    Returns the norm before scaling.
    """
    if not float(max_norm) >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, but is {max_norm}")
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


clip_grad_norm = clip_grad_norm_  # the old name


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of every gradient to ±clip_value."""
    limit = float(clip_value)
    if limit < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, but is {limit}")
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.copy_(gradient.clamp(-limit, limit))
