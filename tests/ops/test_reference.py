"""Operators against NumPy and the mathematical definition, in float64 and float32."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
from table import TABLE, cases, outputs

import moka

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lgamma(x):
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # poles, and results beyond the largest number
        return math.inf


def padded(x, pad, value=0.0):
    out = x
    for i in range(len(pad) // 2):
        axis = x.ndim - 1 - i
        before, after = pad[2 * i], pad[2 * i + 1]
        keep = slice(max(-before, 0), out.shape[axis] - max(-after, 0))
        out = out[(slice(None),) * axis + (keep,)]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(before, 0), max(after, 0))
        out = np.pad(out, widths, constant_values=value)
    return out


# name -> function of the sample's arguments, by the schema's names where they are keywords
REFERENCE = {
    "add": lambda x, y, alpha=1: x + alpha * y,
    "sub": lambda x, y, alpha=1: x - alpha * y,
    "rsub": lambda x, y, alpha=1: y - alpha * x,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: np.power(x, y),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lerp": lambda x, y, w: x + w * (y - x),
    "addcmul": lambda x, a, b, value=1: x + value * a * b,
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)).astype(x.dtype),
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "erf": erf,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "sinc": np.sinc,
    "deg2rad": np.deg2rad,
    "rad2deg": np.rad2deg,
    "exp2": np.exp2,
    "log2": np.log2,
    "log10": np.log10,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "logit": lambda x: np.log(x / (1 - x)),
    "xlogy": lambda x, y: x * np.log(y),
    "xlog1py": lambda x, y: x * np.log1p(y),
    "float_power": np.float_power,
    "ldexp": lambda x, y: x * np.exp2(y),
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "copysign": np.copysign,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "nextafter": np.nextafter,
    "heaviside": np.heaviside,
    "addcdiv": lambda x, a, b, value=1: x + value * a / b,
    "frac": lambda x: x - np.trunc(x),
    "isinf": np.isinf,
    "isposinf": np.isposinf,
    "isneginf": np.isneginf,
    "signbit": np.signbit,
    "nan_to_num": np.nan_to_num,
    "fmod": np.fmod,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.bitwise_not,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "gcd": np.gcd,
    "lcm": np.lcm,
    "isclose": np.isclose,
    "erfc": lambda x: 1 - erf(x),
    "lgamma": np.vectorize(lgamma, otypes=[np.float64]),
    "i0": np.i0,
    "special_entr": lambda x: -x * np.log(x),
    "special_spherical_bessel_j0": lambda x: np.sin(x) / x,
    "celu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
    "softshrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    "logsigmoid": lambda x: np.log(sigmoid(x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
    "glu": lambda x, dim=-1: np.multiply(np.split(x, 2, dim)[0], sigmoid(np.split(x, 2, dim)[1])),
    "cumprod": lambda x, dim: np.cumprod(x, dim).reshape(x.shape),
    "logcumsumexp": lambda x, dim: np.logaddexp.accumulate(x, dim) if x.size else x,
    "trace": np.trace,
    "nansum": lambda x, dim=None: np.nansum(x, None if dim is None else tuple(dim)),
    "count_nonzero": lambda x, dim=None: np.count_nonzero(x, None if dim is None else tuple(dim)),
    "bincount": lambda x: np.bincount(x),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "clamp": lambda x, min, max: np.clip(x, min, max),
    "clamp_min": lambda x, min: np.maximum(x, min),
    "clamp_max": lambda x, max: np.minimum(x, max),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x, beta=1.0, threshold=20.0: np.log1p(np.exp(beta * x)) / beta,
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "logical_not": np.logical_not,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "where": np.where,
    "masked_fill": lambda x, m, value: np.where(m, value, x),
    "reshape": lambda x, shape: x.reshape(shape),
    "view": lambda x, size: x.reshape(size),
    "flatten": lambda x, start_dim=0, end_dim=-1: (
        x.reshape(x.shape[:start_dim] + (-1,)) if x.size else x.reshape(-1)
    ),
    "permute": lambda x, dims: x.transpose(dims),
    "transpose": lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
    "t": lambda x: x.T,
    "squeeze": np.squeeze,
    "unsqueeze": lambda x, dim: np.expand_dims(x, dim),
    "expand": lambda x, size: np.broadcast_to(
        x, [x.shape[i - len(size)] if s == -1 else s for i, s in enumerate(size)]
    ),
    "slice": lambda x, dim=0, start=None, end=None, step=1: x[
        (slice(None),) * dim + (slice(start, end, step),)
    ],
    "narrow": lambda x, dim, start, length: x[(slice(None),) * dim + (slice(start, start + length),)],
    "select": lambda x, dim, index: np.take(x, index, dim),
    "cat": lambda tensors, dim=0: np.concatenate(tensors, dim),
    "stack": lambda tensors, dim=0: np.stack(tensors, dim),
    "repeat": lambda x, repeats: np.tile(x, repeats),
    "flip": lambda x, dims: np.flip(x, dims),
    "pad_constant": padded,
    "clone": lambda x: x,
    "full": lambda size, fill_value: np.full(size, fill_value),
    "zeros": lambda size: np.zeros(size),
    "ones": lambda size: np.ones(size),
    "arange.start_step": lambda start, end, step=1: np.arange(start, end, step),
    "linspace": lambda start, end, steps: np.linspace(start, end, steps),
    "eye": lambda n, m=None: np.eye(n, m),
    "index_select": lambda x, dim, index: np.take(x, index, dim),
    "gather": lambda x, dim, index: (
        np.take_along_axis(x, index, dim) if index.size else np.zeros(index.shape)
    ),
    "embedding": lambda weight, indices: weight[indices],
    "one_hot": lambda x, num_classes: np.eye(num_classes)[x],
    "sum": lambda x, dim=None, keepdim=False: x.sum(
        axis=None if dim is None else tuple(np.atleast_1d(dim)), keepdims=keepdim
    ),
    "mean": lambda x, dim=None, keepdim=False: x.mean(
        axis=None if dim is None else tuple(np.atleast_1d(dim)), keepdims=keepdim
    ),
    "matmul": lambda x, y: x @ y,
    "mm": lambda x, y: x @ y,
    "bmm": lambda x, y: x @ y,
    "linear": lambda x, w, b=None: x @ w.T + (0 if b is None else b),
    "softmax": lambda x, dim=-1: np.exp(x) / np.exp(x).sum(dim, keepdims=True),
    "log_softmax": lambda x, dim=-1: x - np.log(np.exp(x).sum(dim, keepdims=True)),
}


def to_numpy(value):
    if isinstance(value, moka.Tensor):
        return value.numpy()
    if isinstance(value, list) and value and isinstance(value[0], moka.Tensor):
        return [v.numpy() for v in value]
    return value


@pytest.mark.parametrize("dtype,rtol,atol", [("float64", 1e-12, 1e-13), ("float32", 2e-6, 2e-6)])
@pytest.mark.parametrize("name", [n for n in REFERENCE if n in TABLE])
def test_equals_its_definition(name, dtype, rtol, atol):
    for case in cases(dtype, lambda op: op["name"] == name):
        with np.errstate(all="ignore"):
            expected = np.asarray(REFERENCE[name](*map(to_numpy, case.args), **case.kwargs))
        (got,) = outputs(case.call())
        assert tuple(got.shape) == expected.shape, case.id
        np.testing.assert_allclose(
            got.double().numpy(), expected.astype(np.float64), rtol=rtol, atol=atol, err_msg=case.id
        )


UNARY = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "erf",
    "sigmoid",
    "sqrt",
    "floor",
    "ceil",
    "round",
    "trunc",
    "abs",
    "sign",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "exp2",
    "log2",
    "log10",
    "lgamma",
]


@pytest.mark.parametrize("dtype,ulps", [(np.float32, 4), (np.float64, 6)])
@pytest.mark.parametrize("name", UNARY)
def test_is_exact_over_the_whole_range(name, dtype, ulps):
    """Every order of magnitude, both signs, subnormals, infinities, NaN: a few units in the last place."""
    rng = np.random.default_rng(11)
    limits = np.finfo(dtype)
    magnitudes = 10.0 ** rng.uniform(np.log10(float(limits.tiny)) - 3, np.log10(float(limits.max)), 4000)
    near = rng.uniform(-30, 30, 4000)
    special = np.array(
        [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            np.inf,
            -np.inf,
            np.nan,
            limits.max,
            -limits.max,
            limits.tiny,
            -limits.tiny,
        ]
    )
    x = np.concatenate([magnitudes, -magnitudes, near, special]).astype(dtype)
    with np.errstate(all="ignore"):
        expected = REFERENCE[name](
            x.astype(np.longdouble) if name not in ("erf", "lgamma") else x.astype(np.float64)
        ).astype(dtype)
    got = getattr(moka, name)(moka.tensor(x)).numpy()
    assert got.dtype == dtype
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), err_msg=f"{name}: NaN in other places")
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(got[~finite & ~np.isnan(expected)], expected[~finite & ~np.isnan(expected)])
    smallest = limits.tiny
    if name == "lgamma":  # Python's own is right to some decimals near zeros and poles, not to the last digit
        smallest, ulps = 1, 16
    step = np.spacing(np.maximum(np.abs(expected[finite]), smallest).astype(dtype))
    error = np.abs(got[finite].astype(np.float64) - expected[finite].astype(np.float64)) / step
    worst = int(np.argmax(error))
    assert error[worst] <= ulps, (
        f"{name}({x[finite][worst]!r}) = {got[finite][worst]!r}, expected {expected[finite][worst]!r}"
    )


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_moments_are_those_of_numpy(dim, keepdim):
    x = np.random.default_rng(5).normal(3.0, 2.0, (3, 4, 5))
    t = moka.tensor(x)
    var, mean = moka.var_mean(t, dim, keepdim=keepdim)
    np.testing.assert_allclose(var.numpy(), x.var(dim, ddof=1, keepdims=keepdim), rtol=1e-12)
    np.testing.assert_allclose(mean.numpy(), x.mean(dim, keepdims=keepdim), rtol=1e-12)
    std, mean = moka.std_mean(t, dim, correction=0, keepdim=keepdim)
    np.testing.assert_allclose(std.numpy(), x.std(dim, keepdims=keepdim), rtol=1e-12)
    np.testing.assert_allclose(mean.numpy(), x.mean(dim, keepdims=keepdim), rtol=1e-12)
