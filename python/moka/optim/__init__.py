"""Optimizers, which change parameters by their gradients, and schedules for their learning rates."""
# SPDX-License-Identifier: Apache-2.0

from importlib import import_module as _import_module
from typing import Any as _Any

from . import lr_scheduler, optimizer
from .adam import Adam, AdamW
from .adam_relatives import Adamax, NAdam, RAdam, SparseAdam
from .adaptive import Adadelta, Adagrad, RMSprop, Rprop
from .lbfgs import LBFGS
from .matrix import Adafactor, Muon
from .optimizer import Optimizer
from .sgd import ASGD, SGD

__all__ = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "lr_scheduler",
    "optimizer",
]


def __getattr__(name: str) -> _Any:
    if name == "swa_utils":
        return _import_module("moka.optim.swa_utils")
    raise AttributeError(f"module 'moka.optim' has no attribute {name!r}")
