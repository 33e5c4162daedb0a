"""Layers that learn the size of their input from the first one that they get."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

from .convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .linear import Linear
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy

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
    "UninitializedBuffer",
    "UninitializedParameter",
    "is_lazy",
]


class LazyModuleMixin:
    """A layer whose parameters get their sizes from the first input (or from a state dict).

    A subclass holds UninitializedParameter and UninitializedBuffer objects, and gives them their shapes in
    `initialize_parameters(*args, **kwargs)`, which gets the arguments of the first call. After that call the
    module is of the class `cls_to_become`, if there is one.
    """

    cls_to_become: type | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)  # type: ignore[attr-defined]
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)  # type: ignore[attr-defined]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes, for these arguments of forward."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}: it gives the parameters "
            "their shapes"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        own = (*self._parameters.values(), *self._buffers.values())  # type: ignore[attr-defined]
        return any(is_lazy(value) for value in own)

    def _lazy_load_hook(self, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        # A loaded state says the shapes; the class changes with the first call.
        for name, own in (*self._parameters.items(), *self._buffers.items()):  # type: ignore[attr-defined]
            given = state_dict.get(prefix + name)
            if is_lazy(own) and isinstance(given, Tensor) and not is_lazy(given):
                with no_grad():
                    own.materialize(given.shape)

    def _infer_parameters(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
        self._initialize_hook.remove()
        self._load_hook.remove()
        del self._initialize_hook, self._load_hook
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def _replicate_for_data_parallel(self) -> Any:
        raise RuntimeError(
            "DataParallel: modules with uninitialized parameters can't be used; run a forward pass before"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """Linear whose in_features is the last size of the first input."""

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False)
        where = {"device": device, "dtype": dtype}
        self.weight = UninitializedParameter(**where)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(**where)

    def reset_parameters(self) -> None:
        """Draw fresh values, once there are parameters."""
        if self.in_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """in_features is the last size of the input."""
        self.in_features = self.in_features or input.shape[-1]
        if self.has_uninitialized_params():
            with no_grad():
                self.weight.materialize((self.out_features, self.in_features))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()


class _LazyConvolution(LazyModuleMixin):
    rank: int

    def _make_parameters(self, device: Any, dtype: Any) -> None:
        where = {"device": device, "dtype": dtype}
        self.weight = UninitializedParameter(**where)
        self.register_parameter("bias", UninitializedParameter(**where) if self._with_bias else None)  # type: ignore[attr-defined]

    def reset_parameters(self) -> None:
        """Draw fresh values, once there are parameters."""
        if self.in_channels and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """in_channels is the number of the input's channels."""
        if input.dim() not in (self.rank + 1, self.rank + 2):
            raise RuntimeError(
                f"{type(self).__name__}: Expected {self.rank + 1}D (unbatched) or {self.rank + 2}D (batched) "
                f"input, got shape {list(input.shape)}"
            )
        self.in_channels = self.in_channels or input.shape[-self.rank - 1]
        if not self.has_uninitialized_params():
            return
        groups, transposed = self.groups, self.transposed  # type: ignore[attr-defined]
        if self.in_channels % groups:
            raise ValueError(
                f"{type(self).__name__}: groups ({groups}) must divide the input's {self.in_channels} "
                "channels"
            )
        channels = (self.in_channels, self.out_channels)  # type: ignore[attr-defined]
        first, second = channels if transposed else channels[::-1]
        with no_grad():
            self.weight.materialize((first, second // groups, *self.kernel_size))  # type: ignore[attr-defined]
            if self.bias is not None:  # type: ignore[has-type]
                self.bias.materialize((self.out_channels,))  # type: ignore[attr-defined, has-type]
            self.reset_parameters()


class _LazyStatistics(LazyModuleMixin):
    def _make_parameters(self, device: Any, dtype: Any) -> None:
        where = {"device": device, "dtype": dtype}
        for name, present in (("weight", True), ("bias", self._with_bias)):  # type: ignore[attr-defined]
            value = UninitializedParameter(**where) if self.affine and present else None  # type: ignore[attr-defined]
            self.register_parameter(name, value)  # type: ignore[attr-defined]
        for name in ("running_mean", "running_var"):
            value = UninitializedBuffer(**where) if self.track_running_stats else None  # type: ignore[attr-defined]
            self.register_buffer(name, value)  # type: ignore[attr-defined]
        count = _C.tensor(0, dtype=_C.int64, device=device) if self.track_running_stats else None  # type: ignore[attr-defined]
        self.register_buffer("num_batches_tracked", count)  # type: ignore[attr-defined]

    def reset_parameters(self) -> None:
        """weight = 1, bias = 0 and no averages, once there are parameters."""
        if self.num_features and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """num_features is the number of the input's channels."""
        rank = getattr(self, "rank", None)
        channels = input.shape[0 if rank is not None and input.dim() == rank + 1 else 1]
        self.num_features = self.num_features or channels
        if self.has_uninitialized_params():
            names = ("weight", "bias", "running_mean", "running_var")
            with no_grad():
                for value in (getattr(self, name) for name in names):
                    if is_lazy(value):
                        value.materialize((self.num_features,))
                self.reset_parameters()


def _lazy(kind: type, base: type) -> type:
    """The lazy form of a layer: its arguments without the first one, the size of the input."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        LazyModuleMixin.__init__(self, 0, *args, **kwargs)

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
