"""Names by their letters: a classifier, and a generator that samples."""
# SPDX-License-Identifier: Apache-2.0

import random
import string

import torch
from torch import nn

torch.manual_seed(1)
random.seed(1)
letters = string.ascii_lowercase + " '"
n_letters = len(letters)
data = {"a": ["anna", "ada", "alma", "nadia"], "b": ["bob", "brock", "boris", "hugo"]}
cats = list(data)


def to_t(line):
    t = torch.zeros(len(line), 1, n_letters)
    for i, c in enumerate(line):
        t[i][0][letters.find(c)] = 1
    return t


class RNN(nn.Module):
    def __init__(self, i, h, o):
        super().__init__()
        self.h = h
        self.i2h = nn.Linear(i, h)
        self.h2h = nn.Linear(h, h)
        self.h2o = nn.Linear(h, o)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, x, h):
        h = torch.tanh(self.i2h(x) + self.h2h(h))
        return (self.softmax(self.h2o(h)), h)

    def init(self):
        return torch.zeros(1, self.h)


rnn = RNN(n_letters, 16, 2)
crit = nn.NLLLoss()
tot = 0
for it in range(1, 201):
    c = random.choice(cats)
    line = random.choice(data[c])
    y = torch.tensor([cats.index(c)])
    x = to_t(line)
    h = rnn.init()
    rnn.zero_grad()
    for i in range(x.size(0)):
        o, h = rnn(x[i], h)
    loss = crit(o, y)
    loss.backward()
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-0.05)
    tot += loss.item()
    if it % 40 == 0:
        top_n, top_i = o.topk(1)
        print(it, f"{tot / 40:.4f}", cats[top_i[0].item()], c)
        tot = 0


class Gen(nn.Module):
    def __init__(s, h=32):
        super().__init__()
        s.lstm = nn.LSTM(n_letters + 1, h, num_layers=2, dropout=0.1)
        s.out = nn.Linear(h, n_letters + 1)

    def forward(s, x, st=None):
        y, st = s.lstm(x, st)
        return (s.out(y), st)


g = Gen()
opt = torch.optim.Adam(g.parameters(), 0.01)
EOS = n_letters
oh = nn.functional.one_hot
for it in range(60):
    w = random.choice(data["a"])
    ids = torch.tensor([letters.find(c) for c in w])
    x = oh(ids, n_letters + 1).float().unsqueeze(1)
    y = torch.cat([ids[1:], torch.tensor([EOS])])
    o, _ = g(x)
    loss = nn.functional.cross_entropy(o.squeeze(1), y)
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(g.parameters(), 1.0)
    opt.step()
    if it % 20 == 19:
        print(it, round(loss.item(), 3))
g.eval()
with torch.no_grad():
    for s in "an":
        cur, st, out = (letters.find(s), None, s)
        for _ in range(6):
            o, st = g(oh(torch.tensor([[cur]]), n_letters + 1).float(), st)
            pr = torch.softmax(o[0, 0] / 0.8, 0)
            cur = torch.multinomial(pr, 1).item()
            if cur == EOS:
                break
            out += letters[cur]
        print(out)
