"""Programs with complex numbers as ONNX: real files whose last dimension holds real and imaginary part."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moka.onnx
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import moka
from moka import nn


def real(*sizes: int, seed: int = 0) -> moka.Tensor:
    return moka.tensor(np.random.default_rng([seed, *sizes]).standard_normal(sizes).astype(np.float32))


def both(*sizes: int, seed: int = 0) -> moka.Tensor:
    return moka.complex(real(*sizes, seed=seed), real(*sizes, seed=seed + 1))


ANGLES = both(1, 5, 1, 4)


def rotary(x: moka.Tensor) -> moka.Tensor:
    z = moka.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return moka.view_as_real(z * ANGLES).flatten(3)


def spectrum(x: moka.Tensor) -> moka.Tensor:
    return moka.stft(x, 16, hop_length=4, window=moka.hann_window(16), return_complex=True)


def spectrogram(x: moka.Tensor) -> tuple[moka.Tensor, ...]:
    s = spectrum(x)
    return s.abs(), s.angle().cos(), s.real**2 + s.imag**2


def vocoder(x: moka.Tensor) -> moka.Tensor:
    return moka.istft(
        spectrum(x) * 0.5, 16, hop_length=4, window=moka.hann_window(16), length=x.shape[-1]
    )


def convolution(x: moka.Tensor, k: moka.Tensor) -> moka.Tensor:
    n = x.shape[-1] * 2
    return moka.fft.irfft(moka.fft.rfft(x, n=n) * moka.fft.rfft(k, n=n), n=n)[..., : x.shape[-1]]


def transforms(x: moka.Tensor) -> tuple[moka.Tensor, ...]:
    return (
        moka.fft.fft2(x),
        moka.fft.ifft2(x).real,
        moka.fft.fftn(x, norm="ortho").imag,
        moka.fft.hfft(moka.fft.rfft(x)[..., :4]),
        moka.fft.ihfft(x),
        moka.fft.irfft(moka.fft.rfft(x), n=6),
        moka.fft.rfft(x, dim=0).abs(),
        moka.fft.fftshift(moka.fft.fft(x)).real,
    )


def arithmetic(a: moka.Tensor, b: moka.Tensor) -> tuple[moka.Tensor, ...]:
    z = moka.complex(a, b)
    return (
        z @ z.transpose(-1, -2).conj(),
        z @ a.to(moka.complex64),
        z.sum(-1) / z.mean(0),
        1 / z + a / z,
        (z - 1).pow(2) + z**0.5,
        (2j * z).exp().log(),
        moka.polar(a.abs(), b).sgn() + 3 - z,
        z.sqrt() * z.reciprocal() - b,
        moka.where(a > 0, z, z.conj()),
        moka.stack([z, z * 2j]).flip(1),
        moka.cat([z, z.t()], -1).unbind(0)[1],
        z.reshape(-1).cumsum(0)[None],
        z.gather(1, moka.tensor([[0, 1], [3, 3], [2, 1], [1, 0]])),
        moka.nn.functional.pad(z, (1, 2, 0, 1)),
        z.masked_fill(a > 0, 1.5).roll(1, 0),
        z.permute(1, 0).repeat(2, 1).squeeze(),
        (z == z.conj()) | z.isfinite().logical_not(),
        z.unsqueeze(0).expand(2, -1, -1)[..., 1:3],
    )


class Filter(nn.Module):
    """A layer over the lowest frequencies, with complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(both(3, 6, 4, 3))
        self.register_buffer("scale", both(3, 1, 1))

    def forward(self, x: moka.Tensor) -> moka.Tensor:
        f = moka.fft.rfft2(x) * self.scale
        out = moka.zeros(x.shape[0], 6, x.size(-2), x.size(-1) // 2 + 1, dtype=moka.complex64)
        out[:, :, :4, :3] = moka.einsum("bixy,ioxy->boxy", f[:, :, :4, :3], self.weight)
        return moka.fft.irfft2(out, s=(x.size(-2), x.size(-1)))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[moka.Tensor, ...]]] = {
    "rotary positions": (rotary, (real(2, 5, 3, 8),)),
    "spectrogram": (spectrogram, (real(2, 64),)),
    "and back": (vocoder, (real(2, 64),)),
    "convolution": (convolution, (real(2, 8), real(8, seed=2))),
    "transforms": (transforms, (real(3, 6, 7),)),
    "of one dimension": (lambda x: (moka.fft.fft(x), moka.fft.ifft(x)), (real(9),)),
    "arithmetic": (arithmetic, (real(4, 4), real(4, 4, seed=3))),
    "complex inputs": (lambda z, w: (z * w, z.t(), ANGLES), (both(2, 3), both(3, seed=4))),
    "complex weights": (Filter(), (real(2, 3, 8, 8),)),
    "in float64": (lambda x: moka.fft.rfft(x).abs(), (real(3, 10).double(),)),
}


def parts(value: moka.Tensor) -> np.ndarray:
    value = value.detach()
    return (moka.view_as_real(value) if value.is_complex() else value).numpy()


def close(found: list[Any], wanted: list[np.ndarray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("opset", [13, 17, 20, 24])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_with_complex_numbers(name: str, opset: int) -> None:
    program, inputs = PROGRAMS[name]
    wanted = program(*inputs)
    wanted = [parts(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,))]
    if name == "and back" and opset < 16:
        with pytest.raises(NotImplementedError, match="scatter_add"):
            moka.onnx.export(program, inputs, opset_version=opset)
        return
    data = moka.onnx.export(program, inputs, opset_version=opset)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    ops = {node.op_type for node in model.graph.node}
    assert ("DFT" in ops) == (opset >= 17 and "fft" in str(moka.jit.trace(program, inputs).graph))
    feed = [parts(value) for value in inputs]
    close(moka.onnx.load(data).run(feed), wanted)
    names = [value.name for value in model.graph.input]
    close(ReferenceEvaluator(model).run(None, dict(zip(names, feed, strict=True))), wanted)


def test_what_has_no_form_is_refused_by_name_and_line() -> None:
    with pytest.raises(NotImplementedError, match=r"(?s)tanh \(test_onnx_complex.py:\d+\)"):
        moka.onnx.export(lambda z: z.tanh().real, (both(3),))
    with pytest.raises(NotImplementedError, match=r"5000 points"):
        moka.onnx.export(lambda x: moka.fft.rfft(x).abs(), (real(5000),), opset_version=13)


@pytest.mark.parametrize("name", ["complex inputs", "complex weights"])
def test_files_are_verified(name: str) -> None:
    program, inputs = PROGRAMS[name]
    assert moka.onnx.export(program, inputs, verify=True)
