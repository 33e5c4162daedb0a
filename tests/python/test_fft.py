"""Fourier transforms against NumPy's and the definition, gradients, short-time transforms."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

import moka

LENGTHS = [1, 2, 3, 4, 5, 7, 8, 12, 13, 30, 31, 37, 64, 74, 97, 121, 128, 210, 1009, 1024]


def random(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else values).astype(dtype)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
def test_every_length_is_numpys(n, name, norm):
    complex_input = name in ("fft", "ifft", "irfft", "hfft")
    x = random((3, n), "complex128" if complex_input else "float64", n)
    size = 2 * n - 1 if name in ("irfft", "hfft") else n
    got = getattr(moka.fft, name)(moka.tensor(x), size, norm=norm)
    expected = getattr(np.fft, name)(x, size, norm=norm)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-9 * n)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@pytest.mark.parametrize("dim", [(0, 1, 2), (2, 0), (1,)])
def test_several_dimensions_are_numpys(name, dim):
    x = random((4, 5, 6), "float64" if name == "rfftn" else "complex128")
    got = getattr(moka.fft, name)(moka.tensor(x), dim=dim)
    np.testing.assert_allclose(got.numpy(), getattr(np.fft, name)(x, axes=dim), rtol=1e-10, atol=1e-10)


def test_single_precision_is_as_good_as_its_digits():
    x = random((1, 4096), "complex64")
    error = np.abs(moka.fft.fft(moka.tensor(x)).numpy() - np.fft.fft(x.astype("complex128"))).max()
    assert error < 1e-4


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fft2", "rfftn", "irfftn"])
def test_gradients_are_those_of_finite_differences(name):
    function = getattr(moka.fft, name)
    start = random((3, 6), "float64" if name in ("rfft", "ihfft", "rfftn") else "complex128")
    shape = function(moka.tensor(start)).shape
    weights = moka.tensor(random(tuple(shape), "complex128", 1))

    def loss(x):
        y = function(x)
        return (y * weights).real.sum() if y.is_complex() else (y * weights.real).sum()

    x = moka.tensor(start, requires_grad=True)
    (gradient,) = moka.autograd.grad(loss(x), x)
    direction = moka.tensor(random(start.shape, str(start.dtype), 2))
    slope = (loss(moka.tensor(start) + direction) - loss(moka.tensor(start))).item()  # linear
    product = gradient.conj() * direction if gradient.is_complex() else gradient * direction
    found = product.sum()
    assert float(found.real) == pytest.approx(slope, rel=1e-9, abs=1e-9)


def test_frequencies_and_shifts_are_numpys():
    for n in (4, 5):
        np.testing.assert_allclose(moka.fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5), rtol=1e-6)
        np.testing.assert_allclose(moka.fft.rfftfreq(n).numpy(), np.fft.rfftfreq(n), rtol=1e-6)
        x = np.arange(n * 3.0).reshape(n, 3)
        shifted = moka.fft.fftshift(moka.tensor(x))
        np.testing.assert_array_equal(shifted.numpy(), np.fft.fftshift(x))
        np.testing.assert_array_equal(moka.fft.ifftshift(shifted).numpy(), x)


def test_the_inverse_short_time_transform_gives_the_signal_back():
    signal = moka.tensor(random((2, 200)))
    window = moka.hann_window(32, dtype=moka.float64)
    spectra = moka.stft(signal, 32, hop_length=8, window=window, return_complex=True)
    assert tuple(spectra.shape) == (2, 17, 26)
    back = moka.istft(spectra, 32, hop_length=8, window=window, length=200)
    np.testing.assert_allclose(back.numpy(), signal.numpy(), atol=1e-12)


@pytest.mark.parametrize(("samples", "mode"), [(0, "circular"), (0, "replicate"), (3, "circular")])
def test_signals_too_short_to_wrap_are_refused(samples, mode):
    with pytest.raises(RuntimeError, match="wrapping around more than once"):
        moka.stft(moka.zeros(1, samples), 8, center=True, pad_mode=mode, return_complex=True)


def test_no_points_are_refused():
    with pytest.raises(RuntimeError, match="Invalid number of data points"):
        moka.fft.fft(moka.ones(4), 0)
    with pytest.raises(RuntimeError, match="normalization"):
        moka.fft.fft(moka.ones(4), norm="orthonormal")
