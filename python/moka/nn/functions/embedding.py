"""Rows of tables, one by one and in bags; affine and bilinear forms."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings

from moka import _C
from moka._C import Tensor, linear
from moka.autograd import no_grad

__all__ = ["bilinear", "embedding", "embedding_bag", "linear", "one_hot"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = sum over i, j of x1[..., i] W[o, i, j] x2[..., j] + b[o]."""
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError(
            f"bilinear: the leading dimensions of {list(input1.shape)} and {list(input2.shape)} differ"
        )
    out, first, second = weight.shape
    table = weight.permute(1, 0, 2).reshape(first, out * second)
    half = _C.matmul(input1.reshape(-1, first), table).reshape(-1, out, second)
    y = (half * input2.reshape(-1, 1, second)).sum(-1).reshape(*input1.shape[:-1], out)
    return y if bias is None else y + bias


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Vectors with a 1 at the place that each element names; -1: as many classes as needed."""
    if tensor.dtype != _C.int64:
        raise RuntimeError(f"one_hot: input must be int64, got {tensor.dtype}")
    if num_classes == -1:
        if tensor.numel() == 0:
            raise RuntimeError("one_hot: num_classes is needed for an empty input")
        num_classes = int(tensor.max().item()) + 1
    return _C.one_hot(tensor, num_classes)


def _row(name: str, padding_idx: int | None, weight: Tensor) -> int | None:
    if padding_idx is None:
        return None
    rows = weight.shape[0]
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{name}: padding_idx {padding_idx} is outside a table of {rows} rows")
    return padding_idx % rows


def _renormalize(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Shrink, in place, the rows that input names to a norm of at most max_norm."""
    with no_grad():
        rows = _C.embedding(weight, input.reshape(-1)).abs()
        if norm_type == float("inf"):
            norm = rows.amax(-1)
        else:
            norm = rows.pow(norm_type).sum(-1).pow(1 / norm_type)
        scale = _C.where(norm > max_norm, max_norm / (norm + 1e-7), _C.ones_like(norm))
        factors = _C.scatter(_C.ones_like(weight[:, 0]), 0, input.reshape(-1), scale)
        weight.mul_(factors.unsqueeze(-1))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: the rows of the table `weight` for each index; row padding_idx gets no gradient, rows
    longer than max_norm are shrunk in place, scale_grad_by_freq divides gradients by how often a row occurs.
    """
    padding_idx = _row("embedding", padding_idx, weight)
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    if sparse and weight.requires_grad and _C.is_grad_enabled():
        from .sparse_embedding import embedding_rows

        return embedding_rows(weight, input, padding_idx, scale_grad_by_freq)
    rows = _C.embedding(weight, input)
    if padding_idx is None and not scale_grad_by_freq:
        return rows
    factor = _C.ones(input.shape, dtype=weight.dtype, device=weight.device)
    if scale_grad_by_freq:
        index = input.reshape(-1).to(_C.int64)
        counts = _C.scatter_add(_C.zeros(weight.shape[0], dtype=weight.dtype), 0, index, factor.reshape(-1))
        factor = factor / counts[index].reshape(*input.shape)
    if padding_idx is not None:
        factor = _C.where(input == padding_idx, _C.zeros_like(factor), factor)
    return _C.scale_gradient(rows, factor.unsqueeze(-1))


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of `weight` for each bag of indices: the rows of a 2-d input, or
    the parts of a 1-d input that begin at `offsets`.
    """
    if weight.dtype in (_C.int32, _C.int64) and input.is_floating_point():
        warnings.warn(
            "embedding_bag: the order of arguments is (input, weight), not the old (weight, input)",
            stacklevel=2,
        )
        input, weight = weight, input
    if per_sample_weights is not None and tuple(per_sample_weights.shape) != tuple(input.shape):
        raise ValueError(
            f"embedding_bag: per_sample_weights must have the input's shape {list(input.shape)}, got "
            f"{list(per_sample_weights.shape)}"
        )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: offsets are for 1-d inputs; the rows of a 2-d input are bags")
        count, length = input.shape
        offsets = _C.arange(0, count, 1, dtype=input.dtype) * length
        input = input.reshape(-1)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        include_last_offset = False
    elif input.dim() != 1:
        raise ValueError(f"embedding_bag: input must have 1 or 2 dimensions, got shape {list(input.shape)}")
    elif offsets is None or offsets.dim() != 1:
        raise ValueError("embedding_bag: a 1-d input needs 1-d offsets")
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError("embedding_bag: mode 'max' takes neither scale_grad_by_freq nor sparse")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"embedding_bag: per_sample_weights are for mode 'sum', got mode {mode!r}")
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    if sparse and weight.requires_grad and _C.is_grad_enabled():
        from .sparse_embedding import embedding_bags

        padding_idx = _row("embedding_bag", padding_idx, weight)
        return embedding_bags(
            weight,
            input,
            offsets,
            mode,
            per_sample_weights,
            include_last_offset,
            padding_idx,
            scale_grad_by_freq,
        )
    return _C.embedding_bag(
        weight, input, offsets, mode, per_sample_weights, include_last_offset, padding_idx, scale_grad_by_freq
    )[0]
