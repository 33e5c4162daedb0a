"""Bases and helpers of torch.nn.modules that programs derive from, under torch's private names."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moka._C import Tensor
from moka.nn import functional
from moka.nn.convolution import _Conv as _ConvNd
from moka.nn.convolution import _ConvTranspose as _ConvTransposeNd
from moka.nn.dropout import _Dropout as _DropoutNd
from moka.nn.hooks import HookHandle as RemovableHandle
from moka.nn.lazy import LazyModuleMixin, UninitializedParameter
from moka.nn.loss import Loss as _Loss
from moka.nn.normalization import _BatchNorm, _InstanceNorm
from moka.nn.normalization import _Statistics as _NormBase
from moka.nn.padding import _Circular as _CircularPadNd
from moka.nn.padding import _ConstantPad as _ConstantPadNd
from moka.nn.padding import _Reflection as _ReflectionPadNd
from moka.nn.padding import _Replication as _ReplicationPadNd
from moka.nn.parameter import Parameter
from moka.nn.pooling import _Adaptive as _AdaptiveAvgPoolNd
from moka.nn.pooling import _AdaptiveMax as _AdaptiveMaxPoolNd
from moka.nn.pooling import _AvgPool as _AvgPoolNd
from moka.nn.pooling import _LPPool as _LPPoolNd
from moka.nn.pooling import _MaxPool as _MaxPoolNd
from moka.nn.pooling import _Unpool as _MaxUnpoolNd
from moka.nn.utils.rnn import PackedSequence

from .small import _ntuple, _pair, _quadruple, _single, _triple

__all__ = [
    "F",
    "LazyModuleMixin",
    "PackedSequence",
    "RemovableHandle",
    "Tensor",
    "UninitializedParameter",
    "apply_permutation",
]

F = functional
_ParameterMeta = type(Parameter)


class _WeightedLoss(_Loss):
    """A loss with a weight for each class, kept as a buffer."""

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


def _get_clones(module: Any, N: int) -> Any:
    import copy

    from moka.nn import ModuleList

    return ModuleList([copy.deepcopy(module) for _ in range(N)])


def _get_activation_fn(activation: str) -> Callable[..., Any]:
    if activation in ("relu", "gelu"):
        return getattr(functional, activation)
    raise RuntimeError(f"activation must be 'relu' or 'gelu', but {activation!r} came")


def _generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
    from moka.nn import Transformer

    return Transformer.generate_square_subsequent_mask(sz)


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """The slices of dimension `dim` in another order."""
    return tensor.index_select(dim, permutation)


_HELPERS = (_ntuple, _pair, _quadruple, _single, _triple)
_BASES = (
    *(
        _AdaptiveAvgPoolNd,
        _AdaptiveMaxPoolNd,
        _AvgPoolNd,
        _BatchNorm,
        _CircularPadNd,
        _ConstantPadNd,
        _ConvNd,
    ),
    *(_ConvTransposeNd, _DropoutNd, _InstanceNorm, _LPPoolNd, _MaxPoolNd, _MaxUnpoolNd, _NormBase),
    *(_ReflectionPadNd, _ReplicationPadNd),
)
