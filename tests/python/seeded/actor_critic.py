"""Actor and critic, and Q-learning with replay, in a small environment."""
# SPDX-License-Identifier: Apache-2.0

import math
import random
from collections import deque, namedtuple
from itertools import count

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.distributions import Categorical, Normal

torch.manual_seed(543)
random.seed(1)


class Env:
    def reset(s):
        s.x = random.uniform(-0.5, 0.5)
        s.v = 0.0
        s.t = 0
        return [s.x, s.v]

    def step(s, a):
        s.v += (0.1 if a == 1 else -0.1) + 0.05 * s.x
        s.x += s.v * 0.5
        s.t += 1
        return ([s.x, s.v], 1.0 - abs(s.x), abs(s.x) > 2 or s.t >= 25)


env = Env()


class Policy(nn.Module):
    def __init__(s):
        super().__init__()
        s.a1 = nn.Linear(2, 32)
        s.dropout = nn.Dropout(p=0.2)
        s.act = nn.Linear(32, 2)
        s.val = nn.Linear(32, 1)
        s.saved, s.rewards = ([], [])

    def forward(s, x):
        x = F.relu(s.dropout(s.a1(x)))
        return (F.softmax(s.act(x), dim=-1), s.val(x))


Saved = namedtuple("Saved", ["log_prob", "value"])
m = Policy()
opt = optim.Adam(m.parameters(), lr=0.01)
eps = (
    torch.finfo(torch.float32).eps.item()
    if hasattr(torch.finfo(torch.float32).eps, "item")
    else torch.finfo(torch.float32).eps
)


def select(st):
    st = torch.tensor(st).float()
    p, v = m(st)
    d = Categorical(p)
    a = d.sample()
    m.saved.append(Saved(d.log_prob(a), v))
    return a.item()


run = 0
for ep in range(12):
    st = env.reset()
    R = 0
    for t in count():  # noqa: B007
        a = select(st)
        st, r, done = env.step(a)
        m.rewards.append(r)
        R += r
        if done:
            break
    G, ret = (0, deque())
    for r in m.rewards[::-1]:
        G = r + 0.99 * G
        ret.appendleft(G)
    ret = torch.tensor(ret)
    ret = (ret - ret.mean()) / (ret.std() + eps)
    pl, vl = ([], [])
    for (lp, v), g in zip(m.saved, ret, strict=False):
        adv = g - v.item()
        pl.append(-lp * adv)
        vl.append(F.smooth_l1_loss(v, torch.tensor([g])))
    opt.zero_grad()
    loss = torch.stack(pl).sum() + torch.stack(vl).sum()
    loss.backward()
    opt.step()
    del m.rewards[:], m.saved[:]
    if ep % 3 == 0:
        print(ep, t, f"{R:.3f} {loss.item():.4f}")
T = namedtuple("T", ("s", "a", "ns", "r"))


class Mem:
    def __init__(s, n):
        s.m = deque([], maxlen=n)

    def push(s, *a):
        s.m.append(T(*a))

    def sample(s, n):
        return random.sample(s.m, n)

    def __len__(s):
        return len(s.m)


Q, TQ = (
    nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)),
    nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)),
)
TQ.load_state_dict(Q.state_dict())
o2 = optim.AdamW(Q.parameters(), lr=0.001, amsgrad=True)
mem = Mem(500)
steps = 0
for ep in range(6):
    st = torch.tensor(env.reset(), dtype=torch.float32).unsqueeze(0)
    L = 0
    for t in count():  # noqa: B007
        e = 0.05 + 0.85 * math.exp(-steps / 50)
        steps += 1
        if random.random() > e:
            with torch.no_grad():
                a = Q(st).max(1).indices.view(1, 1)
        else:
            a = torch.tensor([[random.randrange(2)]], dtype=torch.long)
        ob, r, done = env.step(a.item())
        r = torch.tensor([r])
        ns = None if done else torch.tensor(ob, dtype=torch.float32).unsqueeze(0)
        mem.push(st, a, ns, r)
        st = ns
        if len(mem) >= 16:
            b = T(*zip(*mem.sample(16), strict=False))
            mask = torch.tensor(tuple(map(lambda s: s is not None, b.ns)), dtype=torch.bool)
            nf = torch.cat([s for s in b.ns if s is not None])
            sb, ab, rb = (torch.cat(b.s), torch.cat(b.a), torch.cat(b.r))
            q = Q(sb).gather(1, ab)
            nv = torch.zeros(16)
            with torch.no_grad():
                nv[mask] = TQ(nf).max(1).values
            loss = nn.SmoothL1Loss()(q, (nv * 0.99 + rb).unsqueeze(1))
            o2.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(Q.parameters(), 100)
            o2.step()
            L = loss.item()
            sd, qd = (TQ.state_dict(), Q.state_dict())
            for k in qd:
                sd[k] = qd[k] * 0.005 + sd[k] * 0.995
            TQ.load_state_dict(sd)
        if done:
            break
    print(ep, t, round(L, 4))
mu = nn.Linear(2, 1)
d = Normal(mu(torch.ones(3, 2)), torch.ones(1))
a = d.rsample()
print(
    a.shape,
    d.log_prob(a).sum().item(),
    d.entropy().mean().item(),
    torch.distributions.kl_divergence(d, Normal(0.0, 1.0)).sum().item(),
)
