"""The gradients of convolutions as functions of their own, for whoever writes backward passes by hand."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moka import _C, autograd
from moka._C import Tensor

from . import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

Ints = int | Sequence[int]


def _gradient(
    convolution: Callable[[Tensor], Tensor], sizes: Sequence[int], like: Tensor, grad_output: Tensor
) -> Tensor:
    """The gradient at zeros of the given sizes: a convolution is linear, so it is the same everywhere."""
    recorded = autograd.is_grad_enabled()
    with autograd.enable_grad():
        at = _C.zeros(tuple(sizes), dtype=like.dtype, device=like.device).requires_grad_()
        output = convolution(at)
    return autograd.grad(output, at, grad_output, create_graph=recorded)[0]


def _input(convolution: Any) -> Callable[..., Tensor]:
    def gradient(
        input_size: Sequence[int],
        weight: Tensor,
        grad_output: Tensor,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        """The gradient with respect to the input, whose shape is input_size."""
        return _gradient(
            lambda x: convolution(x, weight, None, stride, padding, dilation, groups),
            input_size,
            weight,
            grad_output,
        )

    return gradient


def _weight(convolution: Any) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor,
        weight_size: Sequence[int],
        grad_output: Tensor,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        """The gradient with respect to the weight, whose shape is weight_size."""
        return _gradient(
            lambda w: convolution(input, w, None, stride, padding, dilation, groups),
            weight_size,
            input,
            grad_output,
        )

    return gradient


conv1d_input, conv1d_weight = _input(F.conv1d), _weight(F.conv1d)
conv2d_input, conv2d_weight = _input(F.conv2d), _weight(F.conv2d)
conv3d_input, conv3d_weight = _input(F.conv3d), _weight(F.conv3d)
