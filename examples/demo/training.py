"""The demo's training loop and its policy; torch_twin.py runs this very file under torch."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import time
from typing import Any, NamedTuple

import moka
from moka import nn, optim

__all__ = ["DIGITS", "FASHION", "SHORT", "Policy", "Run", "evaluate"]


class Policy(NamedTuple):
    """How a network is trained, and how good it has to become."""

    epochs: int
    batch_size: int
    learning_rate: float
    shift: int  # pixels by which training images move
    flip: bool  # whether they are mirrored
    mean: float
    std: float
    needed: float  # test accuracy that the demo asks for
    momentum: float = 0.9
    weight_decay: float = 5e-4
    train_images: int | None = None  # the first so many; None for all


FASHION = Policy(
    epochs=4, batch_size=128, learning_rate=0.1, shift=1, flip=True, mean=0.286, std=0.353, needed=0.90
)
SHORT = FASHION._replace(epochs=3, train_images=12_000, needed=0.84)
DIGITS = Policy(
    epochs=30, batch_size=64, learning_rate=0.1, shift=1, flip=False, mean=0.305, std=0.376, needed=0.97
)


class Run:
    """A network in training: model, optimizer, schedule, and what has been measured so far."""

    def __init__(self, model: Any, policy: Policy, steps_per_epoch: int) -> None:
        self.model = model
        self.policy = policy
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(
            model.parameters(),
            lr=policy.learning_rate,
            momentum=policy.momentum,
            weight_decay=policy.weight_decay,
            nesterov=True,
        )
        self.schedule = optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=policy.learning_rate,
            total_steps=policy.epochs * steps_per_epoch,
            pct_start=0.25,
            cycle_momentum=False,
        )
        self.epoch = 0
        self.seconds = 0.0  # of training, without evaluation
        self.losses: list[float] = []  # of every step
        self.rates: list[float] = []  # learning rate of every step
        self.accuracies: list[float] = []  # on the test images, after every epoch

    def step(self, images: Any, labels: Any) -> float:
        """One batch: forward, backward, update; returns the loss."""
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.item())
        return self.losses[-1]

    def train_epoch(self, batches: Any) -> float:
        """One pass over the training images; returns the mean loss of its steps."""
        self.model.train()
        begin = time.perf_counter()
        first = len(self.losses)
        for images, labels in batches:
            loss = self.step(images, labels)
            if hasattr(batches, "set_postfix"):
                batches.set_postfix(loss=loss)
        self.seconds += time.perf_counter() - begin
        self.epoch += 1
        return sum(self.losses[first:]) / max(len(self.losses) - first, 1)

    def state_dict(self) -> dict[str, Any]:
        """Everything that going on needs, as plain data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": [self.epoch, self.seconds, self.losses, self.rates, self.accuracies],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where state_dict() was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.seconds, self.losses, self.rates, self.accuracies = state["progress"]


def evaluate(model: Any, images: Any, batch_size: int = 500) -> Any:
    """The logits for all images, [n, classes], in evaluation mode and without gradients."""
    model.eval()
    with moka.no_grad():
        parts = [model(images[first : first + batch_size]) for first in range(0, len(images), batch_size)]
        return moka.cat(parts)
