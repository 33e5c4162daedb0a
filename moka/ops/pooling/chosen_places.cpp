// Pools that return the places of their maxima: windows that share out the input, and windows at random places. Reading
// at such places and writing there are each other's gradients.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pooling/geometry.h"
#include "moka/ops/pooling/pooling.h"

namespace moka::ops {

namespace {
void declare(Frame& f, const Pool& p) {
  f.output(0, p.output_sizes(), f.tensor(0).dtype());
  f.output(1, p.output_sizes(), DType::I64);
}

template <int rank>
Pool adaptive_geometry(const Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  Dims outputs = output_size_argument(f, 1, rank, -1);
  Pool p = pool_planes(f, x.sizes(), rank);
  for (int k = 0; k < rank; k++) {
    Axis& a = p.g.axis(p.g.first() + k);
    a.out = outputs[static_cast<size_t>(k)];
    checked_mul(a.in, checked_add(a.out, 1, "pooling"), "pooling");
  }
  return p;
}
template <int rank>
void adaptive_shape(Frame& f) {
  declare(f, adaptive_geometry<rank>(f));
}
template <int rank>
void adaptive_kernel(Frame& f) {
  Pool p = adaptive_geometry<rank>(f);
  if (f.outs[0].numel() == 0) return;
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    max_pool(p.g, sharing_reaches(p.g), x.data<T>(), y.data<T>(), f.outs[1].data<int64_t>());
  });
  y.finish();
  follow_format(f, f.tensor(0));
}

// Arguments: input, kernel_size, output_size, random_samples [batch, channels, rank].
Pool fractional_geometry(const Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  const int rank = declared_size(f, 1);
  Pool p = pool_planes(f, x.sizes(), rank);
  read_axes(f, 1, 1, p.g, &Axis::kernel);
  read_axes(f, 2, 1, p.g, &Axis::out);
  for (int k = p.g.first(); k < 3; k++) {
    const Axis& a = p.g.axis(k);
    MOKA_CHECK(a.out <= a.in && a.kernel <= a.in - a.out + 1, f.name(), ": the kernel (", a.kernel,
               ") and the output (", a.out, ") do not fit the input's ", a.in, " places in ", axis_name(k));
  }
  floating_argument(f, 3);
  check_same_dtype(f, 3, 0);
  const Tensor& u = f.tensor(3);
  const int64_t batch = p.leading.size() == 1 ? 1 : p.leading[0], channels = p.leading.back();
  MOKA_CHECK(u.dim() == 3 && u.size(0) >= batch && u.size(1) == channels && u.size(2) == rank, f.name(),
             ": random_samples must have shape [", batch, ", ", channels, ", ", rank, "], got ", u.sizes());
  return p;
}
void fractional_shape(Frame& f) { declare(f, fractional_geometry(f)); }
void fractional_kernel(Frame& f) {
  Pool p = fractional_geometry(f);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0))), u = as_contiguous(in_kernel_dtype(f.tensor(3)));
  KernelOutput y(f, 0);
  int64_t* indices = f.outs[1].data<int64_t>();
  auto run = [&]<class T>(T*) {
    for (int64_t i = 0; i < u.numel(); i++)
      MOKA_CHECK(u.data<T>()[i] >= 0 && u.data<T>()[i] < 1, f.name(),
                 ": random_samples must lie in [0, 1), got ", double(u.data<T>()[i]));
    const int64_t in = p.g.in_pixels(), out = p.g.out_pixels();
    parallel_for(0, p.g.planes, 32768 / (out * p.g.taps() + 1) + 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++)
        max_pool_plane(p.g, fractional_reaches(p.g, u.data<T>() + i * p.g.rank), x.data<T>() + i * in,
                       y.data<T>() + i * out, indices + i * out);
    });
  };
  if (x.dtype() == DType::F64) run(static_cast<double*>(nullptr));
  else run(static_cast<float*>(nullptr));
  y.finish();
}

