// repeat, flip and constant padding.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/arranging/arranging.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
void shape_same(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void shape_repeat(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> repeats = f.ints(1);
  int lead = static_cast<int>(repeats.size()) - x.dim();
  MOKA_CHECK(lead >= 0,
             "repeat: Number of dimensions of repeat dims can not be smaller than number of dimensions of "
             "tensor: ",
             repeats.size(), " came for ", x.dim());
  Dims sizes(repeats.size());
  for (size_t i = 0; i < repeats.size(); i++) {
    MOKA_CHECK(repeats[i] >= 0, "repeat: negative repeat ", repeats[i], " in ", repeats);
    int d = static_cast<int>(i) - lead;
    sizes[i] = checked_mul(d < 0 ? 1 : x.size(d), repeats[i], "repeat");
  }
  f.output(0, sizes, x.dtype());
}
void run_repeat(Frame& f) {
  const Tensor& x = f.tensor(0);
  const Tensor& out = f.outs[0];
  if (out.numel() == 0) return;
  std::span<const int64_t> repeats = f.ints(1);
  int n = out.dim(), lead = n - x.dim();
  // View the result as [r0, n0, r1, n1, ...] and broadcast the input into it, one repeat index at a time of the outer half.
  Dims sizes, strides, from_sizes;
  for (int i = 0; i < n; i++) {
    int64_t own = i < lead ? 1 : x.size(i - lead);
    sizes.push_back(repeats[static_cast<size_t>(i)]);
    strides.push_back(out.stride(i) * own);
    sizes.push_back(own);
    strides.push_back(out.stride(i));
    from_sizes.push_back(1);
    from_sizes.push_back(own);
  }
  MOKA_CHECK(sizes.size() <= max_dims, "repeat: at most ", max_dims / 2, " dimensions, got ", n);
  Tensor from = as_contiguous(x);
  copy_elements(strided_view(from, from_sizes, contiguous_strides(from_sizes), from.impl()->offset),
                strided_view(out, sizes, strides, out.impl()->offset));
}

template <class Word>
void reverse_words(const char* from, char* to, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i] = a[n - 1 - i];
}
void copy_backwards(const char* from, char* to, int64_t n, int64_t item) {
  switch (item) {
    case 1: return reverse_words<uint8_t>(from, to, n);
    case 2: return reverse_words<uint16_t>(from, to, n);
    case 4: return reverse_words<uint32_t>(from, to, n);
    case 8: return reverse_words<uint64_t>(from, to, n);
    default: return reverse_words<std::array<uint64_t, 2>>(from, to, n);
  }
}
void run_flip(Frame& f) {
  Tensor x = as_contiguous(f.tensor(0));
  const Tensor& out = f.outs[0];
  uint64_t flipped = 0;
  for (int64_t d : f.ints(1)) {
    int k = wrap_dim(d, x.dim(), "flip");
    MOKA_CHECK(!(flipped >> k & 1), "flip: dimension ", k, " comes twice in ", f.ints(1));
    flipped |= uint64_t(1) << k;
  }
  if (!x.numel()) return;
  const int last = x.dim() - 1;
  const int64_t inner = last < 0 ? 1 : x.size(last), item = static_cast<int64_t>(item_size(x.dtype()));
  const bool backwards = last >= 0 && flipped >> last & 1;
  const char* from = static_cast<const char*>(x.raw_data());
  char* to = static_cast<char*>(out.raw_data());
  parallel_for(0, x.numel() / inner, 32768 / inner + 1, [&](int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
      int64_t rest = row, source = 0;
      for (int d = last; d-- > 0;) {
        int64_t k = rest % x.size(d);
        rest /= x.size(d);
        source += (flipped >> d & 1 ? x.size(d) - 1 - k : k) * x.stride(d);
      }
      const char* in = from + source * item;
      if (backwards) copy_backwards(in, to + row * inner * item, inner, item);
      else std::memcpy(to + row * inner * item, in, static_cast<size_t>(inner * item));
    }
  });
  follow_format(f, f.tensor(0));
}

