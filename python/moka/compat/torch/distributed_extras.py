"""torch.distributed.optim: optimizers that split their state among processes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from moka.optim import Optimizer

from .refusing import refused_class

__all__ = ["ZeroRedundancyOptimizer"]

ZeroRedundancyOptimizer = refused_class(
    "torch.distributed.optim.ZeroRedundancyOptimizer",
    "states of optimizers are not split among processes; use the optimizer itself",
    (Optimizer,),
)
