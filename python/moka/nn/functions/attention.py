"""Attention: of queries to keys, and over several heads with projections."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from moka import _C
from moka._C import Tensor

from .dropout import dropout
from .embedding import linear
from .vision import pad

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _with_dropout(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    """Attention whose weights are dropped: they are there as a whole."""
    if enable_gqa and query.dim() >= 3 and key.shape[-3] != query.shape[-3]:
        n = query.shape[-3] // key.shape[-3]
        key, value = (
            t.unsqueeze(-3).expand(*t.shape[:-2], n, *t.shape[-2:]).reshape(*t.shape[:-3], -1, *t.shape[-2:])
            for t in (key, value)
        )
    scores = _C.matmul(query, key.transpose(-2, -1)) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        rows, columns = _C.arange(0, query.shape[-2], 1), _C.arange(0, key.shape[-2], 1)
        attn_mask = rows.unsqueeze(-1) >= columns
    if attn_mask is not None:
        if attn_mask.dtype == _C.bool:
            scores = scores.masked_fill(attn_mask.logical_not(), -math.inf)
        else:
            scores = scores + attn_mask
    return _C.matmul(dropout(_C.softmax(scores, -1), dropout_p), value)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + attn_mask) value without keeping the matrix of scores.

    query is [..., heads, queries, width], key and value [..., heads, keys, width]; a bool attn_mask is true
    where a key is seen; is_causal lets query i see keys up to i; scale is 1 / sqrt(width) when None; with
    enable_gqa each head of key serves several of query.
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError("scaled_dot_product_attention: give either attn_mask or is_causal")
    if not dropout_p and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return _C.attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)[0]
    most = max(t.dim() for t in (query, key, value))
    if most > 2 and min(t.dim() for t in (query, key, value)) > 1:
        query, key, value = (t.reshape(*[1] * (most - t.dim()), *t.shape) for t in (query, key, value))
        if enable_gqa and any(t.shape[:-3] != query.shape[:-3] for t in (key, value)):
            sizes = zip(*(t.shape[:-3] for t in (query, key, value)), strict=True)
            batch = tuple(max(s) for s in sizes)
            query, key, value = (t.expand(*batch, *t.shape[-3:]) for t in (query, key, value))
    if query.dim() == key.dim() == value.dim() and query.dim() > 2 and not enable_gqa:
        lead = tuple(query.shape[:-2])
        if any(tuple(t.shape[:-2]) != lead for t in (key, value)):
            sizes = zip(*(t.shape[:-2] for t in (query, key, value)), strict=True)
            lead = tuple(max(s) for s in sizes)
            query, key, value = (t.expand(*lead, *t.shape[-2:]) for t in (query, key, value))
    if dropout_p:
        return _with_dropout(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    return _C.attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)[0]


def _as_bias(name: str, mask: Tensor | None, dtype: Any) -> Tensor | None:
    """A mask that is true where a key is hidden as numbers to add."""
    if mask is None:
        return None
    if mask.dtype == _C.bool:
        return _C.zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf)
    if mask.dtype not in (_C.float16, _C.bfloat16, _C.float32, _C.float64):
        raise AssertionError(f"{name} must be bool or floating, got {mask.dtype}")
    return mask


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention over several heads of [length, batch, width] (or [length, width]) with projections before and
    behind; the weights come too where need_weights is set. See nn.MultiheadAttention.
    """
    name = "multi_head_attention_forward"
    batched = query.dim() == 3
    if query.dim() not in (2, 3) or key.dim() != query.dim() or value.dim() != query.dim():
        if query.dim() not in (2, 3):
            raise AssertionError(
                f"{name}: query should be unbatched 2D or batched 3D tensor but has shape {list(query.shape)}"
            )
        raise AssertionError(
            f"{name}: expected `key` and `value` to be {query.dim()}-D but found {key.dim()}-D and "
            f"{value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != query.dim() - 1:
        raise AssertionError(
            f"{name}: expected `key_padding_mask` to be `None` or {query.dim() - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.dim() not in (2, 3):
        raise AssertionError(
            f"{name}: expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor "
            "instead"
        )
    if not batched and attn_mask is not None and attn_mask.dim() == 3:
        wanted = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != wanted:
            raise AssertionError(
                f"{name}: Expected `attn_mask` shape to be {wanted} but got {tuple(attn_mask.shape)}"
            )
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    if width != embed_dim_to_check:
        raise AssertionError(f"{name}: query has width {width}, expected {embed_dim_to_check}")
    if width % num_heads:
        raise AssertionError(f"{name}: num_heads {num_heads} does not divide width {width}")
    each = width // num_heads
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{name}: is_causal needs attn_mask, for which it is a hint")
    key_padding_mask = _as_bias("key_padding_mask", key_padding_mask, query.dtype)
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _as_bias("attn_mask", attn_mask, query.dtype)
        is_causal = False

    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    elif query is key and key is value:
        q, k, v = linear(query, in_proj_weight, in_proj_bias).chunk(3, -1)
        weights = ()
    else:
        weights = tuple(in_proj_weight.chunk(3))
    if weights:
        q, k, v = (linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases, strict=True))

    if attn_mask is not None:
        if attn_mask.dim() == 2:
            attn_mask = attn_mask.unsqueeze(0)
        if attn_mask.dim() != 3 or tuple(attn_mask.shape) not in (
            (1, length, key.shape[0]),
            (batch * num_heads, length, key.shape[0]),
        ):
            raise RuntimeError(
                f"{name}: attn_mask must be [{length}, {key.shape[0]}] or [{batch * num_heads}, {length}, "
                f"{key.shape[0]}], got shape {list(attn_mask.shape)}"
            )
    extra = 0
    if bias_k is not None and bias_v is not None:
        k = _C.cat([k, bias_k.expand(1, batch, width)])
        v = _C.cat([v, bias_v.expand(1, batch, width)])
        extra += 1

    def by_head(t: Tensor) -> Tensor:
        return t.reshape(t.shape[0], batch * num_heads, each).transpose(0, 1)

    if extra:
        for which, static in (("key", static_k), ("value", static_v)):
            if static is not None:
                raise AssertionError(f"{name}: bias cannot be added to static {which}.")
    q = by_head(q)
    k = by_head(k) if static_k is None else static_k
    v = by_head(v) if static_v is None else static_v
    if add_zero_attn:
        zeros = _C.zeros((batch * num_heads, 1, each), dtype=k.dtype, device=k.device)
        k, v = _C.cat([k, zeros], 1), _C.cat([v, zeros], 1)
        extra += 1
    if extra:
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, extra))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, extra))
    keys = k.shape[1]
    q, k, v = (t.reshape(batch, num_heads, t.shape[1], each) for t in (q, k, v))
    if attn_mask is not None:
        shared = attn_mask.shape[0] == 1
        attn_mask = attn_mask.reshape(*((1, 1) if shared else (batch, num_heads)), *attn_mask.shape[1:])
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (batch, keys):
            at = int(key_padding_mask.shape[0] == batch)
            raise AssertionError(
                f"{name}: Expected key_padded_mask.shape[{at}] to be {(batch, keys)[at]}, but got "
                f"{key_padding_mask.shape[at]}"
            )
        hidden = key_padding_mask.reshape(batch, 1, 1, keys)
        attn_mask = hidden if attn_mask is None else attn_mask + hidden
    p = dropout_p if training else 0.0
    if need_weights:
        scores = _C.matmul(q * math.sqrt(1 / each), k.transpose(-2, -1))
        weights_out = _C.softmax(scores if attn_mask is None else scores + attn_mask, -1)
        weights_out = dropout(weights_out, p) if p else weights_out
        out = _C.matmul(weights_out, v)
    else:
        weights_out = None
        out = scaled_dot_product_attention(q, k, v, attn_mask, p, is_causal)
    out = out.permute(2, 0, 1, 3).reshape(length, batch, width)
    out = linear(out, out_proj_weight, out_proj_bias)
    if weights_out is not None and average_attn_weights:
        weights_out = weights_out.mean(1)
    if not batched:
        out = out.squeeze(1)
        weights_out = None if weights_out is None else weights_out.squeeze(0)
    return out, weights_out
