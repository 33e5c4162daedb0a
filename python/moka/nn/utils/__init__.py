"""Helpers around modules: clipping gradients, parameters as one vector."""
# SPDX-License-Identifier: Apache-2.0

from .clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from .vector import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]
