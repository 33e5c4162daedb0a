"""Mixture densities, flows, diffusion, contrastive pairs and cycles of two generators."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)


class MDN(nn.Module):
    def __init__(s, k=3):
        super().__init__()
        s.z = nn.Sequential(nn.Linear(1, 16), nn.Tanh())
        s.pi, s.mu, s.sg = (nn.Linear(16, k), nn.Linear(16, k), nn.Linear(16, k))

    def forward(s, x):
        h = s.z(x)
        return (F.log_softmax(s.pi(h), -1), s.mu(h), torch.exp(s.sg(h)))


x = torch.linspace(-1, 1, 100).view(-1, 1)
y = torch.sin(5 * x) + 0.1 * torch.randn_like(x)
m = MDN()
o = torch.optim.Adam(m.parameters(), 0.01)
for i in range(60):
    lp, mu, sg = m(x)
    ll = -0.5 * ((y - mu) / sg) ** 2 - torch.log(sg) - 0.5 * math.log(2 * math.pi)
    loss = -torch.logsumexp(lp + ll, -1).mean()
    o.zero_grad()
    loss.backward()
    o.step()
    if i % 20 == 0:
        print("mdn", round(loss.item(), 4))


class Coupling(nn.Module):
    def __init__(s, flip):
        super().__init__()
        s.flip = flip
        s.n = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(s, x):
        a, b = x.chunk(2, 1) if not s.flip else x.chunk(2, 1)[::-1]
        ls, t = s.n(a).chunk(2, 1)
        ls = torch.tanh(ls)
        b = b * ls.exp() + t
        return (torch.cat([a, b] if not s.flip else [b, a], 1), ls.sum(1))


fl = nn.ModuleList([Coupling(i % 2 == 1) for i in range(4)])
o = torch.optim.Adam(fl.parameters(), 0.01)
base = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
d = torch.randn(128, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]]) + 1
for i in range(60):
    z, ld = (d, 0)
    for c in fl:
        z, l = c(z)
        ld = ld + l
    loss = -(base.log_prob(z) + ld).mean()
    o.zero_grad()
    loss.backward()
    o.step()
    if i % 20 == 0:
        print("flow", round(loss.item(), 4))
T = 50
beta = torch.linspace(0.0001, 0.02, T)
al = torch.cumprod(1 - beta, 0)


def emb(t, d=16):
    f = torch.exp(-math.log(10000.0) * torch.arange(d // 2) / (d // 2))
    a = t[:, None].float() * f[None]
    return torch.cat([a.sin(), a.cos()], -1)


class Eps(nn.Module):
    def __init__(s):
        super().__init__()
        s.l1, s.te, s.l2, s.l3 = (nn.Linear(2, 32), nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 2))

    def forward(s, x, t):
        return s.l3(F.silu(s.l2(F.silu(s.l1(x) + s.te(emb(t))))))


n = Eps()
o = torch.optim.AdamW(n.parameters(), 0.002)
ema = torch.optim.swa_utils.AveragedModel(n, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
for i in range(60):
    t = torch.randint(0, T, (64,))
    e = torch.randn(64, 2)
    x0 = d[torch.randperm(128)[:64]]
    xt = al[t].sqrt()[:, None] * x0 + (1 - al[t]).sqrt()[:, None] * e
    loss = F.mse_loss(n(xt, t), e)
    o.zero_grad(set_to_none=True)
    loss.backward()
    o.step()
    ema.update_parameters(n)
    if i % 20 == 0:
        print("ddpm", round(loss.item(), 4))
with torch.no_grad():
    x = torch.randn(8, 2)
    for t in reversed(range(T)):
        e = ema(x, torch.full((8,), t))
        x = (x - beta[t] / (1 - al[t]).sqrt() * e) / (1 - beta[t]).sqrt()
        if t:
            x += beta[t].sqrt() * torch.randn_like(x)
    print("sample", x.mean(0), int(ema.n_averaged))
enc = nn.Sequential(
    nn.Conv2d(1, 8, 3, 2, 1),
    nn.BatchNorm2d(8),
    nn.ReLU(inplace=True),
    nn.AdaptiveAvgPool2d(2),
    nn.Flatten(),
    nn.Linear(32, 16),
)
o = torch.optim.SGD(enc.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.0001)
sch = torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)
im = torch.rand(16, 1, 12, 12)
for i in range(10):
    v = torch.cat([im + 0.1 * torch.randn_like(im), im.flip(-1) + 0.1 * torch.randn_like(im)])
    z = F.normalize(enc(v))
    s = z @ z.t() / 0.5
    s.fill_diagonal_(float("-inf"))
    tgt = torch.cat([torch.arange(16, 32), torch.arange(0, 16)])
    loss = F.cross_entropy(s, tgt)
    o.zero_grad()
    loss.backward()
    o.step()
    sch.step()
    if i % 3 == 0:
        print("simclr", round(loss.item(), 4), round(sch.get_last_lr()[0], 5))
G = nn.Sequential(
    nn.ReflectionPad2d(1),
    nn.Conv2d(1, 4, 3),
    nn.InstanceNorm2d(4),
    nn.ReLU(True),
    nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
    nn.InstanceNorm2d(4),
    nn.Conv2d(4, 1, 3, 2, 1),
    nn.Tanh(),
)
F2 = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Tanh())
D = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(4, 1, 4))


def init(m):
    if hasattr(m, "weight") and "Conv" in m.__class__.__name__:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
        nn.init.constant_(m.bias.data, 0.0) if m.bias is not None else None


for q in (G, F2, D):
    q.apply(init)
oG = torch.optim.Adam([*G.parameters(), *F2.parameters()], 0.002, betas=(0.5, 0.999))
oD = torch.optim.Adam(D.parameters(), 0.002, betas=(0.5, 0.999))
lam = torch.optim.lr_scheduler.LambdaLR(oG, lambda e: 1.0 - max(0, e - 2) / 5)
for _i in range(6):
    a, b = (im[:4], im[4:8].flip(2))
    fake = G(a)
    rec = F2(fake)
    p = D(fake)
    lg = F.mse_loss(p, torch.ones_like(p)) + 10 * F.l1_loss(rec, a) + 5 * F.l1_loss(G(b), b)
    oG.zero_grad()
    lg.backward()
    oG.step()
    p1, p2 = (D(b), D(fake.detach()))
    ldd = 0.5 * (F.mse_loss(p1, torch.ones_like(p1)) + F.mse_loss(p2, torch.zeros_like(p2)))
    oD.zero_grad()
    ldd.backward()
    oD.step()
    lam.step()
    print("cyc", round(lg.item(), 4), round(ldd.item(), 4), oG.param_groups[0]["lr"])
