"""Optimizers, which change parameters by their gradients, and schedules for their learning rates."""
# SPDX-License-Identifier: Apache-2.0

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "SGD", "lr_scheduler"]