// ---- constant padding: pad lists (before, after) from the last dimension on, as torch.nn.functional.pad
void shape_pad(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> pad = f.ints(1);
  MOKA_CHECK(pad.size() % 2 == 0 && static_cast<int>(pad.size()) <= 2 * x.dim(), "pad: expected up to ",
             2 * x.dim(), " numbers in pairs for shape ", x.sizes(), ", got ", pad);
  Dims sizes(x.sizes());
  for (size_t i = 0; i < pad.size() / 2; i++) {
    int d = x.dim() - 1 - static_cast<int>(i);
    sizes[d] = checked_add(checked_add(sizes[d], pad[2 * i], "pad"), pad[2 * i + 1], "pad");
    MOKA_CHECK(sizes[d] >= 0, "pad: ", pad, " removes more than dimension ", d, " of shape ", x.sizes(),
               " has");
  }
  f.output(0, sizes, x.dtype());
}
// Row by row: what stands before a row of the input, the row, what stands behind it.
template <class Word>
void pad_rows(const Tensor& x, const Tensor& out, std::span<const int64_t> pad, Word value) {
  const int last = x.dim() - 1;
  auto before = [&](int d) { return last - d < int(pad.size()) / 2 ? pad[2 * (last - d)] : 0; };
  const int64_t width = out.size(last), shift = before(last);
  const int64_t left = std::clamp<int64_t>(shift, 0, width);
  const int64_t right = std::clamp(shift + x.size(last), left, width);
  const Word* from = x.data<Word>();
  Word* to = out.data<Word>();
  const int64_t rows = last > 0 ? out.size(last - 1) : 1, above = last > 0 ? before(last - 1) : 0;
  const int64_t height = last > 0 ? x.size(last - 1) : 1, step = last > 0 ? x.stride(last - 1) : 0;
  parallel_for(0, out.numel() / width, 16384 / width + 1, [&](int64_t first, int64_t end) {
    int64_t start = 0;
    bool inside = false;
    auto enter = [&](int64_t plane) {
      start = left - shift;
      inside = true;
      for (int d = last - 1; d-- > 0; plane /= out.size(d)) {
        const int64_t k = plane % out.size(d) - before(d);
        inside = inside && k >= 0 && k < x.size(d);
        start += k * x.stride(d);
      }
    };
    int64_t plane = first / rows, in_plane = first % rows;
    enter(plane);
    for (int64_t r = first; r < end; r++) {
      Word* row = to + r * width;
      const int64_t k = in_plane - above;
      if (!inside || k < 0 || k >= height) {
        std::fill_n(row, width, value);
      } else {
        for (int64_t i = 0; i < left; i++) row[i] = value;
        std::memcpy(row + left, from + start + k * step, static_cast<size_t>(right - left) * sizeof(Word));
        for (int64_t i = right; i < width; i++) row[i] = value;
      }
      if (++in_plane == rows) {
        in_plane = 0;
        enter(++plane);
      }
    }
  });
}
void write_padded(Frame& f) {
  const Tensor& x = f.tensor(0);
  const Tensor& out = f.outs[0];
  std::span<const int64_t> pad = f.ints(1);
  if (out.numel() == 0) return;
  double value = f.number(2);
  char item[16];
  convert_elements(&value, DType::F64, item, out.dtype(), 1);
  if (x.dim() > 0 && x.numel() > 0 && x.stride(x.dim() - 1) == 1 && out.is_contiguous()) {
    auto rows = [&]<class Word>(Word word) {
      std::memcpy(&word, item, sizeof word);
      pad_rows(x, out, pad, word);
    };
    switch (item_size(out.dtype())) {
      case 1: return rows(uint8_t());
      case 2: return rows(uint16_t());
      case 4: return rows(uint32_t());
      case 8: return rows(uint64_t());
    }
  }
  Tensor fill =
      from_memory(item, sizeof item, {}, {}, out.dtype(), out.device(), [](Storage*) {}, nullptr, true);
  copy_elements(fill, out);
  Dims sizes(x.sizes());
  int64_t from = x.impl()->offset, to = out.impl()->offset;
  for (size_t i = 0; i < pad.size() / 2; i++) {
    int d = x.dim() - 1 - static_cast<int>(i);
    int64_t before = pad[2 * i], after = pad[2 * i + 1];
    sizes[d] += std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    if (sizes[d] <= 0) return;
    from += std::max<int64_t>(-before, 0) * x.stride(d);
    to += std::max<int64_t>(before, 0) * out.stride(d);
  }
  copy_elements(strided_view(x, sizes, x.strides(), from), strided_view(out, sizes, out.strides(), to));
}
Dims negated(std::span<const int64_t> pad) {
  Dims out(pad);
  for (int64_t& p : out) {
    MOKA_CHECK(p != std::numeric_limits<int64_t>::min(), "pad_inverse: a pad of ", p, " has no opposite");
    p = -p;
  }
  return out;
}
void run_pad(Frame& f) {
  write_padded(f);
  follow_format(f, f.tensor(0));
}
}  // namespace

