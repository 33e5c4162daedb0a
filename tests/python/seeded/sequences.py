"""Time series with LBFGS, polynomials, graph attention and differential equations."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim

np.random.seed(2)
torch.manual_seed(0)
T, L, N = (20, 100, 12)
xx = np.empty((N, L), "int64")
xx[:] = np.array(range(L)) + np.random.randint(-4 * T, 4 * T, N).reshape(N, 1)
data = torch.from_numpy(np.sin(xx / 1.0 / T).astype("float64"))


class Sequence(nn.Module):
    def __init__(s):
        super().__init__()
        s.lstm1 = nn.LSTMCell(1, 17)
        s.lstm2 = nn.LSTMCell(17, 17)
        s.linear = nn.Linear(17, 1)

    def forward(s, inp, future=0):
        outs = []
        h, c, h2, c2 = (torch.zeros(inp.size(0), 17, dtype=torch.double) for _ in range(4))
        for t in inp.split(1, dim=1):
            h, c = s.lstm1(t, (h, c))
            h2, c2 = s.lstm2(h, (h2, c2))
            o = s.linear(h2)
            outs += [o]
        for _ in range(future):
            h, c = s.lstm1(o, (h, c))
            h2, c2 = s.lstm2(h, (h2, c2))
            o = s.linear(h2)
            outs += [o]
        return torch.cat(outs, dim=1)


inp, tgt = (data[3:, :-1], data[3:, 1:])
seq = Sequence().double()
crit = nn.MSELoss()
o = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=5)
for _i in range(2):

    def closure():
        o.zero_grad()
        l = crit(seq(inp), tgt)
        print(f"loss: {l.item():.6f}")
        l.backward()
        return l

    o.step(closure)
    with torch.no_grad():
        p = seq(data[:3, :-1], future=10)
        print(f"test {crit(p[:, :-10], data[:3, 1:]).item():.6f}", p.detach().numpy().shape)
x = torch.randn(32, 1)
W, b = (torch.randn(4, 1) * 5, torch.randn(1) * 5)


def feats(x):
    x = x.unsqueeze(1)
    return torch.cat([x**i for i in range(1, 5)], 1)


def desc(W, b):
    r = "y = "
    r += "".join((f"{w:+.2f} x^{i + 1} " for i, w in enumerate(W)))
    return r + f"{b[0]:+.2f}"


fc = nn.Linear(4, 1)
for _k in range(100):
    r = torch.randn(32)
    X = feats(r)
    Y = X.mm(W) + b.item()
    fc.zero_grad()
    l = nn.functional.smooth_l1_loss(fc(X), Y)
    l.backward()
    [p.data.add_(-0.1 * p.grad) for p in fc.parameters()]
print(desc(fc.weight.view(-1), fc.bias), desc(W.view(-1), b), f"{l.item():.4f}")


class GAT(nn.Module):
    def __init__(s, i, o, h):
        super().__init__()
        s.W = nn.Parameter(torch.empty(i, o * h))
        s.a = nn.Parameter(torch.empty(h, 2 * o, 1))
        nn.init.xavier_normal_(s.W)
        nn.init.xavier_normal_(s.a)
        s.h, s.o, s.lr = (h, o, nn.LeakyReLU(0.2))

    def forward(s, x, adj):
        n = x.shape[0]
        q = F.dropout(torch.mm(x, s.W), 0.1, training=s.training).view(n, s.h, s.o).permute(1, 0, 2)
        src = torch.matmul(q, s.a[:, : s.o])
        dst = torch.matmul(q, s.a[:, s.o :])
        e = s.lr(src + dst.mT)
        a = torch.softmax(torch.where(adj > 0, e, -9e16 * torch.ones_like(e)), -1)
        return torch.matmul(a, q).mean(0)


g = GAT(6, 3, 2)
adj = (torch.rand(8, 8) > 0.6).float() + torch.eye(8)
X = torch.randn(8, 6)
t = torch.randint(0, 3, (8,))
o = optim.Adam(g.parameters(), 0.01, weight_decay=0.0005)
for _i in range(5):
    l = F.nll_loss(F.log_softmax(F.elu(g(X, adj)), 1), t)
    o.zero_grad()
    l.backward()
    o.step()
    print("gat", f"{l.item():.4f}")


def ode(f, y, t):
    ys = [y]
    for a, b2 in zip(t[:-1], t[1:], strict=False):
        h = b2 - a
        k1 = f(a, y)
        k2 = f(a + h / 2, y + h / 2 * k1)
        k3 = f(a + h / 2, y + h / 2 * k2)
        k4 = f(b2, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        ys.append(y)
    return torch.stack(ys)


net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
ts = torch.linspace(0, 1, 6)
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
y0 = torch.tensor([[2.0, 0.0]])
true = ode(lambda t, y: y**3 @ A, y0, ts)
o = optim.RMSprop(net.parameters(), 0.001)
for _i in range(5):
    l = (ode(lambda t, y: net(y**3), y0, ts) - true).abs().mean()
    o.zero_grad()
    l.backward()
    o.step()
    print("ode", f"{l.item():.4f}")
