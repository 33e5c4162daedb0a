"""REINFORCE on a corridor: go to the right end before time is up."""
# SPDX-License-Identifier: Apache-2.0

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from start import fill, numbers, report
from torch.distributions import Categorical

LENGTH, GAMMA = 8, 0.95


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(LENGTH, 16)
        self.affine2 = nn.Linear(16, 2)
        self.saved_log_probs, self.rewards = [], []

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.affine1(x))), dim=1)


class Corridor:
    def reset(self):
        self.place, self.time = 2, 0
        return self.place

    def step(self, action):
        self.place = max(0, self.place + (1 if action == 1 else -1))
        self.time += 1
        won = self.place == LENGTH - 1
        return self.place, 1.0 if won else -0.05, won or self.time == 30


def select_action(policy, place, draw):
    probabilities = policy(F.one_hot(torch.tensor([place]), LENGTH).float())
    m = Categorical(probabilities)
    # The draw itself is NumPy's, so that every library takes the same way.
    action = torch.tensor([int(draw.rand() < float(m.probs[0, 1].item()))])
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode(policy, optimizer):
    total, returns = 0.0, []
    for reward in reversed(policy.rewards):
        total = reward + GAMMA * total
        returns.insert(0, total)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    terms = [-p * value for p, value in zip(policy.saved_log_probs, returns)]  # noqa: B905
    optimizer.zero_grad()
    loss = torch.cat(terms).sum()
    loss.backward()
    optimizer.step()
    del policy.rewards[:], policy.saved_log_probs[:]
    return loss


def main():
    draw = numbers(23)
    policy = fill(Policy(), 24)
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)
    world = Corridor()
    for episode in range(24):
        place, done = world.reset(), False
        while not done:
            place, reward, done = world.step(select_action(policy, place, draw))
            policy.rewards.append(reward)
        steps = len(policy.rewards)
        loss = finish_episode(policy, optimizer)
        if episode % 4 == 0:
            report(loss, steps)


if __name__ == "__main__":
    main()
