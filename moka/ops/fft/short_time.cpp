// Short-time Fourier transforms: frames of a signal, their spectra, and back by adding overlapping frames.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/fft/fft.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// A window of win_length in the middle of n_fft points; ones when None.
Tensor frame_window(const Any& given, int64_t length, int64_t n_fft, DType dtype, std::string_view op) {
  if (given.is_none() && length == n_fft) return {};
  Tensor w = given.is_none() ? Tensor(ones(Dims{length}, dtype)) : given.tensor();
  MOKA_CHECK(w.dim() == 1 && w.size(0) == length, op,
             ": expected a 1D window tensor of size equal to win_length=", length,
             ", but got window with size ", w.sizes());
  int64_t left = (n_fft - length) / 2;
  return length == n_fft ? w : Tensor(pad_constant(w, Dims{left, n_fft - length - left}));
}

// Where element i of a padded signal of n comes from.
int64_t source_of(int64_t i, int64_t n, std::string_view mode, std::string_view op) {
  if (i >= 0 && i < n) return i;
  if (mode == "reflect") return i < 0 ? -i : 2 * (n - 1) - i;
  if (mode == "replicate") return i < 0 ? 0 : n - 1;
  if (mode == "circular") return (i % n + n) % n;
  fail(op, ": pad_mode must be 'constant', 'reflect', 'replicate' or 'circular', got '", mode, "'");
}

void stft_run(const Any* in, Any* out) {
  constexpr std::string_view op = "stft";
  Tensor x = in[0].tensor();
  int64_t n_fft = in[1].to_int(), hop = in[2].is_none() ? n_fft / 4 : in[2].to_int(),
          length = in[3].is_none() ? n_fft : in[3].to_int();
  bool center = in[5].to_bool(), normalized = in[7].to_bool();
  std::string_view mode = in[6].string();
  MOKA_CHECK(is_floating(x.dtype()) || is_complex(x.dtype()), op,
             ": expected a tensor of floating point or complex values");
  MOKA_CHECK(x.dim() == 1 || x.dim() == 2, op, ": expected a 1D or 2D tensor, got shape ", x.sizes());
  bool complex_signal = is_complex(x.dtype()) || (!in[4].is_none() && is_complex(in[4].tensor().dtype()));
  bool onesided = in[8].is_none() ? !complex_signal : in[8].to_bool();
  MOKA_CHECK(!in[9].is_none() || complex_signal, op,
             ": requires the return_complex parameter be given for real inputs, "
             "and will further require that return_complex=True in a future release");
  bool return_complex = in[9].is_none() ? true : in[9].to_bool();
  MOKA_CHECK(!onesided || !complex_signal, op, ": Cannot have onesided output if window or input is complex");
  bool one = x.dim() == 1;
  if (one) x = unsqueeze(x, 0);
  int64_t n = x.size(1), pad = center ? n_fft / 2 : 0, total = checked_add(n, 2 * pad, "stft");
  MOKA_CHECK(n_fft > 0 && n_fft <= total, op, ": expected 0 < n_fft <= ", total, ", but got n_fft=", n_fft);
  MOKA_CHECK(hop > 0, op, ": expected hop_length > 0, but got hop_length=", hop);
  MOKA_CHECK(length > 0 && length <= n_fft, op,
             ": expected 0 < win_length <= n_fft, but got win_length=", length);
  MOKA_CHECK(!center || mode != "reflect" || pad < n, op,
             ": Padding size should be less than the corresponding input dimension, got padding ", pad,
             " for ", n, " samples");
  MOKA_CHECK(!center || mode == "constant" || (n > 0 && (mode != "circular" || pad <= n)), op,
             ": Padding value causes wrapping around more than once, got padding ", pad, " for ", n,
             " samples");
  if (center && mode == "constant") {
    x = pad_constant(x, Dims{pad, pad});
    n = total, pad = 0;
  }
  int64_t frames = 1 + (total - n_fft) / hop;
  Tensor index = new_tensor(Dims{frames * n_fft}, DType::I64);
  for (int64_t f = 0; f < frames; f++)
    for (int64_t i = 0; i < n_fft; i++)
      index.data<int64_t>()[f * n_fft + i] = source_of(f * hop + i - pad, n, mode, op);
  Tensor framed = reshape(index_select(x, 1, index), Dims{x.size(0), frames, n_fft});
  if (Tensor w = frame_window(in[4], length, n_fft, x.dtype(), op)) framed = framed * w;
  Any norm = normalized ? Any("ortho") : Any();
  Tensor spectrum =
      (onesided ? fft_rfft(framed, nullptr, -1, norm) : fft_fft(framed, nullptr, -1, norm)).tensor();
  spectrum = transpose(spectrum, 1, 2);
  if (one) spectrum = squeeze_dim(spectrum, Dims{0});
  out[0] = Any(return_complex ? spectrum : Tensor(view_as_real(contiguous(spectrum))));
}

