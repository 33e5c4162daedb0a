// The Fourier family: transforms, their helpers, short-time transforms and windows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_FFT_OPS(OP) \
  OP(fft_c2c) OP(fft_r2c) OP(fft_r2c_backward) OP(fft_c2r) OP(fft_c2r_backward) OP(fft_fft) OP(fft_ifft) OP(fft_rfft) OP(fft_irfft) \
  OP(fft_hfft) \
  OP(fft_ihfft) OP(fft_fft2) OP(fft_ifft2) OP(fft_rfft2) OP(fft_irfft2) OP(fft_hfft2) OP(fft_ihfft2) OP(fft_fftn) \
  OP(fft_ifftn) OP(fft_rfftn) OP(fft_irfftn) OP(fft_hfftn) OP(fft_ihfftn) OP(fft_fftfreq) OP(fft_rfftfreq) \
  OP(fft_fftshift) OP(fft_ifftshift) OP(stft) OP(istft) OP(hann_window) OP(hamming_window) OP(blackman_window) \
  OP(bartlett_window) OP(kaiser_window)
// clang-format on
MOKA_FFT_OPS(MOKA_DECLARE_OP)
