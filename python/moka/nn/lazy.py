"""Layers that learn the size of their input from the first one that they get."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moka import _C
from moka._C import Tensor

from .convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .linear import Linear
from .module import Module
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .parameter import Parameter

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LazyModuleMixin",
    "UninitializedParameter",
]


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known yet."""

    def __repr__(self) -> str:
        return "UninitializedParameter()"


class LazyModuleMixin:
    """A layer whose parameters are made when the first input (or a state dict) says their sizes; it
    then becomes
    an ordinary layer of the class `cls_to_become`.
    """

    cls_to_become: type

    def has_uninitialized_params(self) -> bool:
        """Whether the sizes are still unknown."""
        return any(isinstance(p, UninitializedParameter) for p in self._parameters.values())  # type: ignore[attr-defined]

    def _wait(self, where: dict[str, Any], names: Sequence[str]) -> None:
        """Stand-ins for the parameters to come."""
        self._where = where
        for name in ("weight", "bias"):
            value = UninitializedParameter(_C.empty(0, **where)) if name in names else None
            self.register_parameter(name, value)  # type: ignore[attr-defined]

    def _sizes_from(self, input: Tensor) -> int:
        return input.shape[-1]

    def _sizes_from_state(self, weight: Tensor) -> int:
        return weight.shape[-1]

    def _become(self, size: int) -> None:
        """Make the parameters for inputs of this size."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is made")

    def _finish(self, size: int) -> None:
        training = self.training  # type: ignore[attr-defined, has-type]
        for name in ("weight", "bias"):
            self._parameters.pop(name, None)  # type: ignore[attr-defined]
        self._become(size)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        self.training = training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Learn the sizes from an input."""
        if self.__class__ is not self.cls_to_become:
            self._finish(self._sizes_from(input))

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Learn the sizes from the state, then load it."""
        weight = state_dict.get("weight", state_dict.get("running_mean"))
        if weight is not None and weight.numel():
            self._finish(self._sizes_from_state(weight))
        return Module.load_state_dict(self, state_dict, *args, **kwargs)  # type: ignore[arg-type]


class LazyLinear(LazyModuleMixin, Linear):
    """Linear whose in_features is the last size of the first input."""

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        Module.__init__(self)
        self.in_features = 0
        self.out_features = out_features
        self._with_bias = bias
        self._wait({"device": device, "dtype": dtype}, ("weight", "bias") if bias else ("weight",))

    def _become(self, size: int) -> None:
        self.in_features = size
        self.weight = Parameter(_C.empty(self.out_features, size, **self._where))
        value = Parameter(_C.empty(self.out_features, **self._where)) if self._with_bias else None
        self.register_parameter("bias", value)
        Linear.reset_parameters(self)


class _LazyConvolution(LazyModuleMixin):
    rank: int

    def _sizes_from(self, input: Tensor) -> int:
        if input.dim() not in (self.rank + 1, self.rank + 2):
            raise RuntimeError(
                f"{type(self).__name__}: input must have {self.rank + 1} or {self.rank + 2} dimensions, got "
                f"shape {list(input.shape)}"
            )
        return input.shape[-self.rank - 1]

    def _sizes_from_state(self, weight: Tensor) -> int:
        return weight.shape[0] if self.transposed else weight.shape[1] * self.groups  # type: ignore[attr-defined]

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        self._wait({"device": device, "dtype": dtype}, ("weight", "bias") if self._with_bias else ("weight",))  # type: ignore[attr-defined]

    def _become(self, size: int) -> None:
        if size % self.groups:  # type: ignore[attr-defined]
            raise ValueError(
                f"{type(self).__name__}: groups ({self.groups}) must divide the input's {size} channels"  # type: ignore[attr-defined]
            )
        self.in_channels = size
        outside = (size, self.out_channels) if self.transposed else (self.out_channels, size)  # type: ignore[attr-defined]
        self._shape = (outside[0], outside[1] // self.groups, *self.kernel_size)  # type: ignore[attr-defined]
        self.cls_to_become._make_parameters(self, **self._where)  # type: ignore[attr-defined]


class _LazyStatistics(LazyModuleMixin):
    def _sizes_from(self, input: Tensor) -> int:
        rank = getattr(self, "rank", None)
        return input.shape[0 if rank is not None and input.dim() == rank + 1 else 1]

    def _sizes_from_state(self, weight: Tensor) -> int:
        return weight.shape[0]

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        names = ("weight", "bias") if self._with_bias else ("weight",)  # type: ignore[attr-defined]
        self._wait({"device": device, "dtype": dtype}, names if self.affine else ())  # type: ignore[attr-defined]
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, None)  # type: ignore[attr-defined]

    def _become(self, size: int) -> None:
        self.num_features = size
        self.cls_to_become._make_parameters(self, **self._where)  # type: ignore[attr-defined]


def _lazy(kind: type, base: type) -> type:
    """The lazy form of a layer: its arguments without the first one, the size of the input."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, 0, *args, **kwargs)

    name = f"Lazy{base.__name__}"
    return type(
        name,
        (kind, base),
        {
            "__init__": __init__,
            "__module__": __name__,
            "__qualname__": name,
            "__doc__": f"{base.__name__} that learns the number of its input's channels from the first "
            "input.",
            "cls_to_become": base,
        },
    )


LazyConv1d = _lazy(_LazyConvolution, Conv1d)
LazyConv2d = _lazy(_LazyConvolution, Conv2d)
LazyConv3d = _lazy(_LazyConvolution, Conv3d)
LazyConvTranspose1d = _lazy(_LazyConvolution, ConvTranspose1d)
LazyConvTranspose2d = _lazy(_LazyConvolution, ConvTranspose2d)
LazyConvTranspose3d = _lazy(_LazyConvolution, ConvTranspose3d)
LazyBatchNorm1d = _lazy(_LazyStatistics, BatchNorm1d)
LazyBatchNorm2d = _lazy(_LazyStatistics, BatchNorm2d)
LazyBatchNorm3d = _lazy(_LazyStatistics, BatchNorm3d)
LazyInstanceNorm1d = _lazy(_LazyStatistics, InstanceNorm1d)
LazyInstanceNorm2d = _lazy(_LazyStatistics, InstanceNorm2d)
LazyInstanceNorm3d = _lazy(_LazyStatistics, InstanceNorm3d)
