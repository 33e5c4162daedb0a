"""Helpers around modules: clipping gradients, parameters as vectors, sequences, parametrizations, pruning."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

from . import parametrizations, parametrize, prune, rnn, stateless
from .clip import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from .old_norms import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm
from .vector import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "vector_to_parameters",
    "weight_norm",
]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters hold whatever was in memory: for weights that are loaded right after.

    The initial values are not drawn, so the random stream stays where it was.
    """
    import moka
    from moka.nn import init

    names = [name for name in init.__all__ if name.endswith("_") and callable(getattr(init, name))]
    kept = {name: getattr(init, name) for name in names}
    try:
        for name in names:
            setattr(init, name, lambda tensor, *_, **__: tensor)
        with moka.no_grad():
            return module_cls(*args, **kwargs)
    finally:
        for name, function in kept.items():
            setattr(init, name, function)
