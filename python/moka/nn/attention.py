"""Attention over several heads."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor

from . import functional as F
from . import init
from .linear import NonDynamicallyQuantizableLinear
from .module import Module
from .parameter import Parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(width of a head)) v for each head, with projections before and behind.

    Shapes: query [length, batch, embed_dim] (or [batch, length, embed_dim] with batch_first, or
    without batch),
    key [keys, batch, kdim], value [keys, batch, vdim] to ([length, batch, embed_dim], weights [batch, length,
    keys] or None).

    Args:
        embed_dim, num_heads: width of the model, which the number of heads divides.
        dropout: probability with which weights are dropped in training.
        bias: whether projections add a bias; add_bias_kv: whether a learnt key and value are added.
        add_zero_attn: whether a key and value of zeros are added.
        kdim, vdim: widths of key and value, embed_dim when None.
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"MultiheadAttention: embed_dim and num_heads must be positive, got {embed_dim} and "
                f"{num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"MultiheadAttention: num_heads ({num_heads}) must divide embed_dim ({embed_dim})"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads

        def parameter(*shape: int) -> Parameter:
            return Parameter(_C.empty(shape, device=device, dtype=dtype))

        same = self._qkv_same_embed_dim
        widths = (embed_dim, self.kdim, self.vdim)
        for name, width in zip(("q", "k", "v"), widths, strict=True):
            self.register_parameter(f"{name}_proj_weight", None if same else parameter(embed_dim, width))
        self.register_parameter("in_proj_weight", parameter(3 * embed_dim, embed_dim) if same else None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, parameter(1, 1, embed_dim) if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw fresh values."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(output, weights): weights are None unless need_weights, without which nothing of the size
        queries *
        keys is kept. Masks are true (or -inf) where a key is hidden.
        """
        flip = self.batch_first and query.dim() == 3
        if flip:
            same, pair = query is key and key is value, key is value
            query = query.transpose(0, 1)
            key = query if same else key.transpose(0, 1)
            value = key if pair else value.transpose(0, 1)
        out, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (out.transpose(0, 1) if flip else out), weights

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """Both masks as one [batch, heads, length, keys], and torch's code of its kind."""
        if key_padding_mask is None:
            return attn_mask, None if attn_mask is None else 0
        batch, keys = key_padding_mask.shape
        merged = key_padding_mask.reshape(batch, 1, 1, keys).expand(-1, self.num_heads, -1, -1)
        if attn_mask is None:
            return key_padding_mask, 1
        wide = attn_mask if attn_mask.dim() == 3 else attn_mask.unsqueeze(0)
        wide = wide.reshape(
            -1 if wide.shape[0] > 1 else 1, self.num_heads if wide.shape[0] > 1 else 1, *wide.shape[1:]
        )
        return wide + merged, 2
