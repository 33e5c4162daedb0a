"""Discrete Fourier transforms, with torch.fft's names and rules."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from . import _C

_NAMES = (
    "fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift "
    "ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2 rfftfreq rfftn"
).split()

for _name in _NAMES:
    globals()[_name] = getattr(_C, f"fft_{_name}")

__all__ = list(_NAMES)
