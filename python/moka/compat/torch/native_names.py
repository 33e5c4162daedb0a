"""torch's operators by the names behind nn.functional, as other libraries call them: native_layer_norm."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import moka
from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad
from moka.nn import functional as F
from moka.nn.functions import recurrent
from moka.written_functions import grid_sampler

from .root_functions import norm_except_dim

__all__ = [
    "convolution",
    "embedding_renorm_",
    "grid_sampler_2d",
    "grid_sampler_3d",
    "gru",
    "lstm",
    "native_batch_norm",
    "native_channel_shuffle",
    "native_group_norm",
    "native_layer_norm",
    "rnn_relu",
    "rnn_tanh",
]

gru, lstm, rnn_relu, rnn_tanh = recurrent.gru, recurrent.lstm, recurrent.rnn_relu, recurrent.rnn_tanh
grid_sampler_2d = grid_sampler_3d = grid_sampler
native_channel_shuffle = F.channel_shuffle
_grouped_mm = F.grouped_mm
_standard_gamma = _C._standard_gamma


def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of `size` rows begins among sorted rows [n], and at last n: [size + 1]."""
    starts = moka.searchsorted(input, moka.arange(size + 1, dtype=input.dtype))
    return starts.to(_C.int32 if out_int32 else _C.int64)


def _convert_indices_from_csr_to_coo(
    crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False, transpose: bool = False
) -> Tensor:
    """Rows and columns [2, n] of compressed rows; columns and rows with `transpose`."""
    counts = (crow_indices[1:] - crow_indices[:-1]).long()
    rows = moka.repeat_interleave(moka.arange(counts.numel()), counts)
    columns = col_indices.to(rows.dtype)
    places = moka.stack([columns, rows] if transpose else [rows, columns])
    return places.to(_C.int32 if out_int32 else _C.int64)


def _statistics(x: Tensor, dims: Sequence[int], eps: float, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The mean and 1 / sqrt(var + eps) over dims; of half types computed in float32."""
    with no_grad():
        wide = x.detach().float() if x.dtype in (_C.float16, _C.bfloat16) else x.detach()
        var, mean = moka.var_mean(wide, list(dims), correction=0, keepdim=keepdim)
        return mean.to(x.dtype), (var + eps).rsqrt().to(x.dtype)


def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """nn.functional.layer_norm, the means and the reciprocals of the deviations, [..., 1, ...]."""
    out = F.layer_norm(input, list(normalized_shape), weight, bias, eps)
    return out, *_statistics(input, range(input.dim() - len(normalized_shape), input.dim()), eps, True)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """nn.functional.group_norm, the means and the reciprocals of the deviations, both [N, group]."""
    out = F.group_norm(input, group, weight, bias, eps)
    return out, *_statistics(input.reshape(N, group, C // group * HxW), [2], eps, False)


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """nn.functional.batch_norm, and in training the means and the reciprocals of the deviations of the
    channels; else two empty tensors.
    """
    out = F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return out, input.new_empty(0), input.new_empty(0)
    return out, *_statistics(input, [d for d in range(input.dim()) if d != 1], eps, False)


_native_batch_norm_legit = native_batch_norm


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """The convolution, or transposed convolution, over the dimensions of weight behind its first two."""
    dims = weight.dim() - 2
    if dims not in (1, 2, 3):
        raise RuntimeError(f"convolution: expected a weight of 3 to 5 dimensions, got {list(weight.shape)}")
    options = [list(v) for v in (stride, padding, dilation)]
    if transposed:
        run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
        return run(input, weight, bias, options[0], options[1], list(output_padding), groups, options[2])
    return (F.conv1d, F.conv2d, F.conv3d)[dims - 1](input, weight, bias, *options, groups)


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    benchmark: bool = False,
    deterministic: bool = False,
    cudnn_enabled: bool = False,
    allow_tf32: bool = False,
) -> Tensor:
    return convolution(
        input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )


def _softmax(self: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return F.softmax(self.float() if half_to_float else self, dim)


def _log_softmax(self: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return F.log_softmax(self.float() if half_to_float else self, dim)


def _unique2(
    self: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    values, inverse, counts = moka.unique(self, sorted, True, True)
    nothing = _C.empty(0, dtype=_C.int64)
    inverse = inverse if return_inverse or return_counts else nothing
    return values, inverse, counts if return_counts else nothing


def _unique(self: Tensor, sorted: bool = True, return_inverse: bool = False) -> tuple[Tensor, Tensor]:
    return _unique2(self, sorted, return_inverse)[:2]


def _aminmax(self: Tensor, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    low, high = moka.aminmax(self, dim=dim, keepdim=keepdim)
    return low, high


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / norm_except_dim(v, 2, dim))


def _addmm_activation(
    self: Tensor,
    mat1: Tensor,
    mat2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    use_gelu: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    sums = moka.addmm(self, mat1, mat2, beta=beta, alpha=alpha)
    return moka.gelu(sums, out=out) if use_gelu else moka.relu(sums, out=out)


def _is_any_true(self: Tensor) -> Tensor:
    return self.any()


def _is_all_true(self: Tensor) -> Tensor:
    return self.all()


def embedding_renorm_(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Shrink, in place, the rows of weight that indices name to a norm of at most max_norm."""
    from moka.nn.functions.embedding import _renormalize

    _renormalize(weight, indices, max_norm, norm_type)
    return weight
