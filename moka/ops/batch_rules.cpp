// The batching rules that operators share.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/batch_rules.h"

#include <algorithm>

#include "moka/ops/linear/linear.h"
#include "moka/ops/operators.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/batch.h"

#ifndef MOKA_PREDICTOR
namespace moka {

namespace {
Dims joined(std::initializer_list<int64_t> first, std::span<const int64_t> rest) {
  Dims out(first);
  for (int64_t n : rest) out.push_back(n);
  return out;
}
// [B, dims...] with ones behind the batch, so that the program sees `rank` dimensions.
Tensor with_rank(const Tensor& t, int rank) {
  const int missing = rank - (t.dim() - 1);
  if (missing <= 0) return t;
  Dims sizes{t.size(0)};
  for (int i = 0; i < missing; i++) sizes.push_back(1);
  for (int i = 1; i < t.dim(); i++) sizes.push_back(t.size(i));
  return reshape(t, sizes);
}
void give_batch(BatchCall& c, int i) {
  if (c.args[i].tag != Tag::Tensor || c.is_batched(i)) return;
  const Tensor& t = c.tensor(i);
  c.set(i, expand(unsqueeze(t, 0), joined({c.size}, t.sizes())));
  c.batched |= uint64_t(1) << i;
}

// Moves the dimensions in argument `at` up by one; false where it is a number left out.
bool shift_argument(BatchCall& c, int at, int rank) {
  const Arg& a = c.args[at];
  auto shifted = [&](int64_t dim) { return int64_t(wrap_dim(dim, rank, c.logical.name()) + 1); };
  if (a.tag == Tag::Int) {
    c.args[at] = Arg(shifted(a.i));
    return true;
  }
  if (!info(c.op).schema.args[static_cast<size_t>(at)].type.list) return false;
  Dims dims;
  if (a.tag == Tag::Ints)
    for (int64_t d : a.as_ints()) dims.push_back(shifted(d));
  if (dims.empty())
    for (int d = 0; d < rank; d++) dims.push_back(d + 1);
  c.set(at, std::move(dims));
  return true;
}

Tensor logical_tensor(const BatchCall& c, int i) { return c.logical.tensor(i); }
bool said_with_others(BatchCall& c, Tensor result) {
  c.outs.resize(1);
  c.outs[0] = std::move(result);
  c.outs_are_logical = true;
  return true;
}
}  // namespace

bool shift_dims(BatchCall& c, std::string_view names) {
  if (names.starts_with('*')) {
    names.remove_prefix(1);
    for (int i = 0; i < c.count; i++) give_batch(c, i);
  } else if (!c.only_first_is_batched()) {
    return false;
  }
  const bool grows = names.starts_with('=');
  if (grows) names.remove_prefix(1);
  const Schema& schema = info(c.op).schema;
  const bool scalar = c.args[0].tag == Tag::Tensor && c.rank(0) == 0 && names.find('+') == names.npos;
  if (scalar)
    for (int i = 0; i < c.count; i++)
      if (c.is_batched(i) && c.args[i].tag == Tag::Tensor && c.rank(i) == 0)
        c.set(i, unsqueeze(c.tensor(i), 1));
  const int rank = c.rank(0);
  while (!names.empty()) {
    std::string_view name = names.substr(0, names.find(' '));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    const bool of_result = name.ends_with('+');
    if (of_result) name.remove_suffix(1);
    const int at = schema.find_arg(name);
    MOKA_ASSERT(at >= 0);
    if (!shift_argument(c, at, rank + of_result)) return false;
  }
  c.call();
  if (scalar && !grows)
    for (size_t i = 0; i < c.outs.size(); i++)
      if (c.outs[i].dim() == 2 && c.outs[i].size(1) == 1) c.outs[i] = reshape(c.outs[i], Dims{c.size});
  return true;
}

bool call_as_it_is(BatchCall& c, std::string_view name) {
  if (c.batched != uint64_t(1) << info(c.op).schema.find_arg(name)) return false;
  c.call();
  return true;
}

bool prepend_size(BatchCall& c, std::string_view) {
  if (!c.only_first_is_batched()) return false;
  Dims sizes = joined({c.size}, c.logical.ints(1));
  if (c.op.schema.starts_with("expand")) c.set(0, with_rank(c.tensor(0), static_cast<int>(sizes.size()) - 1));
  c.set(1, std::move(sizes));
  c.call();
  return true;
}

bool permute_dims(BatchCall& c, std::string_view) {
  Dims dims{0};
  for (int64_t d : c.logical.ints(1)) dims.push_back(wrap_dim(d, c.rank(0), c.logical.name()) + 1);
  c.set(1, std::move(dims));
  c.call();
  return true;
}

bool transpose_matrix(BatchCall& c, std::string_view) {
  c.outs.resize(1);
  c.outs[0] = c.rank(0) < 2 ? c.tensor(0) : transpose(c.tensor(0), 1, 2);
  return true;
}

bool repeat_dims(BatchCall& c, std::string_view) {
  Dims repeats = joined({1}, c.logical.ints(1));
  c.set(0, with_rank(c.tensor(0), static_cast<int>(repeats.size()) - 1));
  c.set(1, std::move(repeats));
  c.call();
  return true;
}

bool squeeze_dims(BatchCall& c, std::string_view) {
  const Tensor& t = c.tensor(0);
  Dims sizes{c.size};
  for (int i = 1; i < t.dim(); i++)
    if (t.size(i) != 1) sizes.push_back(t.size(i));
  c.outs.resize(1);
  c.outs[0] = reshape(t, sizes);
  return true;
}

bool multiply(BatchCall& c, std::string_view) {
  int ra = c.rank(0), rb = c.rank(1);
  auto prepare = [&](int i, bool row, int rank) {
    Tensor t = c.tensor(i);
    if (!c.is_batched(i)) return rank == 1 ? unsqueeze(t, row ? 0 : 1) : t;
    if (rank == 1) t = unsqueeze(t, row ? 1 : 2);
    return with_rank(t, std::max({ra, rb, 2}));
  };
  Tensor y = matmul(prepare(0, true, ra), prepare(1, false, rb));
  if (ra == 1) y = select(y, -2, 0);
  if (rb == 1) y = select(y, -1, 0);
  c.outs.resize(1);
  c.outs[0] = y;
  return true;
}

bool multiply_and_add(BatchCall& c, std::string_view) {
  const Schema& s = info(c.op).schema;
  const Arg &beta = c.logical.args[s.find_arg("beta")], &alpha = c.logical.args[s.find_arg("alpha")];
  Tensor product = matmul(logical_tensor(c, 1), logical_tensor(c, 2));
  Tensor scaled = EagerReading::call(ops::mul_op, product, alpha);
  if (beta.as_double() == 0) return said_with_others(c, scaled);
  return said_with_others(c, add(EagerReading::call(ops::mul_op, logical_tensor(c, 0), beta), scaled));
}

bool affine_map(BatchCall& c, std::string_view) {
  if (c.only_first_is_batched() && c.rank(0) >= 1) {
    c.call();
    return true;
  }
  Tensor y = matmul(logical_tensor(c, 0), t(logical_tensor(c, 1)));
  return said_with_others(c, c.logical.has(2) ? add(y, logical_tensor(c, 2)) : y);
}

bool affine_weight_gradient(BatchCall& c, std::string_view) {
  Tensor dy = logical_tensor(c, 0), x = logical_tensor(c, 1);
  if (dy.dim() < x.dim())
    return said_with_others(c, matmul(reshape(dy, Dims{-1}), reshape(x, Dims{-1, x.size(-1)})));
  dy = reshape(dy, Dims{-1, dy.size(-1)});
  return said_with_others(c, matmul(transpose(dy, 0, 1), reshape(x, Dims{-1, x.size(-1)})));
}

bool fold_images(BatchCall& c, std::string_view) {
  if (!c.only_first_is_batched() || c.rank(0) < 2) return false;
  const Tensor t = c.tensor(0);
  Dims folded = joined({t.size(0) * t.size(1)}, t.sizes().subspan(2));
  c.set(0, reshape(t, folded));
  c.call();
  for (size_t i = 0; i < c.outs.size(); i++)
    c.outs[i] = reshape(c.outs[i], joined({t.size(0), t.size(1)}, c.outs[i].sizes().subspan(1)));
  return true;
}

bool convolve(BatchCall& c, std::string_view) {
  if (c.only_first_is_batched())
    return c.rank(0) < c.rank(1) ? call_as_it_is(c, "input") : fold_images(c, {});
  const Schema& s = info(c.op).schema;
  const int groups = s.find_arg("groups"), bias = s.find_arg("bias"), images = c.rank(1);
  if (c.rank(0) != images) return false;  // an image without N
  for (int i : {0, 1, bias}) give_batch(c, i);
  // [B, N, C, ...] becomes [N, B C, ...], [B, O, ...] becomes [B O, ...]: every element of the batch is a group.
  const Tensor x = c.tensor(0), w = c.tensor(1);
  c.set(0, reshape(transpose(x, 0, 1), joined({x.size(1), x.size(0) * x.size(2)}, x.sizes().subspan(3))));
  c.set(1, reshape(w, joined({w.size(0) * w.size(1)}, w.sizes().subspan(2))));
  if (c.args[bias].tag == Tag::Tensor) c.set(bias, reshape(c.tensor(bias), Dims{-1}));
  c.args[groups] = Arg(c.logical.integer(groups) * c.size);
  c.call();
  const Tensor y = c.outs[0];
  c.outs[0] = transpose(reshape(y, joined({y.size(0), c.size, w.size(1)}, y.sizes().subspan(2))), 0, 1);
  return true;
}

}  // namespace moka
#endif
