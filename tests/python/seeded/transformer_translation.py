"""Transformers with masks, greedy and beam search, packed sequences, CTC."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor, nn
from torch.nn import Transformer
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

torch.manual_seed(0)
PAD, BOS, EOS = (0, 1, 2)


class PE(nn.Module):
    def __init__(s, e, p, n=50):
        super().__init__()
        den = torch.exp(-torch.arange(0, e, 2) * math.log(10000) / e)
        pos = torch.arange(0, n).reshape(n, 1)
        pe = torch.zeros((n, e))
        pe[:, 0::2] = torch.sin(pos * den)
        pe[:, 1::2] = torch.cos(pos * den)
        s.register_buffer("pe", pe.unsqueeze(-2))
        s.dropout = nn.Dropout(p)

    def forward(s, x: Tensor):
        return s.dropout(x + s.pe[: x.size(0), :])


class S2S(nn.Module):
    def __init__(s):
        super().__init__()
        s.tr = Transformer(
            d_model=32, nhead=4, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=48, dropout=0.1
        )
        s.gen = nn.Linear(32, 20)
        s.se = nn.Embedding(20, 32)
        s.pe = PE(32, 0.1)

    def emb(s, t):
        return s.pe(s.se(t.long()) * math.sqrt(32))

    def forward(s, a, b, am, bm, ap, bp):
        return s.gen(s.tr(s.emb(a), s.emb(b), am, bm, None, ap, bp, ap))


def mask(n):
    m = (torch.triu(torch.ones((n, n))) == 1).transpose(0, 1)
    return m.float().masked_fill(m == 0, float("-inf")).masked_fill(m == 1, 0.0)


m = S2S()
for p in m.parameters():
    if p.dim() > 1:
        nn.init.xavier_uniform_(p)
data = [torch.randint(3, 20, (int(torch.randint(3, 8, ())),)) for _ in range(48)]


def coll(b):
    f = lambda q: torch.cat([torch.tensor([BOS]), q, torch.tensor([EOS])])
    return (
        pad_sequence([f(x) for x in b], padding_value=PAD),
        pad_sequence([f(x.flip(0)) for x in b], padding_value=PAD),
    )


lf = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
o = torch.optim.Adam(m.parameters(), lr=0.001, betas=(0.9, 0.98), eps=1e-09)
for ep in range(4):
    m.train()
    L = 0
    for a, b in DataLoader(data, batch_size=16, shuffle=True, collate_fn=coll):
        bi = b[:-1]
        am = torch.zeros((a.shape[0],) * 2).type(torch.bool)
        bm = mask(bi.shape[0])
        lo = m(a, bi, am, bm, (a == PAD).transpose(0, 1), (bi == PAD).transpose(0, 1))
        o.zero_grad()
        loss = lf(lo.reshape(-1, 20), b[1:].reshape(-1))
        loss.backward()
        o.step()
        L += loss.item()
    print(ep, round(L / 3, 4))
m.eval()
with torch.no_grad():
    a = coll(data[:1])[0]
    mem = m.tr.encoder(m.emb(a))
    ys = torch.ones(1, 1).fill_(BOS).type(torch.long)
    for _i in range(6):
        out = m.tr.decoder(m.emb(ys), mem, Transformer.generate_square_subsequent_mask(ys.size(0)))
        _, nw = torch.max(m.gen(out.transpose(0, 1)[:, -1]), dim=1)
        ys = torch.cat([ys, torch.ones(1, 1).type_as(a.data).fill_(nw.item())])
    print(ys.flatten().tolist())
    beams = [([BOS], 0.0)]
    for _ in range(4):
        c = []
        for s, sc in beams:
            lp = torch.log_softmax(
                m.gen(m.tr.decoder(m.emb(torch.tensor(s)[:, None]), mem, mask(len(s))))[-1, 0], -1
            )
            v, ix = lp.topk(3)
            c += [(s + [int(i)], sc + float(x)) for x, i in zip(v, ix, strict=False)]
        beams = sorted(c, key=lambda q: -q[1])[:3]
    print([(b, round(s, 3)) for b, s in beams])
x = [torch.randn(n, 4) for n in (5, 3, 2)]
ps = pack_sequence(x)
rn = nn.GRU(4, 5, 2, bidirectional=True)
y, h = rn(ps)
yy, ln = pad_packed_sequence(y, batch_first=True)
print(ps.batch_sizes, yy.shape, ln, round(yy.sum().item(), 4))
pk = pack_padded_sequence(pad_sequence([x[1], x[0]]), [3, 5], enforce_sorted=False)
print(pk.sorted_indices, pk.data.shape, round(rn(pk)[1].sum().item(), 4))
ctc = nn.CTCLoss(blank=0, zero_infinity=True)
lp = torch.randn(10, 2, 6).log_softmax(2).requires_grad_()
l = ctc(lp, torch.tensor([[1, 2, 3], [2, 2, 0]]), (10, 9), (3, 2))
l.backward()
print(l.item(), lp.grad.norm().item())
enc = nn.TransformerEncoder(
    nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu"),
    2,
    enable_nested_tensor=False,
).eval()
q = torch.randn(2, 5, 16)
print(round(enc(q, src_key_padding_mask=torch.tensor([[0, 0, 0, 1, 1], [0] * 5]).bool()).sum().item(), 4))
at, w = nn.MultiheadAttention(16, 4, batch_first=True)(q, q, q, average_attn_weights=False)
print(w.shape)