namespace ops {

constinit const Op repeat_op{
    .schema = "repeat(Tensor input, int[] repeats) -> Tensor",
    .doc = "input repeated along each dimension; leading new dimensions where repeats has more.",
    .method = "method",
    .shape = shape_repeat,
    .kernels = {KernelRow{"copy", run_repeat}},
    .derivative = {wrt("input", [](auto dy, auto input,
                                   auto repeats) { return repeat_backward(dy, shape_of(input), repeats); })},
    .batch = batch_repeat,
    .onnx = Format{{.map = "Tile(input, repeats)", .since = 6}},
    .netdef = none("Tile of Caffe2 takes one dimension"),
    .samples = {shape(2, 3).with("repeats", {2, 1}), shape(2).with("repeats", {3, 2})},
};
constinit const Op flip_op{
    .schema = "flip(Tensor input, int[] dims) -> Tensor",
    .doc = "Reverses the order of elements along the given dimensions.",
    .shape = shape_same,
    .kernels = {KernelRow{"copy", run_flip}},
    .derivative = {wrt("input", [](auto dy, auto, auto dims) { return flip(dy, dims); })},
    .batch = over_dims("dims"),
    .onnx = none("written as Slice with steps of -1"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(2, 3).with("dims", {1}), shape(2, 0).with("dims", {0, 1})},
};
constinit const Op pad_constant_op{
    .schema = "pad_constant(Tensor input, int[] pad, Number value=0.0) -> Tensor",
    .doc =
        "Pads with a value: pad lists (before, after) from the last dimension on; negative numbers remove.",
    .method = "function",
    .shape = shape_pad,
    .kernels = {KernelRow{"copy", run_pad}},
    .derivative = {wrt("input", [](auto dy, auto, auto pad) { return pad_inverse(dy, pad); })},
    .onnx = none("written by an adapter: ONNX orders pads by dimension"),
    .netdef = none("PadImage of Caffe2 pads images"),
    .samples = {shape(2, 3).with("pad", {1, 2}), shape(2, 3).with("pad", {-1, 0, 1, 0}).with("value", 2.0)},
};
// The gradient of constant padding: the negated pad.
constinit const Op pad_inverse_op{
    .schema = "pad_inverse(Tensor input, int[] pad) -> Tensor",
    .doc = "Undoes pad_constant: removes what it added, adds zeros where it removed.",
    .method = "none",
    .shape =
        [](Frame& f) {
          const Dims negative = negated(f.ints(1));
          Arg args[3] = {f.args[0], negative, Arg(0.0)};
          Frame g(pad_constant_op, args, 3);
          g.infer = true;
          shape_pad(g);
          f.output(0, g.outs[0].sizes(), f.tensor(0).dtype());
        },
    .kernels = {KernelRow{"copy",
                          [](Frame& f) {
                            const Dims negative = negated(f.ints(1));
                            Arg args[3] = {f.args[0], negative, Arg(0.0)};
                            Frame g(pad_constant_op, args, 3);
                            g.outs.resize(1);
                            g.outs[0] = f.outs[0];
                            run_pad(g);
                          }}},
    .derivative = {wrt("input", [](auto dy, auto, auto pad) { return pad_constant(dy, pad); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka
