// Checks of outputs that come with the call.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/given_output.h"

#include <utility>

#include "moka/ops/kernels/arguments.h"
#include "moka/tensor/scalar_name.h"

namespace moka {

DType named_type(const Frame& f, int i, DType otherwise) {
  if (!f.has(i)) return otherwise;
  const DType named = f.args[i].dtype;
  MOKA_CHECK(!(f.given & 1) || f.outs[0].dtype() == named, f.name(), ": dtype ", scalar_name(named),
             " does not match the type of out=, ", scalar_name(f.outs[0].dtype()));
  return named;
}

namespace {
void check_type(const Frame& f, int i, DType dtype) {
  if (f.given >> i & 1)
    MOKA_CHECK(f.outs[static_cast<size_t>(i)].dtype() == dtype, f.name(), ": Expected object of scalar type ",
               scalar_name(dtype), " but got scalar type ",
               scalar_name(f.outs[static_cast<size_t>(i)].dtype()), " for argument 'out'");
}
}  // namespace

void exact_output(Frame& f, int i, std::span<const int64_t> sizes, DType dtype) {
  check_type(f, i, dtype);
  f.output(i, sizes, dtype);
}
void keep_type(Frame& f) { check_type(f, 0, f.tensor(0).dtype()); }

namespace {
// The elements that a tensor reaches in its storage, [first, last), in bytes.
std::pair<int64_t, int64_t> reach(const Tensor& t) {
  const int64_t item = static_cast<int64_t>(item_size(t.dtype()));
  int64_t last = t.impl()->offset;
  for (int d = 0; d < t.dim(); d++) last += (t.size(d) - 1) * t.stride(d);
  return {t.impl()->offset * item, (last + 1) * item};
}
}  // namespace

void check_no_overlap(const Frame& f, int i) {
  if (!(f.given & 1)) return;
  const Tensor& out = f.outs[0];
  const auto check = [&](const Tensor& t) {
    if (!t || !t.numel() || !out.numel() || t.impl()->storage != out.impl()->storage) return;
    const auto [first, last] = reach(t);
    const auto [from, to] = reach(out);
    MOKA_CHECK(last <= from || to <= first, f.name(),
               ": unsupported operation: the output given shares memory with ", argument_name(f, i),
               "; clone() one of them");
  };
  if (f.args[i].tag == Tag::Tensor) check(f.tensor(i));
  else if (f.args[i].tag == Tag::Tensors)
    for (const Tensor& t : f.tensors(i)) check(t);
}

}  // namespace moka
