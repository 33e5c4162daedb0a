"""The layers as plain functions: no state, all tensors as arguments."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from moka import _C
from moka._C import Tensor

from .functions import attention as _attention
from .functions import convolution as _convolution
from .functions import dropout as _dropout
from .functions import embedding as _embedding
from .functions import normalization as _normalization
from .functions import pooling as _pooling
from .functions import vision as _vision
from .functions.attention import *  # noqa: F403
from .functions.convolution import *  # noqa: F403
from .functions.dropout import *  # noqa: F403
from .functions.embedding import *  # noqa: F403
from .functions.normalization import *  # noqa: F403
from .functions.pooling import *  # noqa: F403
from .functions.vision import *  # noqa: F403

_FAMILIES = (_attention, _convolution, _dropout, _embedding, _normalization, _pooling, _vision)

__all__ = [
    *(name for family in _FAMILIES for name in family.__all__),
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "elu",
    "gelu",
    "l1_loss",
    "leaky_relu",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.relu_() if inplace else _C.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above zero, negative_slope * x below."""
    return _into(input, _C.leaky_relu(input, negative_slope), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above zero, alpha * (exp(x) - 1) below."""
    return _into(input, _C.elu(input, alpha), inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the distribution function of the normal distribution; "tanh" approximates it."""
    if approximate == "none":
        return _C.gelu(input)
    if approximate == "tanh":
        return _C.gelu_tanh(input)
    raise ValueError(f"gelu: approximate must be 'none' or 'tanh', but {approximate!r} came")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + exp(-x))."""
    return _into(input, _C.silu(input), inplace)


def _into(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _C.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return _C.tanh(input)


def softmax(input: Tensor, dim: int) -> Tensor:
    """exp(x) / sum of exp(x) along `dim`."""
    return _C.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """x - log(sum of exp(x)) along `dim`, without overflow."""
    return _C.log_softmax(input, dim)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] * input[n, t], t = target[n], for log-probabilities `input`; see nn.NLLLoss."""
    return _C.nll_loss(input, target, weight, reduction=reduction, ignore_index=ignore_index)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(input)[target]) without overflow; see nn.CrossEntropyLoss."""
    return _C.cross_entropy(
        input, target, weight, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing
    )


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)^2; the shapes must be equal."""
    _same_shapes("mse_loss", input, target)
    return _C.mse_loss(input, target, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|; the shapes must be equal."""
    _same_shapes("l1_loss", input, target)
    return _C.l1_loss(input, target, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid; see nn.BCEWithLogitsLoss."""
    _same_shapes("binary_cross_entropy_with_logits", input, target)
    return _C.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def _same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: input and target must have the same shape, but have {list(input.shape)} and "
            f"{list(target.shape)}; use target.reshape(input.shape) or input.squeeze() where a size is 1"
        )
