"""Digits, autoencoders, adversaries, super resolution, style, twins, patches and segments."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
import torch.nn.functional as F
from torch import nn, optim

torch.manual_seed(1)
x = torch.rand(32, 1, 28, 28)
y = torch.randint(0, 10, (32,))
x[torch.arange(32), 0, y * 2] += 2


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.conv1 = nn.Conv2d(1, 8, 3, 1)
        s.conv2 = nn.Conv2d(8, 16, 3, 1)
        s.dropout1 = nn.Dropout(0.25)
        s.dropout2 = nn.Dropout(0.5)
        s.fc1 = nn.Linear(2304, 32)
        s.fc2 = nn.Linear(32, 10)

    def forward(s, x):
        x = F.relu(s.conv1(x))
        x = F.relu(s.conv2(x))
        x = F.max_pool2d(x, 2)
        x = s.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(s.fc1(x))
        x = s.dropout2(x)
        return F.log_softmax(s.fc2(x), dim=1)


m = Net()
o = optim.Adadelta(m.parameters(), lr=1.0)
sch = optim.lr_scheduler.StepLR(o, step_size=1, gamma=0.7)
for _ep in range(4):
    m.train()
    o.zero_grad()
    l = F.nll_loss(m(x), y)
    l.backward()
    o.step()
    sch.step()
    m.eval()
    print(
        "mnist",
        f"{l.item():.4f}",
        F.nll_loss(m(x), y, reduction="sum").item() / 32,
        m(x).argmax(1, keepdim=True).eq(y.view_as(y.unsqueeze(1)).view(-1, 1)).sum().item(),
    )


class R(nn.Module):
    def __init__(s):
        super().__init__()
        s.rnn = nn.LSTM(28, 16, batch_first=True)
        s.bn = nn.BatchNorm1d(16)
        s.d = nn.Dropout2d(0.25)
        s.fc = nn.Linear(16, 10)

    def forward(s, q):
        s.rnn.flatten_parameters()
        o, h = s.rnn(q.reshape(-1, 28, 28))
        return F.log_softmax(s.fc(s.d(s.bn(o[:, -1]))), 1)


m = R()
o = optim.RMSprop(m.parameters(), lr=0.01, momentum=0.5, centered=True)
for _ep in range(3):
    l = F.nll_loss(m(x), y)
    o.zero_grad()
    l.backward()
    o.step()
    print("rnn", f"{l.item():.4f}")


class VAE(nn.Module):
    def __init__(s):
        super().__init__()
        s.fc1 = nn.Linear(784, 40)
        s.fc21 = nn.Linear(40, 5)
        s.fc22 = nn.Linear(40, 5)
        s.fc3 = nn.Linear(5, 40)
        s.fc4 = nn.Linear(40, 784)

    def rep(s, mu, lv):
        std = torch.exp(0.5 * lv)
        return mu + torch.randn_like(std) * std

    def forward(s, x):
        h = F.relu(s.fc1(x.view(-1, 784)))
        mu, lv = (s.fc21(h), s.fc22(h))
        return (torch.sigmoid(s.fc4(F.relu(s.fc3(s.rep(mu, lv))))), mu, lv)


m = VAE()
o = optim.Adam(m.parameters(), 0.001)
xc = x.clamp(0, 1)
for _ep in range(4):
    r, mu, lv = m(xc)
    l = F.binary_cross_entropy(r, xc.view(-1, 784), reduction="sum") - 0.5 * torch.sum(
        1 + lv - mu.pow(2) - lv.exp()
    )
    o.zero_grad()
    l.backward()
    o.step()
    print("vae", f"{l.item() / 32:.3f}")
G = nn.Sequential(
    nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(True),
    nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
D = nn.Sequential(
    nn.Conv2d(1, 8, 4, 2, 1, bias=False),
    nn.BatchNorm2d(8),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(8, 1, 4, 1, 0, bias=False),
    nn.Sigmoid(),
)


def wi(m):
    c = m.__class__.__name__
    if c.find("Conv") != -1:
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif c.find("BatchNorm") != -1:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


G.apply(wi)
D.apply(wi)
crit = nn.BCELoss()
og, od = (optim.Adam(q.parameters(), lr=0.0002, betas=(0.5, 0.999)) for q in (G, D))
real = F.interpolate(x, size=8, mode="bilinear", align_corners=False)
for _ep in range(3):
    D.zero_grad()
    lab = torch.full((32,), 1.0, dtype=real.dtype)
    out = D(real).view(-1)
    e1 = crit(out, lab)
    e1.backward()
    z = torch.randn(32, 8, 1, 1)
    f = G(z)
    lab.fill_(0.0)
    out = D(f.detach()).view(-1)
    e2 = crit(out, lab)
    e2.backward()
    od.step()
    G.zero_grad()
    lab.fill_(1.0)
    eg = crit(D(f).view(-1), lab)
    eg.backward()
    og.step()
    print("gan", f"{(e1 + e2).item():.4f} {eg.item():.4f}")
sr = nn.Sequential(nn.Conv2d(1, 16, 5, 1, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 1, 1), nn.PixelShuffle(2))
[nn.init.orthogonal_(l.weight, nn.init.calculate_gain("relu")) for l in sr if hasattr(l, "weight")]
o = optim.Adam(sr.parameters(), 0.01)
lo = F.avg_pool2d(x, 2)
for _ep in range(3):
    l = F.mse_loss(sr(lo), x)
    o.zero_grad()
    l.backward()
    o.step()
    print("sr", f"{l.item():.4f}", f"{10 * math.log10(1 / l.item()):.3f}")
feat = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3)).eval().requires_grad_(False)


def gram(t):
    a, b, c, d = t.size()
    f = t.view(a * b, c * d)
    return torch.mm(f, f.t()).div(a * b * c * d)


img = x[:1].clone().requires_grad_(True)
st = gram(feat(x[1:2])).detach()
ct = feat(x[:1]).detach()
o = optim.LBFGS([img])
run = [0]
while run[0] <= 10:

    def clo():
        with torch.no_grad():
            img.clamp_(0, 1)
        o.zero_grad()
        f = feat(img)
        l = 100000.0 * F.mse_loss(gram(f), st) + F.mse_loss(f, ct)
        l.backward()
        run[0] += 1
        return l

    l = o.step(clo)
print("style", run[0], f"{l.item():.4f}")


class Siam(nn.Module):
    def __init__(s):
        super().__init__()
        s.cnn = nn.Sequential(nn.Conv2d(1, 4, 7, 2), nn.MaxPool2d(2), nn.Flatten())
        s.fc = nn.Sequential(nn.Linear(2 * 100, 16), nn.ReLU(inplace=True), nn.Linear(16, 1))
        s.sigmoid = nn.Sigmoid()
        s.apply(s.iw)

    def iw(s, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward(s, a, b):
        return s.sigmoid(s.fc(torch.cat((s.cnn(a).view(a.size()[0], -1), s.cnn(b)), 1)))


m = Siam()
o = optim.Adadelta(m.parameters(), lr=1.0)
t = (y[:16] == y[16:]).float()
for _ep in range(3):
    l = nn.BCELoss()(m(x[:16], x[16:]).squeeze(), t)
    o.zero_grad()
    l.backward()
    o.step()
    print("siam", f"{l.item():.4f}")
tl, cl, co = (nn.TripletMarginLoss(), nn.CosineEmbeddingLoss(), nn.HingeEmbeddingLoss())
a, b, c = torch.randn(3, 4, 8)
print(
    tl(a, b, c),
    cl(a, b, torch.tensor([1, -1, 1, -1])),
    co(a, torch.sign(b)),
    F.pairwise_distance(a, b),
    F.cosine_similarity(a, b),
)


class FF(nn.Linear):
    def __init__(s, i, o):
        super().__init__(i, o)
        s.opt = optim.Adam(s.parameters(), lr=0.03)
        s.th = 2.0

    def forward(s, x):
        return torch.relu(
            torch.mm(x / (x.norm(2, 1, keepdim=True) + 0.0001), s.weight.T) + s.bias.unsqueeze(0)
        )

    def train(s, p=None, n=None):
        if p is None or isinstance(p, bool):
            return super().train(True)
        for _ in range(3):
            gp, gn = (s.forward(p).pow(2).mean(1), s.forward(n).pow(2).mean(1))
            l = torch.log(1 + torch.exp(torch.cat([-gp + s.th, gn - s.th]))).mean()
            s.opt.zero_grad()
            l.backward()
            s.opt.step()
        return (s.forward(p).detach(), l.item())


f = FF(784, 20)
print("ff", f"{f.train(x.view(32, -1), x[torch.randperm(32)].view(32, -1).flip(1))[1]:.4f}")


class ViT(nn.Module):
    def __init__(s):
        super().__init__()
        s.p = nn.Conv2d(1, 16, 7, 7)
        s.cls = nn.Parameter(torch.zeros(1, 1, 16))
        s.pos = nn.Parameter(torch.randn(1, 17, 16) * 0.02)
        s.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 32, 0.1, "gelu", batch_first=True, norm_first=True),
            2,
            nn.LayerNorm(16),
        )
        s.head = nn.Linear(16, 10)

    def forward(s, x):
        t = s.p(x).flatten(2).transpose(1, 2)
        t = torch.cat([s.cls.expand(t.size(0), -1, -1), t], 1) + s.pos
        return s.head(s.enc(t)[:, 0])


m = ViT()
o = optim.AdamW(m.parameters(), 0.001, weight_decay=0.05)
sc = optim.lr_scheduler.OneCycleLR(o, 0.01, total_steps=5)
sq = None
for _ep in range(4):
    l = F.cross_entropy(m(x), y, label_smoothing=0.1)
    o.zero_grad()
    l.backward()
    nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    o.step()
    sc.step()
    print("vit", f"{l.item():.4f} {sc.get_last_lr()[0]:.6f}")


class UNet(nn.Module):
    def __init__(s):
        super().__init__()
        d = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(2, o), nn.SiLU())
        s.d1, s.d2, s.u1 = (d(1, 4), d(4, 8), d(8, 4))
        s.up = nn.ConvTranspose2d(8, 4, 2, 2)
        s.o = nn.Conv2d(4, 1, 1)

    def forward(s, x):
        a = s.d1(x)
        b = s.d2(F.max_pool2d(a, 2))
        u = s.up(b)
        u = F.pad(u, [0, a.size(3) - u.size(3), 0, a.size(2) - u.size(2)])
        return s.o(s.u1(torch.cat([a, u], 1)))


m = UNet()
o = optim.SGD(m.parameters(), 0.1, momentum=0.9)
for _ep in range(3):
    p = m(x)
    t = (x > 1).float()
    l = (
        F.binary_cross_entropy_with_logits(p, t, pos_weight=torch.tensor(3.0))
        + 1
        - (2 * (p.sigmoid() * t).sum() + 1) / (p.sigmoid().sum() + t.sum() + 1)
    )
    o.zero_grad()
    l.backward()
    o.step()
    print("unet", f"{l.item():.4f}")
