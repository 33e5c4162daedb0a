"""The array API namespace: the names of the 2024.12 standard, and its functions beside NumPy's."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

NAMES = """
    abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan atan2 atanh
    bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor bool
    broadcast_arrays broadcast_to can_cast ceil clip complex128 complex64 concat conj copysign cos cosh
    count_nonzero cumulative_prod cumulative_sum diff divide e empty empty_like equal exp expand_dims
    expm1 eye finfo flip float32 float64 floor floor_divide from_dlpack full full_like greater
    greater_equal hypot iinfo imag inf int16 int32 int64 int8 isdtype isfinite isinf isnan less
    less_equal linspace log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor
    matmul matrix_transpose max maximum mean meshgrid min minimum moveaxis multiply nan negative newaxis
    nextafter nonzero not_equal ones ones_like permute_dims pi positive pow prod real reciprocal
    remainder repeat reshape result_type roll round searchsorted sign signbit sin sinh sort sqrt square
    squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc uint16
    uint32 uint64 uint8 unique_all unique_counts unique_inverse unique_values unstack var vecdot where
    zeros zeros_like
"""
LINALG = """
    cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank
    matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
"""
FFT = """
    fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn
"""
XP = moka.ones(1).__array_namespace__()


def test_all_names_of_the_standard_are_there():
    for module, names in ((XP, NAMES), (XP.linalg, LINALG), (XP.fft, FFT)):
        assert set(names.split()) - {"newaxis"} <= set(module.__all__)
        assert all(hasattr(module, name) for name in names.split())
    assert XP.__array_api_version__ == "2024.12" and XP.newaxis is None
    with pytest.raises(ValueError, match="2024.12"):
        moka.ones(1).__array_namespace__(api_version="1999.01")


A = np.array([[3, -1, 2, 0], [1, 5, -2, 2], [0, 1, 1, 4]], dtype=np.int16)
F = A.astype(np.float32) / 4 + 0.125
Z = F + 1j * F[::-1]
B = F > 0.3
U = np.array([3, 250, 7], dtype=np.uint8)
S = F[:, :3] @ F[:, :3].T + 3 * np.eye(3, dtype=np.float32)

# One expression, read once with Moka's namespace and tensors and once with NumPy's.
CALLS = [
    "xp.add(a, u[0])",
    "xp.add(f, 2)",
    "xp.add(a, xp.astype(a, xp.int64))",
    "xp.subtract(f, xp.astype(f, xp.float64))",
    "xp.multiply(z, f)",
    "xp.divide(f, f)",
    "xp.floor_divide(a, xp.abs(a) + 1)",
    "xp.remainder(a, xp.abs(a) + 1)",
    "xp.pow(f, 2)",
    "xp.atan2(f, f)",
    "xp.hypot(f, f)",
    "xp.logaddexp(f, f)",
    "xp.copysign(f, -f)",
    "xp.maximum(a, 1)",
    "xp.bitwise_and(a, xp.astype(a, xp.int16))",
    "xp.bitwise_left_shift(u, xp.asarray(1, dtype=xp.uint8))",
    "xp.bitwise_invert(a)",
    "xp.logical_xor(b, ~b)",
    "xp.equal(a, 1)",
    "xp.less_equal(f, 0.5)",
    "xp.floor(a)",
    "xp.trunc(f)",
    "xp.round(f)",
    "xp.sign(z)",
    "xp.sign(a)",
    "xp.conj(z)",
    "xp.imag(z)",
    "xp.real(f)",
    "xp.signbit(f)",
    "xp.clip(a, 0, 2)",
    "xp.clip(f, max=0.5)",
    "xp.log1p(xp.abs(f))",
    "xp.isfinite(a)",
    "xp.reciprocal(f)",
    "xp.sum(a, axis=0)",
    "xp.sum(u)",
    "xp.sum(f, axis=(0, 1), keepdims=True)",
    "xp.prod(u)",
    "xp.mean(f, axis=1)",
    "xp.var(f, correction=1)",
    "xp.std(f, axis=(0, -1))",
    "xp.max(a, axis=1, keepdims=True)",
    "xp.min(f)",
    "xp.all(b, axis=0)",
    "xp.any(a, axis=1)",
    "xp.count_nonzero(a, axis=0)",
    "xp.argmax(a)",
    "xp.argmin(f, axis=1)",
    "xp.cumulative_sum(u)",
    "xp.cumulative_sum(a, axis=1, include_initial=True)",
    "xp.cumulative_prod(f, axis=0)",
    "xp.diff(a, n=2)",
    "xp.nonzero(a)",
    "xp.sort(f, axis=0)",
    "xp.argsort(a)",
    "xp.unique_all(a)",
    "xp.unique_counts(u)",
    "xp.unique_inverse(f)",
    "xp.searchsorted(xp.sort(xp.reshape(f, (-1,))), f[0, :])",
    "xp.where(b, f, 0.0)",
    "xp.where(b, a, u[0])",
    "xp.broadcast_arrays(f, f[0, :])",
    "xp.broadcast_to(u, (2, 3))",
    "xp.concat([a, a], axis=None)",
    "xp.concat([u, a[:, 0]])",
    "xp.stack([f, f], axis=-1)",
    "xp.expand_dims(f, axis=1)",
    "xp.flip(a)",
    "xp.moveaxis(f, 0, -1)",
    "xp.permute_dims(a, (1, 0))",
    "xp.matrix_transpose(f)",
    "xp.repeat(a, 2, axis=0)",
    "xp.reshape(f, (2, -1))",
    "xp.roll(a, 1)",
    "xp.roll(f, (1, 2), axis=(0, 1))",
    "xp.squeeze(xp.expand_dims(f, axis=0), axis=0)",
    "xp.take(a, xp.asarray([0, -1]), axis=1)",
    "xp.tile(u, (2, 2))",
    "xp.take_along_axis(a, xp.asarray([[0], [1], [-1]]), axis=1)",
    "xp.unstack(f, axis=1)",
    "xp.tril(a, k=-1)",
    "xp.triu(f, k=1)",
    "xp.matmul(f, f.T)",
    "xp.tensordot(f, f, axes=2)",
    "xp.vecdot(z, z)",
    "xp.arange(5)",
    "xp.arange(1, 2, 0.25)",
    "xp.arange(3, 1)",
    "xp.linspace(0, 1, 5)",
    "xp.linspace(0, 3, 4, endpoint=False)",
    "xp.eye(3, 4, k=1)",
    "xp.full(3, True)",
    "xp.zeros_like(z)",
    "xp.meshgrid(u, u[:2])",
    "xp.linalg.det(s)",
    "xp.linalg.slogdet(s)",
    "xp.linalg.inv(s)",
    "xp.linalg.cholesky(s, upper=True)",
    "xp.linalg.solve(s, f)",
    "xp.linalg.eigvalsh(s)",
    "xp.linalg.matrix_norm(f)",
    "xp.linalg.matrix_rank(f)",
    "xp.linalg.pinv(f)",
    "xp.linalg.matrix_power(s, 3)",
    "xp.linalg.vector_norm(f, axis=(0, 1))",
    "xp.linalg.diagonal(a, offset=1)",
    "xp.linalg.trace(u * xp.astype(a[:, :3] > 0, xp.uint8))",
    "xp.linalg.outer(u, u)",
    "xp.linalg.svdvals(f)",
    "xp.linalg.cross(f[:, :3], f[:, 1:])",
    "xp.fft.fft(z, n=3)",
    "xp.fft.ifftshift(f)",
    "xp.fft.fftfreq(5)",
]


def as_arrays(value):
    return [np.asarray(v) for v in value] if isinstance(value, (tuple, list)) else [np.asarray(value)]


@pytest.mark.parametrize("text", CALLS)
def test_functions_are_those_of_numpy(text):
    arrays = {"a": A, "f": F, "z": Z.astype(np.complex64), "b": B, "u": U, "s": S}
    expected = as_arrays(eval(text, {"xp": np, **arrays}))
    found = as_arrays(eval(text, {"xp": XP, **{k: moka.from_numpy(v.copy()) for k, v in arrays.items()}}))
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        # New floating tensors are float32 here and float64 in NumPy.
        assert x.shape == y.shape and (x.dtype == y.dtype or (x.dtype, y.dtype) == (np.float32, np.float64))
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_types():
    assert XP.result_type(XP.float32, XP.float64) == XP.float64
    assert XP.result_type(XP.uint8, XP.int8) == XP.int16
    # Dimensions count for nothing, and numbers only by their kind.
    assert XP.add(moka.ones(2), moka.tensor(1.0, dtype=moka.float64)).dtype == moka.float64
    assert XP.result_type(XP.int8, 1.5) == XP.float32 and XP.result_type(XP.int8, 300) == XP.int8
    with pytest.raises(TypeError, match="promote"):
        XP.result_type(XP.int64, XP.uint64)
    assert XP.can_cast(XP.int8, XP.int64) and not XP.can_cast(XP.float64, XP.float32)
    assert XP.isdtype(XP.int8, ("bool", "integral")) and not XP.isdtype(XP.int8, "real floating")
    assert XP.finfo(XP.complex64).dtype == XP.float32 and XP.iinfo(XP.int8).max == 127
    info = XP.__array_namespace_info__()
    assert info.dtypes(kind="bool") == {"bool": moka.bool} and len(info.dtypes()) == 13
    assert info.default_dtypes()["integral"] == moka.int64 and info.devices() == [moka.device("cpu")]


def test_copies_and_errors():
    x = moka.arange(6.0)
    assert XP.asarray(x) is x or XP.asarray(x).data_ptr() == x.data_ptr()
    assert XP.asarray(x, copy=True).data_ptr() != x.data_ptr()
    assert XP.reshape(x, (2, 3), copy=False).data_ptr() == x.data_ptr()
    for wrong, kind in (
        (lambda: XP.asarray(x, dtype=XP.int8, copy=False), ValueError),
        (lambda: XP.reshape(XP.reshape(x, (2, 3)).T, (6,), copy=False), ValueError),
        (lambda: XP.squeeze(x, 0), ValueError),
        (lambda: XP.expand_dims(x, axis=5), IndexError),
        (lambda: XP.sum(x, axis=3), IndexError),
        (lambda: XP.nonzero(moka.tensor(1.0)), ValueError),
        (lambda: XP.isdtype(XP.int8, "integer"), ValueError),
    ):
        with pytest.raises(kind):
            wrong()
    assert x.to_device("cpu").tolist() == x.tolist()
    assert np.asarray(XP.from_dlpack(np.arange(3.0))).tolist() == [0.0, 1.0, 2.0]