// ---- reading and writing at places of planes, which are the last `rank` dimensions flattened
struct Places {
  int64_t planes, size, count;
};
Places places(const Frame& f, std::span<const int64_t> whole, std::span<const int64_t> chosen, int rank) {
  const size_t axes = static_cast<size_t>(rank);
  MOKA_CHECK(rank >= 1 && whole.size() >= axes && chosen.size() == whole.size() &&
                 std::equal(whole.begin(), whole.end() - rank, chosen.begin()),
             f.name(), ": shapes ", whole, " and ", chosen, " must agree but in the last ", rank,
             " dimensions");
  return {checked_numel(whole.first(whole.size() - axes), "plane"),
          checked_numel(whole.subspan(whole.size() - axes), "plane"),
          checked_numel(chosen.subspan(whole.size() - axes), "plane")};
}
void check_indices(const Frame& f, int i) {
  MOKA_CHECK(tensor_argument(f, i).dtype() == DType::I64, f.name(), ": ", argument_name(f, i),
             " must be int64, got ", f.tensor(i).dtype());
}
int64_t place_at(const Frame& f, const int64_t* indices, int64_t i, const Places& p) {
  MOKA_CHECK(indices[i] >= 0 && indices[i] < p.size, f.name(), ": found an invalid max index ", indices[i],
             " (a plane has ", p.size, " places)");
  return i / p.count * p.size + indices[i];
}
void take_shape(Frame& f) {
  tensor_argument(f, 0);
  check_indices(f, 1);
  places(f, f.tensor(0).sizes(), f.tensor(1).sizes(), static_cast<int>(f.integer(2)));
  f.output(0, f.tensor(1).sizes(), f.tensor(0).dtype());
}
void take_kernel(Frame& f) {
  Tensor x = as_contiguous(f.tensor(0)), at = as_contiguous(f.tensor(1));
  Places p = places(f, x.sizes(), at.sizes(), static_cast<int>(f.integer(2)));
  const size_t item = item_size(x.dtype());
  const int64_t* indices = at.data<int64_t>();
  for (int64_t i = 0; i < at.numel(); i++)
    std::memcpy(
        static_cast<char*>(f.outs[0].raw_data()) + static_cast<size_t>(i) * item,
        static_cast<const char*>(x.raw_data()) + static_cast<size_t>(place_at(f, indices, i, p)) * item,
        item);
}
void put_shape(Frame& f) {
  tensor_argument(f, 0);
  check_indices(f, 1);
  check_shape(f, 1, f.tensor(0).sizes());
  Dims sizes = ints_argument(f, 2);
  places(f, sizes, f.tensor(1).sizes(), static_cast<int>(f.integer(3)));
  f.output(0, sizes, f.tensor(0).dtype());
}
void put_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0))), at = as_contiguous(f.tensor(1));
  Places p = places(f, ints_argument(f, 2), at.sizes(), static_cast<int>(f.integer(3)));
  const int64_t* indices = at.data<int64_t>();
  const bool accumulate = f.flag(4);
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    T* to = y.data<T>();
    std::fill_n(to, p.planes * p.size, T(0));
    for (int64_t i = 0; i < at.numel(); i++) {
      T& place = to[place_at(f, indices, i, p)];
      place = accumulate ? static_cast<T>(place + x.data<T>()[i]) : x.data<T>()[i];
    }
  });
  y.finish();
}
}  // namespace

#define MOKA_ADAPTIVE_MAX_POOL(n, first_samples)                                                        \
  constinit const Op adaptive_max_pool##n##d_op {                                                       \
    .schema =                                                                                           \
        "adaptive_max_pool" #n "d(Tensor input, int[] output_size) -> (Tensor output, Tensor indices)", \
    .doc = "Maxima, and their places in the plane, of windows that share out the last " #n              \
           " dimensions so that the result is output_size.",                                            \
    .method = "function", .shape = adaptive_shape<n>,                                                   \
    .kernels = {KernelRow{.name = "loop", .run = adaptive_kernel<n>}},                                  \
    .derivative = {wrt("input",                                                                         \
                       [](auto dy, auto input, auto, auto, auto indices) {                              \
                         return plane_put(dy, indices, shape_of(input), n, true);                       \
                       })},                                                                             \
    .onnx = none("ONNX counts places over the whole tensor, not within a plane"),                       \
    .netdef = none("Caffe2 has no such operator"), .piecewise_linear = true, .samples = first_samples,  \
  }
#define MOKA_FRACTIONAL_MAX_POOL(n, first_samples)                                               \
  constinit const Op fractional_max_pool##n##d_op {                                              \
    .schema = "fractional_max_pool" #n "d(Tensor input, int[" #n "] kernel_size, int[" #n        \
              "] output_size, Tensor random_samples) -> (Tensor output, Tensor indices)",        \
    .doc =                                                                                       \
        "Maxima, and their places in the plane, of windows whose starts random_samples [batch, " \
        "channels, " #n "] of [0, 1) decide (Graham 2014).",                                     \
    .method = "function", .shape = fractional_shape,                                             \
    .kernels = {KernelRow{.name = "loop", .run = fractional_kernel}},                            \
    .derivative = {wrt("input",                                                                  \
                       [](auto dy, auto input, auto, auto, auto, auto, auto indices) {           \
                         return plane_put(dy, indices, shape_of(input), n, true);                \
                       })},                                                                      \
    .onnx = none("ONNX has no random windows"), .netdef = none("Caffe2 has no such operator"),   \
    .piecewise_linear = true, .samples = first_samples,                                          \
  }

