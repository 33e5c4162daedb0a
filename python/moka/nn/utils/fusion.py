"""Batch normalization taken into the weights before it, for evaluation."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from typing import TypeVar

from moka import _C
from moka._C import Tensor

from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

Layer = TypeVar("Layer", bound=Module)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the one convolution that does both; `transpose` for transposed convolutions."""
    bias = _C.zeros_like(bn_rm) if conv_b is None else conv_b
    scale = (bn_rv + bn_eps).rsqrt()
    if bn_w is not None:
        scale = scale * bn_w
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    fused = (bias - bn_rm) * scale
    if bn_b is not None:
        fused = fused + bn_b
    weight = (conv_w * scale.reshape(shape)).to(conv_w.dtype)
    return (
        Parameter(weight.detach(), conv_w.requires_grad),
        Parameter(fused.detach(), conv_b.requires_grad if conv_b is not None else conv_w.requires_grad),
    )


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the one linear layer that does both."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _check(name: str, first: Module, bn: Module) -> None:
    if first.training or bn.training:
        raise ValueError(f"{name}: both modules must be in evaluation mode; call eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError(f"{name}: the batch normalization keeps no running averages")


def fuse_conv_bn_eval(conv: Layer, bn: Module, transpose: bool = False) -> Layer:
    """A copy of `conv` that gives what `bn(conv(x))` gives in evaluation."""
    _check("fuse_conv_bn_eval", conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Layer, bn: Module) -> Layer:
    """A copy of `linear` that gives what `bn(linear(x))` gives in evaluation."""
    _check("fuse_linear_bn_eval", linear, bn)
    if bn.running_mean.shape[0] not in (1, linear.out_features):
        raise ValueError(
            f"fuse_linear_bn_eval: the linear layer has {linear.out_features} outputs, the normalization "
            f"{bn.running_mean.shape[0]} features"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
