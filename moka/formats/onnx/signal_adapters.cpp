// Adapters of Fourier transforms, windows and spectrograms.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

// ONNX keeps real and imaginary part in a last dimension of size 2, or 1 where all is real. Null: it declines.
Value* signal_of(NodeReader& n, Value* x, bool& real) {
  const Whole parts = size_of(n, x, -1);
  if (!parts.fixed()) {
    n.declines("whether the input is complex is not known");
    return nullptr;
  }
  MOKA_CHECK_KIND(File, parts.number == 1 || parts.number == 2,
                  "the last dimension must have size 1 or 2, it has ", parts.number);
  real = parts.number == 1;
  x = cast_to(n, x, DType::F64);  // errors of float32 would show where terms cancel
  return real ? n.call("select", {x, int64_t(-1), int64_t(0)})
              : n.call("view_as_complex", {n.call("contiguous", {x})});
}

bool fourier(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  const DType dtype = dtype_of(n[0], "the input");
  bool real = false;
  Value* x = signal_of(n, n[0], real);
  if (!x) return false;
  const bool inverse = n.integer("inverse", 0) != 0, half = n.integer("onesided", 0) != 0;
  Whole axis =
      n.version >= 20 && n.has(2) ? whole_input(n, 2) : Whole(n.integer("axis", n.version >= 20 ? -2 : 1));
  axis = arithmetic(n, "mod", axis, rank);
  spelling::Argument length = n.has(1) ? whole_input(n, 1).argument() : spelling::Argument(Any());
  Value* y;
  if (inverse && half) {
    if (real) x = n.call("complex", {x, n.call("zeros_like", {x})});
    y = n.call("unsqueeze", {n.call("fft_irfft", {x, length, axis.argument()}), int64_t(-1)});
  } else {
    MOKA_CHECK_KIND(File, !half || real, "onesided needs a real input");
    if (inverse && real) x = n.call("complex", {x, n.call("zeros_like", {x})});
    const char* op = inverse ? "fft_ifft" : half ? "fft_rfft" : "fft_fft";
    y = n.call("view_as_real", {n.call(op, {x, length, axis.argument()})});
  }
  DType got;
  if (!spelling::has_dtype(y, &got) || got != dtype) y = n.call("to", {y, dtype});
  Wholes sizes(static_cast<size_t>(rank), Whole(-1));
  if (axis.fixed())
    for (int i = 0; i < rank - 1; i++)
      if (const graph::Dim& d = n[0]->type.dims[static_cast<size_t>(i)]; d.fixed() && i != axis.number)
        sizes[static_cast<size_t>(i)] = d.size;
  sizes.back() = inverse && half ? 1 : 2;
  n.out(promise(y, dtype, sizes));
  return true;
}

bool short_time_fourier(NodeReader& n) {
  const DType dtype = dtype_of(n[0], "the signal");
  bool real = true;
  Value* x = n[0];
  if (rank_of(x, "the signal") == 3) {
    if (!(x = signal_of(n, x, real))) return false;
  }
  if (real) x = cast_to(n, x, DType::F64);
  const Whole step = whole_input(n, 1);
  const Whole length = n.has(3) ? whole_input(n, 3) : n.has(2) ? size_of(n, n[2], 0) : size_of(n, x, 1);
  const bool half = n.integer("onesided", 1) != 0 && real;
  const DType parts = real ? DType::F64 : DType::C128;
  Value* frames = promise(n.call("unfold", {x, int64_t(1), length.argument(), step.argument()}), parts, 3);
  if (n.has(2)) frames = n.call("mul", {frames, n[2]});
  Value* y = n.call(half ? "fft_rfft" : "fft_fft", {frames, Any(), int64_t(-1)});
  y = promise(n.call("view_as_real", {y}), DType::F64, 4);
  n.out(cast_to(n, y, dtype));
  return true;
}

