"""A neural differential equation fitted to a spiral, trained by the adjoint method (Chen and others 2018)."""
# SPDX-License-Identifier: Apache-2.0

import torch
from start import fill, numbers, report
from torch import nn, optim

STEP = 0.1


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, y):
        return self.net(y**3)


def rk4(f, y, h):
    k1 = f(y)
    k2 = f(y + h / 2 * k1)
    k3 = f(y + h / 2 * k2)
    k4 = f(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


class Solve(torch.autograd.Function):
    """The end of the way; backward goes it again, step by step, and asks each step for its gradients."""

    @staticmethod
    def forward(ctx, field, steps, y, *parameters):
        states = [y]
        with torch.no_grad():
            for _ in range(steps):
                states.append(rk4(field, states[-1], STEP))
        ctx.field, ctx.parameters = field, parameters
        ctx.save_for_backward(*states)
        return states[-1].clone()

    @staticmethod
    def backward(ctx, grad):
        totals = [torch.zeros_like(p) for p in ctx.parameters]
        for state in reversed(ctx.saved_tensors[:-1]):
            with torch.enable_grad():
                start = state.detach().requires_grad_(True)
                end = rk4(ctx.field, start, STEP)
                grads = torch.autograd.grad(end, (start, *ctx.parameters), grad, allow_unused=True)
            grad = grads[0]
            for total, g in zip(totals, grads[1:]):  # noqa: B905
                if g is not None:
                    total.add_(g)
        return (None, None, grad, *totals)


def main():
    draw = numbers(31)
    field = fill(Field(), 32)
    turn = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
    optimizer = optim.RMSprop(field.parameters(), lr=1e-3)
    for step in range(24):
        y = torch.from_numpy(draw.uniform(-1.5, 1.5, (16, 2)).astype("float32"))
        with torch.no_grad():
            target = y
            for _ in range(5):
                target = rk4(lambda v: (v**3) @ turn, target, STEP)
        optimizer.zero_grad()
        found = Solve.apply(field, 5, y, *field.parameters())
        loss = torch.mean(torch.abs(found - target))
        loss.backward()
        optimizer.step()
        if step % 4 == 0:
            report(loss)


if __name__ == "__main__":
    main()
