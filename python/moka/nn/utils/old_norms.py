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

__all__ = [
    "SpectralNorm",
    "WeightNorm",
    "remove_spectral_norm",
    "remove_weight_norm",
    "spectral_norm",
    "weight_norm",
]


def _find(module: Module, kind: type, name: str) -> tuple[int, Any] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def _sized(op: str, weight: Any) -> Any:
    if is_lazy(weight):
        raise ValueError(f"{op}: the module can't have uninitialized parameters. Run a forward pass before")
    return weight


def _restore(module: Module, name: str, parts: tuple[str, ...], weight: Tensor) -> None:
    for part in parts:
        delattr(module, name + part)
    module.__dict__.pop(name, None)
    module.register_parameter(name, Parameter(weight))


class WeightNorm:
    """The hook that computes `name` before every forward of the module that it is applied to."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """g * v / |v|."""
        size, direction = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return direction * (size / norm_except(direction, self.dim))

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Put the hook, with its two parameters, in the place of a parameter."""
        if _find(module, WeightNorm, name):
            raise RuntimeError(f"weight_norm: Cannot register two weight_norm hooks: {name!r} has one")
        hook = WeightNorm(name, dim)
        weight = _sized("weight_norm", getattr(module, name))
        delattr(module, name)
        module.register_parameter(name + "_g", Parameter(norm_except(weight.detach(), hook.dim).clone()))
        module.register_parameter(name + "_v", Parameter(weight.detach().clone()))
        object.__setattr__(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """One parameter with the present value in the place of the two; the hook stays."""
        with no_grad():
            weight = self.compute_weight(module)
        _restore(module, self.name, ("_g", "_v"), weight)

    def __call__(self, module: Module, args: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """weight = g * v / |v| with parameters weight_g and weight_v (Salimans and Kingma 2016); see
    nn.utils.parametrizations.weight_norm for the way that shows in the module's text.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight one parameter again, with its present value."""
    found = _find(module, WeightNorm, name)
    if found is None:
        raise ValueError(f"remove_weight_norm: {name!r} of {type(module).__name__} has no weight_norm")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


class SpectralNorm:
    """The hook that computes `name` before every forward of the module that it is applied to."""

    def __init__(
        self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                "spectral_norm: Expected n_power_iterations to be positive, but got n_power_iterations="
                f"{n_power_iterations}"
            )
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        """The matrix [size of dimension dim, all others]."""
        if self.dim:
            weight = weight.transpose(0, self.dim)
        return weight.reshape(weight.shape[0], -1)

    def _unit(self, vector: Tensor) -> Tensor:
        return vector / (vector * vector).sum().sqrt().clamp_min(self.eps)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight by its largest singular value, whose vectors the iterations bring nearer."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(self._unit(_C.matmul(matrix.t(), u)))
                    u.copy_(self._unit(_C.matmul(matrix, v)))
        return weight / (u.clone() * _C.matmul(matrix, v.clone())).sum()

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Put the hook, with its parameter and buffers, in the place of a parameter."""
        if _find(module, SpectralNorm, name):
            raise RuntimeError(f"spectral_norm: Cannot register two spectral_norm hooks: {name!r} has one")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = _sized("spectral_norm", getattr(module, name))
        rows, columns = hook.reshape_weight_to_matrix(weight.detach()).shape
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        module.register_buffer(name + "_u", hook._unit(_C.randn(rows, dtype=weight.dtype)))
        module.register_buffer(name + "_v", hook._unit(_C.randn(columns, dtype=weight.dtype)))
        object.__setattr__(module, name, weight.detach())
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """One parameter with the present value in the place of all that is kept; the hook stays."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        _restore(module, self.name, ("_orig", "_u", "_v"), weight.detach())

    def __call__(self, module: Module, args: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module, do_power_iteration=module.training))


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
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    SpectralNorm.apply(module, name, n_power_iterations, dim, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight one parameter again, with its present value."""
    found = _find(module, SpectralNorm, name)
    if found is None:
        raise ValueError(f"remove_spectral_norm: {name!r} of {type(module).__name__} has no spectral_norm")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module