void istft_run(const Any* in, Any* out) {
  constexpr std::string_view op = "istft";
  Tensor x = in[0].tensor();
  MOKA_CHECK(is_complex(x.dtype()), op,
             ": requires a complex-valued input tensor matching the output from stft with "
             "return_complex=True.");
  int64_t n_fft = in[1].to_int(), hop = in[2].is_none() ? n_fft / 4 : in[2].to_int(),
          length = in[3].is_none() ? n_fft : in[3].to_int();
  bool center = in[5].to_bool(), normalized = in[6].to_bool(), return_complex = in[9].to_bool();
  MOKA_CHECK(x.numel() > 0, op, ": input tensor cannot be empty.");
  MOKA_CHECK(x.dim() == 2 || x.dim() == 3, op, ": expected a tensor with 2 or 3 dimensions, but got ",
             x.dim());
  bool onesided = in[7].is_none() ? x.size(-2) != n_fft : in[7].to_bool();
  int64_t bins = onesided ? n_fft / 2 + 1 : n_fft;
  MOKA_CHECK(x.size(-2) == bins, op,
             ": expected the frequency dimension (3rd to the last) of the input tensor to match ",
             onesided ? "n_fft / 2 + 1 when onesided=True" : "n_fft when onesided=False", ", but got ",
             x.size(-2));
  MOKA_CHECK(hop > 0 && hop <= length, op, ": expected 0 < hop_length <= win_length, got ", hop);
  MOKA_CHECK(length > 0 && length <= n_fft, op, ": expected 0 < win_length <= n_fft, got ", length);
  MOKA_CHECK(!(onesided && return_complex), op,
             ": cannot have onesided output if window or input is complex");
  bool one = x.dim() == 2;
  if (one) x = unsqueeze(x, 0);
  x = transpose(x, 1, 2);
  int64_t frames = x.size(1), total = n_fft + hop * (frames - 1);
  DType real_type = x.dtype() == DType::C128 ? DType::F64 : DType::F32;
  Tensor w = frame_window(in[4], length, n_fft, real_type, op);
  if (!w) w = ones(Dims{n_fft}, real_type);
  Any norm = normalized ? Any("ortho") : Any();
  Tensor y = return_complex ? fft_ifft(x, nullptr, -1, norm).tensor()
                            : fft_irfft(narrow(x, 2, int64_t(0), n_fft / 2 + 1), n_fft, -1, norm).tensor();
  y = y * w;
  Tensor index = new_tensor(Dims{frames * n_fft}, DType::I64);
  for (int64_t f = 0; f < frames; f++)
    for (int64_t i = 0; i < n_fft; i++) index.data<int64_t>()[f * n_fft + i] = f * hop + i;
  Tensor signal =
      index_add_zeros(reshape(y, Dims{y.size(0), frames * n_fft}), Dims{y.size(0), total}, 1, index);
  Tensor weights = reshape(expand(w * w, Dims{frames, n_fft}), Dims{frames * n_fft});
  Tensor envelope = index_add_zeros(weights, Dims{total}, 0, index);
  int64_t start = center ? n_fft / 2 : 0;
  int64_t end = !in[8].is_none() ? start + in[8].to_int() : center ? total - n_fft / 2 : total;
  int64_t inside = std::min(end, total);
  MOKA_CHECK(start < inside, op, ": the signal would have no samples");
  signal = narrow(signal, 1, start, inside - start);
  envelope = narrow(envelope, 0, start, inside - start);
  {
    LayersOff off(layer::autograd);
    MOKA_CHECK(element_as_double(amin(abs(envelope)), 0) > 1e-11, op, ": window overlap add min: 1");
  }
  signal = signal / envelope;
  if (end > total) signal = pad_constant(signal, Dims{0, end - total});
  out[0] = Any(one ? Tensor(squeeze_dim(signal, Dims{0})) : signal);
}
}  // namespace

constinit const Op stft_op{
    .schema =
        "stft(Tensor input, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool "
        "center=True, str pad_mode='reflect', bool normalized=False, bool? onesided=None, bool? "
        "return_complex=None) -> Tensor",
    .doc = "Spectra of overlapping frames, hop_length (a quarter of n_fft) apart: [..., frequency, frame].",
    .body = eager_body(stft_run),
    .onnx = none("ONNX's STFT keeps complex numbers as pairs of real ones in a last dimension, which graphs "
                 "here do not"),
    .netdef = none("Caffe2 has no Fourier transforms"),
    .autocast = Autocast::Float32,
    .samples = {shape(16).with("n_fft", 8).with("return_complex", true).no_gradient(),
                shape(2, 16).with("n_fft", 4).with("return_complex", false)},
};
constinit const Op istft_op{
    .schema =
        "istft(Tensor input, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, "
        "bool "
        "center=True, bool normalized=False, bool? onesided=None, int? length=None, bool "
        "return_complex=False) -> "
        "Tensor",
    .doc =
        "The signal whose stft is nearest to input: frames added where they overlap, divided by the windows' "
        "squares.",
    .body = eager_body(istft_run),
    .onnx = none("written by its parts"),
    .netdef = none("Caffe2 has no Fourier transforms"),
};

}  // namespace moka::ops
