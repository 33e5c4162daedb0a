// Memory formats by name.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/memory_format.h"

#include <algorithm>

namespace moka {

Dims format_strides(std::string_view format, std::span<const int64_t> sizes, std::string_view op) {
  if (format == "contiguous_format" || format == "preserve_format") return contiguous_strides(sizes);
  size_t rank = format == "channels_last" ? 4 : format == "channels_last_3d" ? 5 : 0;
  MOKA_CHECK(rank, op, ": unknown memory format '", format,
             "'; there are contiguous_format, preserve_format, channels_last and channels_last_3d");
  MOKA_CHECK(sizes.size() == rank, op, ": required rank ", rank, " tensor to use ", format,
             " format, got shape ", sizes);
  Dims strides(rank);
  int64_t step = 1;
  auto place = [&](size_t d) {
    strides[d] = step;
    step = checked_mul(step, std::max<int64_t>(sizes[d], 1), "memory_format");
  };
  place(1);
  for (size_t d = rank; d-- > 2;) place(d);
  place(0);
  return strides;
}

Dims format_strides(std::string_view format, const Tensor& like, std::string_view op) {
  if (format != "preserve_format") return format_strides(format, like.sizes(), op);
  int64_t reach = 1;
  for (int d = 0; d < like.dim(); d++)
    if (like.size(d) > 1) reach += (like.size(d) - 1) * like.stride(d);
  if (like.numel() && reach == like.numel() && is_non_overlapping(like.sizes(), like.strides()))
    return Dims(like.strides());
  return strides_like(like.sizes(), {&like, 1});  // the order of dimensions stays, gaps go
}

Dims strides_like(std::span<const int64_t> shape, std::span<const Tensor> operands) {
  const int64_t rank = static_cast<int64_t>(shape.size());
  const auto stride = [&](const Tensor& t, int64_t d) -> int64_t {
    const int64_t at = d - rank + t.dim();
    if (at < 0 || (t.size(static_cast<int>(at)) == 1 && shape[static_cast<size_t>(d)] != 1)) return 0;
    return t.stride(static_cast<int>(at));
  };
  const auto lies_outside = [&](int64_t a, int64_t b) {  // 1, -1, or 0 where nothing tells
    for (const Tensor& t : operands) {
      if (!t) continue;
      const int64_t x = stride(t, a), y = stride(t, b);
      if (x == 0 || y == 0) continue;
      if (x != y) return x > y ? 1 : -1;
      if (shape[static_cast<size_t>(a)] > shape[static_cast<size_t>(b)]) return 1;
    }
    return 0;
  };
  Dims order, strides(shape);
  for (int64_t d = rank; d-- > 0;) order.push_back(d);
  for (size_t i = 1; i < order.size(); i++)
    for (size_t at = i, k = i; k-- > 0;) {
      const int found = lies_outside(order[k], order[at]);
      if (found < 0) break;
      if (found > 0) std::swap(order[k], order[at]), at = k;
    }
  int64_t step = 1;
  for (int64_t d : order) {
    strides[static_cast<size_t>(d)] = step;
    step *= std::max<int64_t>(shape[static_cast<size_t>(d)], 1);
  }
  return strides;
}

Dims memory_order(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  Dims order;
  for (size_t d = 0; d < strides.size(); d++) order.push_back(static_cast<int64_t>(d));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const size_t i = static_cast<size_t>(a), j = static_cast<size_t>(b);
    return strides[i] != strides[j] ? strides[i] > strides[j] : (sizes[i] == 1) < (sizes[j] == 1);
  });
  return order;
}

bool is_in_format(std::string_view format, const Tensor& t) {
  if (format == "contiguous_format" || format == "preserve_format") return t.is_contiguous();
  if (t.dim() != (format == "channels_last" ? 4 : 5)) return false;
  if (t.numel() == 0) return true;
  Dims wanted = format_strides(format, t.sizes(), "is_contiguous");
  for (int d = 0; d < t.dim(); d++)
    if (t.size(d) > 1 && t.stride(d) != wanted[static_cast<size_t>(d)]) return false;
  return true;
}

bool has_plain_strides(const Tensor& t) {
  int64_t expected = 1;
  for (int d = t.dim(); d-- > 0;) {
    if (t.stride(d) != expected) return false;
    expected *= std::max<int64_t>(t.size(d), 1);
  }
  return true;
}

// Strides rise from the channels over the last dimension to the first; where sizes of 1 leave it open whether they do,
// the plain order counts, as in PyTorch.
bool has_channels_last(const Tensor& t) {
  if ((t.dim() != 4 && t.dim() != 5) || t.stride(1) == 0) return false;
  Dims order{1};
  for (int d = t.dim(); d-- > 2;) order.push_back(d);
  order.push_back(0);
  int64_t least = 0;
  for (const int64_t at : order) {
    const int d = static_cast<int>(at);
    if (t.size(d) == 0 || t.stride(d) < least) return false;
    if (d == 0 && least == t.stride(1)) return false;
    least = t.stride(d) * std::max<int64_t>(t.size(d), 1);
  }
  return true;
}

void follow_format(Frame& f, const Tensor& input) {
  if (!has_channels_last(input)) return;
  const std::string_view format = input.dim() == 5 ? "channels_last_3d" : "channels_last";
  for (size_t i = 0; i < f.outs.size(); i++) {
    Tensor& out = f.outs[i];
    if (!out || out.dim() != input.dim() || (i < 4 && f.given >> i & 1)) continue;
    Tensor ordered = new_strided_tensor(out.sizes(), format_strides(format, out.sizes(), f.name()),
                                        out.dtype(), out.device());
    copy_elements(out, ordered);
    out = std::move(ordered);
  }
}

void output_in_format(Frame& f, int format, const Tensor& like, DType dtype, Device device) {
  const bool given = f.has(format);
  if ((!given && has_plain_strides(like)) || f.infer || f.given & 1)
    return f.output(0, like.sizes(), dtype, device);
  const std::string_view order = given ? f.string(format) : "preserve_format";
  f.outs.resize(1);
  f.outs[0] = new_strided_tensor(like.sizes(), format_strides(order, like, f.name()), dtype, device);
}

}  // namespace moka
