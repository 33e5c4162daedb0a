"""Sequences turned round by recurrent networks with attention."""
# SPDX-License-Identifier: Apache-2.0

import random

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

torch.manual_seed(0)
random.seed(0)
SOS, EOS, V, L = (0, 1, 12, 6)


class Enc(nn.Module):
    def __init__(s, h):
        super().__init__()
        s.emb = nn.Embedding(V, h)
        s.gru = nn.GRU(h, h, batch_first=True)
        s.drop = nn.Dropout(0.1)

    def forward(s, x):
        return s.gru(s.drop(s.emb(x)))


class Attn(nn.Module):
    def __init__(s, h):
        super().__init__()
        s.Wa = nn.Linear(h, h)
        s.Ua = nn.Linear(h, h)
        s.Va = nn.Linear(h, 1)

    def forward(s, q, k):
        w = F.softmax(s.Va(torch.tanh(s.Wa(q) + s.Ua(k))).squeeze(2).unsqueeze(1), dim=-1)
        return (torch.bmm(w, k), w)


class Dec(nn.Module):
    def __init__(s, h):
        super().__init__()
        s.emb = nn.Embedding(V, h)
        s.att = Attn(h)
        s.gru = nn.GRU(2 * h, h, batch_first=True)
        s.out = nn.Linear(h, V)
        s.drop = nn.Dropout(0.1)

    def forward(s, eo, eh, target=None):
        B = eo.size(0)
        inp = torch.empty(B, 1, dtype=torch.long).fill_(SOS)
        h = eh
        outs, ws = ([], [])
        for i in range(L):
            e = s.drop(s.emb(inp))
            c, w = s.att(h.permute(1, 0, 2), eo)
            o, h = s.gru(torch.cat((e, c), 2), h)
            o = s.out(o)
            outs.append(o)
            ws.append(w)
            if target is not None:
                inp = target[:, i].unsqueeze(1)
            else:
                _, t = o.topk(1)
                inp = t.squeeze(-1).detach()
        return (F.log_softmax(torch.cat(outs, 1), -1), h, torch.cat(ws, 1))


x = torch.randint(2, V, (64, L))
x[:, -1] = EOS
y = x.flip(1)
y = torch.cat([y[:, 1:], y[:, :1]], 1)
dl = DataLoader(TensorDataset(x, y), sampler=RandomSampler(range(64)), batch_size=16)
enc, dec = (Enc(24), Dec(24))
eo, do = (optim.Adam(enc.parameters(), 0.005), optim.Adam(dec.parameters(), 0.005))
crit = nn.NLLLoss()
for ep in range(8):
    t = 0
    for a, b in dl:
        eo.zero_grad()
        do.zero_grad()
        o, h = enc(a)
        p, _, _ = dec(o, h, b)
        loss = crit(p.view(-1, p.size(-1)), b.view(-1))
        loss.backward()
        eo.step()
        do.step()
        t += loss.item()
    print(ep, round(t / len(dl), 4))
enc.eval()
dec.eval()
with torch.no_grad():
    o, h = enc(x[:2])
    p, _, w = dec(o, h)
    print(p.argmax(-1), w.shape, w.sum().item())
