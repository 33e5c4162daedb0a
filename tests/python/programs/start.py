"""What the programs share: first weights and noise from NumPy, and losses on the standard output."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import torch


def numbers(seed):
    """NumPy's old generator, whose numbers never change."""
    return np.random.RandomState(seed)


def fill(module, seed=0):
    """Weights normal with variance 1 / fan_in (matrices and kernels); vectors stay as they are."""
    draw = numbers(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                fan = math.prod(parameter.shape[1:])
                values = draw.standard_normal(tuple(parameter.shape)) / math.sqrt(fan)
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
            elif parameter.dim() == 1 and (parameter != 1).any().item():
                parameter.zero_()
    return module


def noise(draw, *shape):
    """Normal numbers as a tensor."""
    return torch.from_numpy(draw.standard_normal(shape).astype(np.float32))


def report(*losses):
    """One line of losses."""
    print("loss", *(f"{float(loss):.6f}" for loss in losses), flush=True)
