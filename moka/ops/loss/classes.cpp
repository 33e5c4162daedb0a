// Shapes and targets of losses over classes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/loss/classes.h"

#include <algorithm>

namespace moka {

ClassShape class_shape(const Frame& f, std::span<const int64_t> input) {
  MOKA_CHECK(!input.empty(), f.name(),
             ": input must have shape [batch, classes, ...] or [classes], got a scalar");
  checked_numel(input, "loss");
  ClassShape s;
  size_t at = input.size() > 1;
  s.classes = input[at];
  if (at) s.batch = input[0];
  for (size_t d = 2; d < input.size(); d++) s.inner = checked_mul(s.inner, input[d], "loss");
  s.target = Dims(input);
  s.target.erase(at);
  return s;
}

void check_target_shape(const Frame& f, int target, std::span<const int64_t> input, const ClassShape& s) {
  const std::span<const int64_t> got = f.tensor(target).sizes(), wanted = s.target;
  if (wanted.size() == 1 && got.size() == 1)
    MOKA_CHECK_KIND(Value, got[0] == wanted[0], f.name(), ": Expected input batch_size (", wanted[0],
                    ") to match target batch_size (", got[0], ")");
  if (wanted.size() <= 1)
    MOKA_CHECK(
        got.size() == wanted.size(), f.name(), ": ", wanted.size(),
        "D target tensor expected, one class for each row, multi-target not supported; got target of shape ",
        got, " for an input of shape ", input);
  MOKA_CHECK_KIND(Value, std::equal(got.begin(), got.end(), wanted.begin(), wanted.end()), f.name(),
                  ": target must have shape ", wanted, " for an input of shape ", input, ", got ", got);
}

void check_class_weight(const Frame& f, int weight, const ClassShape& s) {
  const std::span<const int64_t> got = f.tensor(weight).sizes();
  MOKA_CHECK(got.size() == 1 && got[0] == s.classes, f.name(),
             ": weight tensor should be defined either for all ", s.classes,
             " classes or no classes but got weight tensor of shape ", got);
}

Tensor checked_targets(const Frame& f, int target, const ClassShape& s, int64_t ignore_index) {
  Tensor t = as_contiguous(to_dtype(f.tensor(target), DType::I64));
  const int64_t* at = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); i++)
    MOKA_CHECK_KIND(Index, (at[i] >= 0 && at[i] < s.classes) || at[i] == ignore_index, f.name(), ": Target ",
                    at[i], " is out of bounds: entry ", i, " must be one of ", s.classes, " classes (0 to ",
                    s.classes - 1, ", or ignore_index=", ignore_index, ")");
  return t;
}

}  // namespace moka
