"""torch.ao.quantization: the parts of float models that only mark where a quantized one would change its
numbers.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.nn import Identity, Module
from moka.nn import functional as F

from .refusing import refused_class, refused_function

__all__ = [
    "DeQuantStub",
    "FloatFunctional",
    "QFunctional",
    "QuantStub",
    "QuantWrapper",
]

_NONE = "Moka has no quantized types"


class QuantStub(Module):
    """Where a quantized model would begin; the identity."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        return x


class DeQuantStub(QuantStub):
    """Where it would end; the identity."""


class QuantWrapper(Module):
    """A module between the two."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.quant, self.dequant, self.module = QuantStub(), DeQuantStub(), module

    def forward(self, X: Tensor) -> Tensor:
        return self.dequant(self.module(self.quant(X)))


class FloatFunctional(Module):
    """Operators as a module, where a quantized model would watch their results."""

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, x: Any) -> Any:
        raise RuntimeError("FloatFunctional: call one of its functions instead, such as add")

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        return self.activation_post_process(x + y)

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """x + y."""
        return x + y

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """x * y."""
        return self.activation_post_process(x * y)

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """x * y."""
        return x * y

    def cat(self, x: list[Tensor], dim: int = 0) -> Tensor:
        """The tensors one after the other along `dim`."""
        return self.activation_post_process(_C.cat(x, dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """relu(x + y)."""
        return self.activation_post_process(F.relu(x + y))

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """x @ y."""
        return self.activation_post_process(_C.matmul(x, y))


QFunctional = refused_class("torch.ao.nn.quantized.QFunctional", _NONE)

_REFUSED = (
    "convert fuse_modules fuse_modules_qat get_default_qat_qconfig get_default_qconfig prepare "
    "prepare_qat quantize quantize_dynamic"
).split()
for _name in _REFUSED:
    globals()[_name] = refused_function(f"torch.ao.quantization.{_name}", _NONE)
__all__ += _REFUSED
