// Sequences of different lengths packed by step: which rows they take. The layer itself, and what moves the rows
// (index_select, index_copy), see indices alone.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/kernels/arguments.h"
#include "moka/ops/recurrent/recurrent.h"

namespace moka::ops {

namespace {

// A vector of int64 whose values the result's shape depends on.
std::span<const int64_t> numbers(Frame& f, Tensor& kept) {
  const Tensor& t = tensor_argument(f, 0);
  MOKA_CHECK(t.dtype() == DType::I64 && t.dim() == 1, f.name(), ": int64 of one dimension was expected, got ",
             t.dtype(), " of shape ", t.sizes());
  f.sizes_of_values();
  MOKA_CHECK(t.has_storage(), f.name(), ": the shape of the result depends on values, but ", t.sizes(),
             " on the meta device has none");
  kept = as_contiguous(t);
  return {kept.data<int64_t>(), static_cast<size_t>(kept.numel())};
}
int64_t* made(Frame& f, int64_t count) {
  const int64_t sizes[] = {count};
  f.outs.resize(1);
  f.outs[0] = new_tensor(sizes, DType::I64);
  return f.outs[0].data<int64_t>();
}
// Rows of each step: not increasing, at least one.
std::span<const int64_t> step_sizes(Frame& f, Tensor& kept) {
  const std::span<const int64_t> sizes = numbers(f, kept);
  MOKA_CHECK(!sizes.empty() && std::is_sorted(sizes.rbegin(), sizes.rend()) && sizes.back() > 0, f.name(),
             ": batch_sizes must be positive and not increasing, got ", sizes);
  return sizes;
}
// How many of a falling list are above each of 0, 1, ..., first - 1: lengths from the rows of the steps and back.
void transpose(Frame& f, std::span<const int64_t> falling) {
  const int64_t count = falling.empty() ? 0 : falling[0];
  MOKA_CHECK_KIND(Value, count <= int64_t(1) << 40, f.name(), ": ", count, " is too long");
  int64_t* out = made(f, count);
  size_t above = falling.size();
  for (int64_t i = 0; i < count; i++) {
    while (above && falling[above - 1] <= i) above--;
    out[i] = static_cast<int64_t>(above);
  }
}

void steps_of_lengths(Frame& f) {
  Tensor kept;
  const std::span<const int64_t> lengths = numbers(f, kept);
  MOKA_CHECK(!lengths.empty() && lengths.back() > 0 && std::is_sorted(lengths.rbegin(), lengths.rend()),
             f.name(), ": lengths must be above 0 and must be sorted in decreasing order, got ", lengths);
  transpose(f, lengths);
}
void lengths_of_steps(Frame& f) {
  Tensor kept;
  transpose(f, step_sizes(f, kept));
}
void rows(Frame& f) {
  Tensor kept;
  const std::span<const int64_t> sizes = step_sizes(f, kept);
  const int64_t steps = f.integer(1), batch = f.integer(2);
  const bool batch_first = f.flag(3);
  MOKA_CHECK(static_cast<int64_t>(sizes.size()) <= steps && sizes[0] <= batch, f.name(), ": ", sizes.size(),
             " steps of at most ", sizes[0], " rows do not fit into ", steps, " steps of ", batch);
  int64_t all = 0;
  for (int64_t n : sizes) all += n;
  int64_t* out = made(f, all);
  for (size_t t = 0; t < sizes.size(); t++)
    for (int64_t i = 0; i < sizes[t]; i++)
      *out++ = batch_first ? i * steps + static_cast<int64_t>(t) : static_cast<int64_t>(t) * batch + i;
}
void places(Frame& f) {
  Tensor kept;
  const std::span<const int64_t> sizes = step_sizes(f, kept);
  f.sizes_of_values(-1);
  const int64_t steps = f.has(1) ? f.integer(1) : static_cast<int64_t>(sizes.size()), batch = sizes[0];
  const bool batch_first = f.flag(2);
  MOKA_CHECK_KIND(Value, static_cast<int64_t>(sizes.size()) <= steps, f.name(),
                  ": Expected total_length to be at least the length of the longest sequence in input, ",
                  sizes.size(), ", but it is ", steps);
  int64_t all = 0;
  for (int64_t n : sizes) all += n;
  const int64_t shape[] = {batch_first ? batch : steps, batch_first ? steps : batch};
  f.outs.resize(1);
  f.outs[0] = new_tensor(shape, DType::I64);
  int64_t* out = f.outs[0].data<int64_t>();
  int64_t start = 0;
  for (int64_t t = 0; t < steps; t++) {
    const int64_t rows = t < static_cast<int64_t>(sizes.size()) ? sizes[static_cast<size_t>(t)] : 0;
    for (int64_t i = 0; i < batch; i++)
      out[batch_first ? i * steps + t : t * batch + i] = i < rows ? start + i : all;
    start += rows;
  }
}
void last_rows(Frame& f) {
  Tensor kept;
  const std::span<const int64_t> sizes = step_sizes(f, kept);
  int64_t* out = made(f, sizes[0]);
  int64_t start = 0;
  for (size_t t = 0; t < sizes.size(); t++) {
    const int64_t going_on = t + 1 < sizes.size() ? sizes[t + 1] : 0;
    for (int64_t i = going_on; i < sizes[t]; i++) out[i] = start + i;
    start += sizes[t];
  }
}

constexpr auto indices = [] { return none("the result holds indices"); };
constexpr auto no_netdef = [] { return none("Caffe2 packs no sequences"); };
}  // namespace

constinit const Op packed_step_sizes_op{
    .schema = "packed_step_sizes(Tensor lengths) -> Tensor",
    .doc = "How many of the sequences, longest first, take part in each step: int64 [longest].",
    .method = "none",
    .view = steps_of_lengths,
    .derivative = indices(),
    .onnx = none("written with ReduceMax, Range and comparisons"),
    .netdef = no_netdef(),
    .samples = {},
};
constinit const Op packed_lengths_op{
    .schema = "packed_lengths(Tensor step_sizes) -> Tensor",
    .doc = "The length of every sequence, int64 [batch], from the rows of every step.",
    .method = "none",
    .view = lengths_of_steps,
    .derivative = indices(),
    .onnx = none("written with ReduceMax, Range and comparisons"),
    .netdef = no_netdef(),
    .samples = {},
};
constinit const Op packed_rows_op{
    .schema = "packed_rows(Tensor step_sizes, int steps, int batch, bool batch_first=False) -> Tensor",
    .doc =
        "For every row of packed sequences its row among padded ones, [steps, batch] or [batch, steps], as "
        "one "
        "index.",
    .method = "none",
    .view = rows,
    .derivative = indices(),
    .onnx = none("written with Range, comparisons and NonZero"),
    .netdef = no_netdef(),
    .samples = {},
};
constinit const Op packed_places_op{
    .schema = "packed_places(Tensor step_sizes, int? total_length=None, bool batch_first=False) -> Tensor",
    .doc =
        "For every place of padded sequences, [steps, batch] or [batch, steps], its row among the packed "
        "ones; "
        "behind the end of a sequence the number of rows.",
    .method = "none",
    .view = places,
    .derivative = indices(),
    .onnx = none("written with Range, comparisons and CumSum"),
    .netdef = no_netdef(),
    .samples = {},
};
constinit const Op packed_last_rows_op{
    .schema = "packed_last_rows(Tensor step_sizes) -> Tensor",
    .doc = "The last row of every sequence among the packed ones, int64 [batch].",
    .method = "none",
    .view = last_rows,
    .derivative = indices(),
    .onnx = none("written with CumSum and Gather"),
    .netdef = no_netdef(),
    .samples = {},
};

}  // namespace moka::ops
