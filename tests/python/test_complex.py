"""Complex numbers: arithmetic, promotion, functions, reductions, views, gradients."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka
from moka.nn import functional as F


def random(shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def test_numbers_promote_as_in_torch():
    assert (moka.ones(2) * 1j).dtype == moka.complex64
    assert (moka.ones(2, dtype=moka.float64) * 1j).dtype == moka.complex128
    assert (moka.ones(2, dtype=moka.int64) + 1j).dtype == moka.complex64
    assert moka.tensor([1, 2j]).dtype == moka.complex64
    assert moka.tensor(3 + 4j).item() == 3 + 4j and complex(moka.tensor(1j)) == 1j
    assert moka.full((2,), 1j).tolist() == [1j, 1j]


def test_real_operators_refuse_complex_numbers():
    with pytest.raises((TypeError, NotImplementedError)):
        moka.ones(2).clamp(1j)
    with pytest.raises((TypeError, NotImplementedError, RuntimeError)):
        _ = moka.tensor([1j]) < 2
    with pytest.raises(RuntimeError, match="can.t be cast to"):
        moka.ones(2).add_(1j)


BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "eq": np.equal,
    "ne": np.not_equal,
}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_is_numpys(name, dtype):
    x, y = random().astype(dtype), random(seed=1).astype(dtype)
    y[0, 0] = x[0, 0]
    got = getattr(moka, name)(moka.tensor(x), moka.tensor(y)).numpy()
    np.testing.assert_allclose(got, BINARY[name](x, y), rtol=1e-4 if dtype == "complex64" else 1e-12)
    strided = getattr(moka, name)(moka.tensor(x).T, moka.tensor(y).T).numpy()
    np.testing.assert_allclose(strided, got.T, rtol=1e-6)


FUNCTIONS = "neg square reciprocal sqrt exp log sin cos tanh abs angle".split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_numpys(name):
    x = random()
    reference = {"neg": np.negative}.get(name) or getattr(np, name)
    np.testing.assert_allclose(getattr(moka, name)(moka.tensor(x)).numpy(), reference(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "cumsum"])
def test_reductions_are_numpys(name):
    x = random((2, 3, 4))
    t = moka.tensor(x)
    if name == "var":
        np.testing.assert_allclose(t.var(1).numpy(), x.var(1, ddof=1), rtol=1e-12)
        return
    np.testing.assert_allclose(getattr(t, name)(1).numpy(), getattr(x, name)(1), rtol=1e-12)
    if name != "cumsum":
        np.testing.assert_allclose(getattr(t, name)().numpy(), getattr(x, name)(), rtol=1e-12)


def test_parts_are_views():
    z = moka.tensor(random())
    z.real[0, 0] = 7.0
    z.imag.zero_()
    assert z[0, 0].item() == 7 and float(z.imag.abs().sum()) == 0
    pairs = moka.view_as_real(z)
    assert tuple(pairs.shape) == (3, 4, 2) and moka.view_as_complex(pairs).tolist() == z.tolist()
    assert moka.complex(moka.ones(2), moka.zeros(2)).tolist() == [1, 1]
    np.testing.assert_allclose(moka.polar(moka.ones(1), moka.ones(1)).numpy(), np.exp([1j]), rtol=1e-6)


def test_indexing_and_joining_move_both_parts():
    x = random()
    z = moka.tensor(x)
    joined = np.concatenate([x, x[:, [2, 0]]], 1)
    np.testing.assert_array_equal(moka.cat([z, z[:, [2, 0]]], 1).numpy(), joined)
    np.testing.assert_array_equal(moka.where(z.real > 0, z, 1j).numpy(), np.where(x.real > 0, x, 1j))
    z[1] = 2j
    assert z[1].tolist() == [2j] * 4
    np.testing.assert_array_equal(moka.from_numpy(x).numpy(), x)
    assert "1j" in repr(moka.tensor([1j])) or "1.j" in repr(moka.tensor([1j]))


DIFFERENTIABLE = {
    "mul": lambda z: z * z.conj() * (2 + 1j),
    "div": lambda z: 1j / z + z / 3,
    "pow": lambda z: z**3 + z ** (1 + 2j),
    "exp": moka.exp,
    "log": moka.log,
    "sqrt": moka.sqrt,
    "sin": lambda z: z.sin() * z.cos(),
    "tanh": moka.tanh,
    "sigmoid": moka.sigmoid,
    "abs": moka.abs,
    "angle": moka.angle,
    "sgn": moka.sgn,
    "real": lambda z: z.real * z.imag,
    "matmul": lambda z: z @ z.mT @ z,
    "sum": lambda z: z.sum(1) * z.mean(0)[:3],
    "prod": lambda z: z.prod(1),
    "cumsum": lambda z: z.cumsum(1) ** 2,
    "var": lambda z: z.var(1),
    "where": lambda z: moka.where(z.real > 0, z * z, z),
    "addcmul": lambda z: moka.addcmul(z, z, z, value=2j),
    "addcdiv": lambda z: moka.addcdiv(z, z, z + 3, value=2j),
    "logsumexp": lambda z: z.logsumexp(1),
    "logaddexp": lambda z: moka.logaddexp(z, z * z),
    "conv1d": lambda z: F.conv1d(z[None], z[:, :, None].expand(3, 4, 3)[:, :3, :2], stride=2),
    "conv_transpose1d": lambda z: F.conv_transpose1d(z[None], z[:, :2, None].expand(3, 2, 3), stride=2),
    "reflect": lambda z: F.pad(z, (2, 1), mode="reflect"),
    "index_add": lambda z: z.index_add(1, moka.tensor([1, 1]), z[:, :2]),
    "scatter_add": lambda z: z.scatter_add(1, moka.tensor([[1, 1], [0, 3], [2, 2]]), z[:, 1:3]),
    "index": lambda z: z[[0, 0, 2]] * z[:, [1, 1]].sum(),
    "unfold": lambda z: z.unfold(1, 3, 1),
    "as_strided": lambda z: z.as_strided((3, 2), (2, 1), 1),
    "softsign": F.softsign,
    "rms_norm": lambda z: F.rms_norm(z, (4,), eps=0.5),
    "cov": moka.cov,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_finite_differences(name):
    function = DIFFERENTIABLE[name]
    start = moka.tensor(random())
    y = function(start)
    numbers = random(tuple(y.shape), 5)
    weights = moka.tensor(numbers if y.is_complex() else numbers.real)

    def loss(z):
        result = function(z) * weights
        return (result.real if result.is_complex() else result).sum()

    z = start.clone().requires_grad_()
    (gradient,) = moka.autograd.grad(loss(z), z)
    for seed in range(2):
        direction = moka.tensor(random(seed=20 + seed))
        step = 1e-6
        slope = (loss(start + direction * step) - loss(start - direction * step)).item() / (2 * step)
        # The gradient g of a real loss has d(loss) = Re(sum(conj(g) dz)).
        assert float((gradient.conj() * direction).sum().real) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_the_gradient_of_a_real_tensor_is_real():
    x = moka.ones(3, requires_grad=True)
    (x * (2 + 3j)).real.sum().backward()
    assert x.grad.dtype == moka.float32 and x.grad.tolist() == [2, 2, 2]


def test_safetensors_hold_complex_numbers(tmp_path):
    x = moka.tensor([[1 + 2j, -3j]])
    moka.safetensors.save_file({"x": x}, tmp_path / "x.safetensors")
    back = moka.safetensors.load_file(tmp_path / "x.safetensors")["x"]
    assert back.dtype == moka.complex64
    np.testing.assert_array_equal(back.numpy(), x.numpy())


def test_linear_operators_use_both_parts():
    x = random((2, 3, 9))
    z, w = moka.tensor(x), moka.tensor(random((4, 3, 3), 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)
    expected = np.einsum("bcnk,ock->bon", windows, w.numpy())
    np.testing.assert_allclose(F.conv1d(z, w).numpy(), expected, rtol=1e-10)
    mirrored = np.pad(x, ((0, 0), (0, 0), (2, 1)), "reflect")
    np.testing.assert_array_equal(F.pad(z, (2, 1), mode="reflect").numpy(), mirrored)
    np.testing.assert_allclose(moka.tensor(x[0]).trace().numpy(), np.trace(x[0]))
    total = moka.zeros(3, dtype=moka.complex128).index_add(0, moka.tensor([1, 1, 0]), z[0, 0, :3])
    np.testing.assert_allclose(total.numpy(), [x[0, 0, 2], x[0, 0, 0] + x[0, 0, 1], 0])
    put = moka.zeros(3, dtype=moka.complex128).scatter(0, moka.tensor([2, 2]), z[0, 0, :2], reduce="multiply")
    assert put.tolist() == [0, 0, 0]
    product = moka.ones(2, dtype=moka.complex128).scatter_reduce(0, moka.tensor([1, 1]), z[0, 0, :2], "prod")
    np.testing.assert_allclose(product.numpy(), [1, x[0, 0, 0] * x[0, 0, 1]])
    var, mean = moka.var_mean(z, 2)
    np.testing.assert_allclose(var.numpy(), x.var(2, ddof=1))
    np.testing.assert_allclose(mean.numpy(), x.mean(2))


def test_real_kernels_refuse_complex_numbers():
    with pytest.raises(RuntimeError):
        F.avg_pool1d(moka.ones(1, 1, 4, dtype=moka.complex64), 2)
    with pytest.raises(RuntimeError):
        moka.zeros(2, dtype=moka.complex64).scatter_reduce(0, moka.tensor([0]), moka.tensor([1j]), "amax")
    with pytest.raises(RuntimeError, match="without overflow"):
        moka.ones(2).masked_fill(moka.tensor([True, False]), 1j)


def test_random_complex_numbers_share_the_variance_between_parts():
    moka.manual_seed(0)
    z = moka.randn(20000, dtype=moka.complex64)
    assert abs(float(z.real.var()) - 0.5) < 0.02 and abs(float(z.imag.var()) - 0.5) < 0.02
    assert moka.rand(3, dtype=moka.complex128).dtype == moka.complex128
