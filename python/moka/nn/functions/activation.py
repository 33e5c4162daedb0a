"""Activations as plain functions; moka.nn.functional has them all."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from moka import _C
from moka._C import Tensor

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.relu_() if inplace else _C.relu(input)


def relu_(input: Tensor) -> Tensor:
    """relu in place."""
    return input.relu_()


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x limited to 0 ... 6."""
    return (_C.relu6_ if inplace else _C.relu6)(_not_bool(input, "relu6"))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above zero, negative_slope * x below."""
    return (_C.leaky_relu_ if inplace else _C.leaky_relu)(input, negative_slope)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu in place."""
    return _C.leaky_relu_(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above zero, alpha * (exp(x) - 1) below."""
    return (_C.elu_ if inplace else _C.elu)(input, alpha)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu in place."""
    return _C.elu_(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above zero, alpha * (exp(x / alpha) - 1) below."""
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be 0: the function divides by it")
    return (_C.celu_ if inplace else _C.celu)(input, alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """celu in place."""
    return celu(input, alpha, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Scaled elu whose constants keep mean and variance: 1.0507 * elu(x, 1.6733)."""
    return (_C.selu_ if inplace else _C.selu)(input)


def selu_(input: Tensor) -> Tensor:
    """selu in place."""
    return _C.selu_(input)


def gelu(input: Tensor, approximate: str = "none", *, out: Tensor | None = None) -> Tensor:
    """x * Phi(x), Phi the distribution function of the normal distribution; "tanh" approximates it."""
    if approximate == "none":
        return _C.gelu(input, out=out)
    if approximate == "tanh":
        return _C.gelu_tanh(input, out=out)
    raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', but {approximate!r} came")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + exp(-x))."""
    return (_C.silu_ if inplace else _C.silu)(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(log(1 + exp(x)))."""
    return (_C.mish_ if inplace else _C.mish)(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to min_val ... max_val."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} must not be above max_val {max_val}")
    if not (input.is_floating_point() or input.is_complex()):  # bounds of integers are integers
        min_val, max_val = int(min_val), int(max_val)
    return (_C.hardtanh_ if inplace else _C.hardtanh)(_not_bool(input, "hardtanh"), min_val, max_val)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh in place."""
    return hardtanh(input, min_val, max_val, True)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """(x + 3) / 6 limited to 0 ... 1."""
    return (_C.hardsigmoid_ if inplace else _C.hardsigmoid)(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    return (_C.hardswish_ if inplace else _C.hardswish)(input)


def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """0 in [-lambd, lambd], x outside."""
    return _C.hardshrink(input, lambd, out=out)


def softshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """0 in [-lambd, lambd], x moved by lambd towards 0 outside."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}")
    return _C.softshrink(input, lambd, out=out)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh() if input.is_complex() else _C.tanhshrink(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x above threshold, value elsewhere."""
    return _limited_below(input, threshold, value, inplace)


def _limited_below(input: Tensor, bound: float, value: float, inplace: bool) -> Tensor:
    if not input.is_floating_point():  # bounds of integers are integers
        bound, value = int(bound), int(value)
    return (_C.threshold_ if inplace else _C.threshold)(input, bound, value)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """threshold in place."""
    return _limited_below(input, threshold, value, True)


def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Tensor | None = None
) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x is above threshold."""
    return _C.softplus(input, beta, threshold, out=out)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1 + input.abs()) if input.is_complex() else _C.softsign(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _C.sigmoid(input)


def logsigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(1 / (1 + exp(-x))) without overflow."""
    return _C.logsigmoid(input, out=out)


def tanh(input: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return _C.tanh(input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x above zero, weight * x below: one weight, or one for each channel (dimension 1)."""
    return _C.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x above zero, a * x below; a is drawn from [lower, upper) in training, else their mean."""
    if lower > upper:
        raise RuntimeError(f"rrelu: lower {lower} must not be above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    if _C._draws_as_torch() and type(input) is Tensor:  # torch draws only where slopes are used
        below = input.detach() <= 0
        ends = _C.tensor([lower, upper], dtype=input.dtype).tolist()
        drawn = _C.empty(int(below.sum().item()), dtype=_C.float64).uniform_(*ends)
        slopes = _C.ones_like(input.detach()).masked_scatter(below, drawn.to(input.dtype))
    else:
        slopes = _C.empty_like(input.detach()).uniform_(lower, upper)
    return (_C.prelu_kernel_ if inplace else _C.prelu_kernel)(input, slopes)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """rrelu in place."""
    return rrelu(input, lower, upper, training, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second."""
    return _C.glu(input, dim)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None
) -> Tensor:
    """exp(x) / sum of exp(x) along `dim`."""
    return _C.softmax(input, _dimension(input, dim), dtype=dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None
) -> Tensor:
    """softmax(-x)."""
    return _C.softmin(input, _dimension(input, dim), dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None
) -> Tensor:
    """x - log(sum of exp(x)) along `dim`, without overflow."""
    return _C.log_softmax(input, _dimension(input, dim), dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al. 2017); `hard` gives one-hot vectors whose
    gradient is that of the soft ones.
    """
    noise = -_C.empty_like(logits.detach()).exponential_().log()
    soft = _C.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = _C.zeros_like(logits.detach()).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def _dimension(input: Tensor, dim: int | None) -> int:
    """PyTorch's choice where `dim` is not given: it is 0 for 0, 1 and 3 dimensions, else 1."""
    if dim is not None:
        return dim
    return 0 if input.dim() in (0, 1, 3) else 1


def _not_bool(input: Tensor, name: str) -> Tensor:
    if input.dtype == _C.bool:
        raise RuntimeError(f"{name}: not defined for bool; convert with .float() first")
    return input
