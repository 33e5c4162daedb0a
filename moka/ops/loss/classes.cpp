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
  for (size_t d = 2; d < input.size(); d++) s.inner *= input[d];
  s.target = Dims(input);
  s.target.erase(at);
  return s;
}

void check_target_shape(const Frame& f, int target, std::span<const int64_t> input, const ClassShape& s) {
  const std::span<const int64_t> got = f.tensor(target).sizes(), wanted = s.target;
  MOKA_CHECK_KIND(Value, std::equal(got.begin(), got.end(), wanted.begin(), wanted.end()), f.name(),
                  ": target must have shape ", wanted, " for an input of shape ", input, ", got ", got);
}

Tensor checked_targets(const Frame& f, int target, const ClassShape& s, int64_t ignore_index) {
  Tensor t = as_contiguous(to_dtype(f.tensor(target), DType::I64));
  const int64_t* at = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); i++)
    MOKA_CHECK_KIND(Index, (at[i] >= 0 && at[i] < s.classes) || at[i] == ignore_index, f.name(), ": target ",
                    i, " is ", at[i], ", but there are ", s.classes, " classes (0 to ", s.classes - 1,
                    ", or ignore_index=", ignore_index, ")");
  return t;
}

}  // namespace moka