template <int kind>  // 0 Hann, 1 Hamming, 2 Blackman
bool window(NodeReader& n) {
  DType dtype = DType::F32;
  if (!spelling::find_dtype_code(n.dialect, n.integer("output_datatype", 1), dtype))
    return n.declines("output_datatype ", n.integer("output_datatype", 1));
  const Whole size = whole_input(n, 0);
  const Whole last = n.integer("periodic", 1) != 0 ? size : arithmetic(n, "sub", size, 1);
  // A window of one element is 1 everywhere, not 0 / 0.
  Value* steps = number_of(n, arithmetic(n, "max", last, 1), DType::F64);
  Value* angle = n.call("mul", {n.call("div", {count_to(n, size, DType::F64), steps}), 2 * M_PI});
  auto cosine = [&](double times, double factor) {
    Value* a = times == 1 ? angle : n.call("mul", {angle, times});
    return n.call("mul", {n.call("cos", {a}), factor});
  };
  constexpr double constants[] = {0.5, 25.0 / 46, 0.42}, first[] = {-0.5, -21.0 / 46, -0.5};
  Value* y = n.call("add", {cosine(1, first[kind]), constants[kind]});
  if (kind == 2) y = n.call("add", {y, cosine(2, 0.08)});
  n.out(cast_to(n, y, dtype));
  return true;
}

// Triangles over the bins of a spectrum, evenly spaced in mel.
bool mel_weights(NodeReader& n) {
  DType dtype = DType::F32;
  if (!spelling::find_dtype_code(n.dialect, n.integer("output_datatype", 1), dtype))
    return n.declines("output_datatype ", n.integer("output_datatype", 1));
  auto real = [&](int i) { return n.call("to", {n.call("reshape", {n[i], Dims{}}), DType::F64}); };
  const Whole bins = whole_input(n, 0), length = whole_input(n, 1);
  const double scale = 2595 / std::log(10.0);
  auto mel = [&](int i) {
    return n.call("mul", {n.call("log1p", {n.call("div", {real(i), 700.0})}), scale});
  };
  Value *low = mel(3), *high = mel(4);
  const Whole edges = arithmetic(n, "add", bins, 2);
  Value* step = n.call("div", {n.call("sub", {high, low}), number_of(n, edges, DType::F64)});
  Value* hertz = n.call("add", {n.call("mul", {count_to(n, edges, DType::F64), step}), low});
  hertz = n.call("mul", {n.call("expm1", {n.call("div", {hertz, scale})}), 700.0});
  hertz = n.call("mul", {hertz, number_of(n, arithmetic(n, "add", length, 1), DType::F64)});
  Value* bin = n.call("floor", {n.call("div", {hertz, real(2)})});
  Value *left = part_of(n, bin, 0, 0, bins), *centre = part_of(n, bin, 0, 1, bins),
        *right = part_of(n, bin, 0, 2, bins);
  const Whole rows = arithmetic(n, "add", arithmetic(n, "floordiv", length, 2), 1);
  Value* row = n.call("unsqueeze", {count_to(n, rows, DType::F64), int64_t(1)});
  auto sub = [&](Value* a, Value* b) { return n.call("sub", {a, b}); };
  auto div = [&](Value* a, Value* b) { return n.call("div", {a, b}); };
  auto both = [&](Value* a, Value* b) { return n.call("logical_and", {a, b}); };
  Value *width = sub(centre, left), *fall = sub(right, centre);
  Value* rising =
      n.call("where", {n.call("eq", {width, 0.0}), n.call("ones_like", {n.call("add", {row, width})}),
                       div(sub(row, left), width)});
  Value* zero = constant_number(n, 0, DType::F64);
  Value* y = n.call("where", {both(n.call("ge", {row, left}), n.call("le", {row, centre})), rising, zero});
  Value* down =
      both(n.call("gt", {fall, 0.0}), both(n.call("ge", {row, centre}), n.call("lt", {row, right})));
  n.out(cast_to(n, n.call("where", {down, div(sub(right, row), fall), y}), dtype));
  return true;
}

constexpr Adapter table[] = {
    {"DFT", 17, 0, fourier},
    {"STFT", 17, 0, short_time_fourier},
    {"HannWindow", 17, 0, window<0>},
    {"HammingWindow", 17, 0, window<1>},
    {"BlackmanWindow", 17, 0, window<2>},
    {"MelWeightMatrix", 17, 0, mel_weights},
};

}  // namespace

std::span<const Adapter> signal_adapters() { return table; }

}  // namespace moka::onnx