namespace {
constexpr SampleField shared1 = {shape(2, 3, 7).in(Domain::Distinct).with("output_size", {3}),
                                 shape(3, 4).in(Domain::Distinct).with("output_size", {1})};
constexpr SampleField shared2 = {shape(2, 3, 5, 7).in(Domain::Distinct).with("output_size", {3, 2}),
                                 shape(3, 4, 4).in(Domain::Distinct).with("output_size", {1})};
constexpr SampleField shared3 = {shape(2, 1, 3, 5, 4).in(Domain::Distinct).with("output_size", {2, 3, 2}),
                                 shape(3, 2, 3, 4).in(Domain::Distinct).with("output_size", {1})};
constexpr SampleField random2 = {shapes({2, 1, 6, 7}, {2, 1, 2})
                                     .in(Domain::Distinct, 0)
                                     .in(Domain::Probability, 1)
                                     .with("kernel_size", {2, 3})
                                     .with("output_size", {3, 2})
                                     .no_gradient(),
                                 shapes({2, 4, 4}, {1, 2, 2})
                                     .in(Domain::Distinct, 0)
                                     .in(Domain::Probability, 1)
                                     .with("kernel_size", {1, 1})
                                     .with("output_size", {4, 1})
                                     .no_gradient()};
constexpr SampleField random3 = {shapes({1, 2, 5, 6, 4}, {1, 2, 3})
                                     .in(Domain::Distinct, 0)
                                     .in(Domain::Probability, 1)
                                     .with("kernel_size", {2, 3, 1})
                                     .with("output_size", {3, 2, 3})
                                     .no_gradient(),
                                 shapes({2, 3, 4, 4}, {1, 2, 3})
                                     .in(Domain::Distinct, 0)
                                     .in(Domain::Probability, 1)
                                     .with("kernel_size", {1, 1, 2})
                                     .with("output_size", {2, 4, 1})
                                     .no_gradient()};
}  // namespace

MOKA_ADAPTIVE_MAX_POOL(1, shared1);
MOKA_ADAPTIVE_MAX_POOL(2, shared2);
MOKA_ADAPTIVE_MAX_POOL(3, shared3);
MOKA_FRACTIONAL_MAX_POOL(2, random2);
MOKA_FRACTIONAL_MAX_POOL(3, random3);

constinit const Op plane_take_op{
    .schema = "plane_take(Tensor input, Tensor indices, int rank) -> Tensor",
    .doc = "The values of each plane (the last `rank` dimensions flattened) at the places in indices.",
    .method = "function",
    .shape = take_shape,
    .kernels = {KernelRow{.name = "loop", .run = take_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto indices, auto rank) {
                         return plane_put(dy, indices, shape_of(input), rank, true);
                       })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shapes({2, 3, 4}, {2, 1, 2}).in(Domain::Index, 1, 12).with("rank", 2),
                shapes({2, 5}, {2, 0}).in(Domain::Index, 1, 5).with("rank", 1)},
};
constinit const Op plane_put_op{
    .schema =
        "plane_put(Tensor input, Tensor indices, int[] sizes, int rank, bool accumulate=False) -> Tensor",
    .doc =
        "Zeros of shape `sizes` with input at the places in indices of each plane (the last `rank` "
        "dimensions "
        "flattened): torch's max_unpool. Values that meet are added with accumulate; else the last one "
        "stays.",
    .method = "function",
    .shape = put_shape,
    .kernels = {KernelRow{.name = "loop", .run = put_kernel}},
    .derivative = {wrt(
        "input", [](auto dy, auto, auto indices, auto, auto rank) { return plane_take(dy, indices, rank); })},
    .onnx = none("MaxUnpool of ONNX counts places over the whole tensor, not within a plane"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({2, 1, 2}, {2, 1, 2})
                    .in(Domain::Index, 1, 12)
                    .with("sizes", {2, 3, 4})
                    .with("rank", 2)
                    .with("accumulate", true),
                shapes({2, 0}, {2, 0}).in(Domain::Index, 1, 5).with("sizes", {2, 5}).with("rank", 1)},
};

}  // namespace moka::ops
