"""A small language model: training, sampling, and a cache of keys and values."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(1337)


@dataclass
class Cfg:
    block: int = 16
    vocab: int = 28
    n_layer: int = 2
    n_head: int = 2
    n_embd: int = 32
    dropout: float = 0.1
    bias: bool = False


class LN(nn.Module):
    def __init__(s, n, bias):
        super().__init__()
        s.weight = nn.Parameter(torch.ones(n))
        s.bias = nn.Parameter(torch.zeros(n)) if bias else None

    def forward(s, x):
        return F.layer_norm(x, s.weight.shape, s.weight, s.bias, 1e-05)


class Attn(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.c_attn = nn.Linear(c.n_embd, 3 * c.n_embd, bias=c.bias)
        s.c_proj = nn.Linear(c.n_embd, c.n_embd, bias=c.bias)
        s.ad, s.rd = (nn.Dropout(c.dropout), nn.Dropout(c.dropout))
        s.h, s.p = (c.n_head, c.dropout)
        s.flash = hasattr(F, "scaled_dot_product_attention")
        s.register_buffer("mask", torch.tril(torch.ones(c.block, c.block)).view(1, 1, c.block, c.block))

    def forward(s, x, cache=None):
        B, T, C = x.size()
        q, k, v = s.c_attn(x).split(C, dim=2)
        q, k, v = (t.view(B, T, s.h, C // s.h).transpose(1, 2) for t in (q, k, v))
        if cache is not None:
            if cache:
                k, v = (torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2))
            cache["k"], cache["v"] = (k, v)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=q.size(2) > 1)
        elif s.training:
            att = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(s.mask[:, :, :T, :T] == 0, float("-inf"))
            y = s.ad(F.softmax(att, dim=-1)) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0, is_causal=True)
        return s.rd(s.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)))


class Block(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.ln_1, s.attn, s.ln_2 = (LN(c.n_embd, c.bias), Attn(c), LN(c.n_embd, c.bias))
        s.mlp = nn.ModuleDict(
            dict(
                fc=nn.Linear(c.n_embd, 4 * c.n_embd, bias=c.bias),
                act=nn.GELU(),
                proj=nn.Linear(4 * c.n_embd, c.n_embd, bias=c.bias),
                drop=nn.Dropout(c.dropout),
            )
        )

    def forward(s, x, cache=None):
        x = x + s.attn(s.ln_1(x), cache)
        m = s.mlp
        return x + m.drop(m.proj(m.act(m.fc(s.ln_2(x)))))


class GPT(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.c = c
        s.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(c.vocab, c.n_embd),
                wpe=nn.Embedding(c.block, c.n_embd),
                drop=nn.Dropout(c.dropout),
                h=nn.ModuleList([Block(c) for _ in range(c.n_layer)]),
                ln_f=LN(c.n_embd, bias=c.bias),
            )
        )
        s.lm_head = nn.Linear(c.n_embd, c.vocab, bias=False)
        s.transformer.wte.weight = s.lm_head.weight
        s.apply(s._init)
        for n, p in s.named_parameters():
            if n.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * c.n_layer))

    def _init(s, m):
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0.0, 0.02)
            nn.init.zeros_(m.bias) if m.bias is not None else None
        elif isinstance(m, nn.Embedding):
            nn.init.normal_(m.weight, 0.0, 0.02)

    def forward(s, i, y=None, caches=None, pos0=0):
        pos = torch.arange(pos0, pos0 + i.size(1), dtype=torch.long, device=i.device)
        t = s.transformer
        x = t.drop(t.wte(i) + t.wpe(pos))
        for k, b in enumerate(t.h):
            x = b(x, None if caches is None else caches[k])
        x = t.ln_f(x)
        if y is not None:
            lo = s.lm_head(x)
            return (lo, F.cross_entropy(lo.view(-1, lo.size(-1)), y.view(-1), ignore_index=-1))
        return (s.lm_head(x[:, [-1], :]), None)

    def opt(s, wd, lr):
        pd = {n: p for n, p in s.named_parameters() if p.requires_grad}
        g = [
            {"params": [p for p in pd.values() if p.dim() >= 2], "weight_decay": wd},
            {"params": [p for p in pd.values() if p.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(g, lr=lr, betas=(0.9, 0.95), fused=False)

    @torch.no_grad()
    def generate(s, i, n, temp=1.0, top_k=None):
        for _ in range(n):
            lo, _ = s(i[:, -s.c.block :])
            lo = lo[:, -1] / temp
            if top_k is not None:
                v, _ = torch.topk(lo, min(top_k, lo.size(-1)))
                lo[lo < v[:, [-1]]] = -float("Inf")
            i = torch.cat((i, torch.multinomial(F.softmax(lo, -1), num_samples=1)), 1)
        return i


text = "the quick brown fox jumps over the lazy dog " * 20
ch = sorted(set(text))
d = torch.tensor([ch.index(c) for c in text])
m = GPT(Cfg())
o = m.opt(0.1, 0.003)
print("params", sum(p.numel() for p in m.parameters()), len(list(m.parameters())))
scaler = torch.amp.GradScaler("cpu", enabled=False)
for it in range(30):
    for g in o.param_groups:
        g["lr"] = 0.003 * min(1, (it + 1) / 5)
    ix = torch.randint(len(d) - 16, (8,))
    x = torch.stack([d[i : i + 16] for i in ix])
    y = torch.stack([d[i + 1 : i + 17] for i in ix])
    with torch.amp.autocast(device_type="cpu", dtype=torch.bfloat16, enabled=False):
        _, loss = m(x, y)
    scaler.scale(loss).backward()
    scaler.unscale_(o)
    gn = nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    scaler.step(o)
    scaler.update()
    o.zero_grad(set_to_none=True)
    if it % 6 == 0:
        print(it, f"{loss.item():.4f} {gn.item():.4f}")
m.eval()
print("".join(ch[c] for c in m.generate(torch.zeros(1, 1, dtype=torch.long), 30, 0.8, 5)[0].tolist()))
with torch.no_grad():
    p = d[:5][None]
    ca = [{} for _ in range(2)]
    lo, _ = m(p, caches=ca)
    seq = p
    full = p
    for _k in range(6):
        nx = lo[:, -1].argmax(-1, keepdim=True)
        seq = torch.cat([seq, nx], 1)
        lo, _ = m(nx, caches=ca, pos0=seq.size(1) - 1)
    for _k in range(6):
        full = torch.cat([full, m(full)[0][:, -1].argmax(-1, keepdim=True)], 1)
    print(torch.equal(seq, full), seq.tolist())
