"""Ways to fill a parameter at the start; each changes the tensor in place, and returns it."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings
from typing import Any

from moka import _C
from moka._C import Tensor
from moka.autograd import no_grad

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

_PLAIN = (
    *("linear", "conv1d", "conv2d", "conv3d"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"),
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which initial values grow to keep the variance through `nonlinearity`.

    1 for linear layers and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + param^2)) for leaky_relu
    (param its slope, 0.01 if None), 3/4 for selu.
    """
    if nonlinearity in _PLAIN:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if not (param is None or (isinstance(param, (int, float)) and not isinstance(param, bool))):
            raise ValueError(f"calculate_gain: the slope of leaky_relu must be a number, but {param!r} came")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 0.75
    known = ", ".join((*_PLAIN, "tanh", "relu", "leaky_relu", "selu"))
    raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are {known}")


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """Numbers of inputs and outputs that one element of the result sees, from the shape [out, in,
    *kernel].
    """
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(f"{name}: the tensor needs at least 2 dimensions, but its shape is {list(shape)}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _is_empty(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return 0 in tensor.shape


def _fan(name: str, tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', but {mode!r} came")
    return _fans(name, tensor)[mode == "fan_out"]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform between a and b."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, else 0."""
    if tensor.dim() != 2:
        raise ValueError(f"eye_: a matrix is needed, but the shape is {list(tensor.shape)}")
    with no_grad():
        tensor.zero_()
        for i in range(min(tensor.shape)):
            tensor[i, i].fill_(1.0)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution kernel [out, in, *sizes] that passes its input on: 1 in the middle for channel to the
    same
    channel (of each of `groups`), else 0.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"dirac_: a kernel of 3 to 5 dimensions is needed, not {list(tensor.shape)}")
    outputs, inputs, *sizes = tensor.shape
    if outputs % groups:
        raise ValueError(f"dirac_: {outputs} output channels cannot be shared out to {groups} groups")
    each = outputs // groups
    middle = tuple(size // 2 for size in sizes)
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(each, inputs)):
                tensor[(group * each + channel, channel, *middle)].fill_(1.0)
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """A normal matrix in which each column has a share `sparsity` of zeros (Martens 2010)."""
    if tensor.dim() != 2:
        raise ValueError(f"sparse_: a matrix is needed, but the shape is {list(tensor.shape)}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    with no_grad():
        for column in range(columns):
            tensor[_C.randperm(rows, generator=generator)[:zeros], column] = 0.0
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ±gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform in ±gain * sqrt(3 / fan) (He et al. 2015); `a` is the slope of leaky_relu."""
    if _is_empty(tensor):
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan("kaiming_uniform_", tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan) (He et al. 2015); `a` is the slope of leaky_relu."""
    if _is_empty(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan("kaiming_normal_", tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal with this mean and standard deviation, redrawn where outside [a, b]."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be below b, but they are {a} and {b}")
    from statistics import NormalDist

    normal = NormalDist()
    inside = normal.cdf((b - mean) / std) - normal.cdf((a - mean) / std)
    with no_grad():
        if inside > 0.3:  # few are outside: draw those again
            values = tensor.normal_(mean, std, generator=generator)
            while (outside := (values < a) | (values > b)).any():
                fresh = _C.empty_like(values).normal_(mean, std, generator=generator)
                values = _C.where(outside, fresh, values)
            return tensor if values is tensor else tensor.copy_(values)
        # Uniform numbers, each kept with a probability in proportion to the density there.
        highest = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

        def draw() -> tuple[Tensor, Tensor]:
            drawn = _C.empty_like(tensor).uniform_(a, b, generator=generator)
            density = -0.5 * ((drawn - mean) / std) ** 2 - highest
            return drawn, _C.empty_like(tensor).uniform_(generator=generator).log() > density

        values, again = draw()
        while again.any():
            drawn, outside = draw()
            values, again = _C.where(again, drawn, values), again & outside
        return tensor.copy_(values)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """A (semi-)orthogonal matrix times gain, trailing dimensions taken as one (Saxe et al. 2013)."""
    import numpy as np

    if tensor.dim() < 2:
        raise ValueError(
            f"orthogonal_: at least 2 dimensions are needed, but the shape is {list(tensor.shape)}"
        )
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    if rows == 0 or columns == 0:
        return tensor
    drawn = _C.empty(rows, columns, dtype=tensor.dtype).normal_(0.0, 1.0, generator=generator)
    draws = drawn.double().numpy()
    q, r = np.linalg.qr(draws.T if rows < columns else draws)
    q = q * np.sign(np.diag(r))
    values = _C.from_numpy(np.ascontiguousarray(q.T if rows < columns else q) * gain)
    with no_grad():
        return tensor.copy_(values.reshape(tuple(tensor.shape)))


def _old_name(function: Any) -> Any:
    """The name without underscore, which torch deprecated: it warns, then does the same."""

    def renamed(*args: Any, **kwargs: Any) -> Any:
        import warnings

        message = f"nn.init.{renamed.__name__} is deprecated in favor of nn.init.{function.__name__}"
        warnings.warn(message, FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = function.__name__.rstrip("_")
    renamed.__doc__ = f"The old name of `{function.__name__}`."
    return renamed


uniform = _old_name(uniform_)
normal = _old_name(normal_)
constant = _old_name(constant_)
eye = _old_name(eye_)
dirac = _old_name(dirac_)
xavier_uniform = _old_name(xavier_uniform_)
xavier_normal = _old_name(xavier_normal_)
kaiming_uniform = _old_name(kaiming_uniform_)
kaiming_normal = _old_name(kaiming_normal_)
orthogonal = _old_name(orthogonal_)
sparse = _old_name(sparse_)
