"""weight_norm and spectral_norm in the old style: hooks that compute the weight before every forward."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from ..module import Module
from ..parameter import Parameter, is_lazy
from .parametrizations import norm_except

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _WeightNormHook:
    def __init__(self, name: str, dim: int) -> None:
        self.name = name
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        size, direction = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return direction * (size / norm_except(direction, self.dim))

    def __call__(self, module: Module, args: Any) -> None:
        object.__setattr__(module, self.name, self.compute(module))


def _find(module: Module, kind: type, name: str) -> tuple[int, Any] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def _sized(op: str, weight: Any) -> Any:
    if is_lazy(weight):
        raise ValueError(f"{op}: the module can't have uninitialized parameters. Run a forward pass before")
    return weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """weight = g * v / |v| with parameters weight_g and weight_v (Salimans and Kingma 2016); see
    nn.utils.parametrizations.weight_norm for the way that shows in the module's text.
    """
    if _find(module, _WeightNormHook, name):
        raise RuntimeError(f"weight_norm: Cannot register two weight_norm hooks: {name!r} has one already")
    hook = _WeightNormHook(name, -1 if dim is None else dim)
    weight = _sized("weight_norm", getattr(module, name))
    delattr(module, name)
    module.register_parameter(name + "_g", Parameter(norm_except(weight.detach(), hook.dim).clone()))
    module.register_parameter(name + "_v", Parameter(weight.detach().clone()))
    object.__setattr__(module, name, hook.compute(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight one parameter again, with its present value."""
    found = _find(module, _WeightNormHook, name)
    if found is None:
        raise ValueError(f"remove_weight_norm: {name!r} of {type(module).__name__} has no weight_norm")
    key, hook = found
    with no_grad():
        weight = hook.compute(module)
    del module._forward_pre_hooks[key]
    for part in ("_g", "_v"):
        delattr(module, name + part)
    module.__dict__.pop(name, None)
    module.register_parameter(name, Parameter(weight))
    return module


class _SpectralNormHook:
    def __init__(self, name: str, iterations: int, dim: int, eps: float) -> None:
        self.name = name
        self.iterations = iterations
        self.dim = dim
        self.eps = eps

    def matrix(self, weight: Tensor) -> Tensor:
        if self.dim:
            weight = weight.transpose(0, self.dim)
        return weight.reshape(weight.shape[0], -1)

    def unit(self, vector: Tensor) -> Tensor:
        return vector / (vector * vector).sum().sqrt().clamp_min(self.eps)

    def compute(self, module: Module, iterate: bool) -> Tensor:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.matrix(weight)
        if iterate:
            with no_grad():
                for _ in range(self.iterations):
                    v.copy_(self.unit(_C.matmul(matrix.t(), u)))
                    u.copy_(self.unit(_C.matmul(matrix, v)))
        return weight / (u.clone() * _C.matmul(matrix, v.clone())).sum()

    def __call__(self, module: Module, args: Any) -> None:
        object.__setattr__(module, self.name, self.compute(module, module.training))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """weight = weight_orig / its largest singular value, estimated with buffers weight_u and weight_v
    (Miyato and
    others 2018).
    """
    if _find(module, _SpectralNormHook, name):
        raise RuntimeError(f"spectral_norm: Cannot register two spectral_norm hooks: {name!r} has one")
    if n_power_iterations <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, but is {n_power_iterations}")
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    hook = _SpectralNormHook(name, n_power_iterations, dim, eps)
    weight = _sized("spectral_norm", getattr(module, name))
    rows, columns = hook.matrix(weight.detach()).shape
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    module.register_buffer(name + "_u", hook.unit(_C.randn(rows, dtype=weight.dtype)))
    module.register_buffer(name + "_v", hook.unit(_C.randn(columns, dtype=weight.dtype)))
    object.__setattr__(module, name, weight.detach())
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight one parameter again, with its present value."""
    found = _find(module, _SpectralNormHook, name)
    if found is None:
        raise ValueError(f"remove_spectral_norm: {name!r} of {type(module).__name__} has no spectral_norm")
    key, hook = found
    with no_grad():
        weight = hook.compute(module, False)
    del module._forward_pre_hooks[key]
    for part in ("_orig", "_u", "_v"):
        delattr(module, name + part)
    module.__dict__.pop(name, None)
    module.register_parameter(name, Parameter(weight.detach()))
    return module
