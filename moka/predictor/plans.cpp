// Lists of sizes as text.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/plans.h"

#include <charconv>

#include "moka/base/checked.h"
#include "moka/base/error.h"

namespace moka {

namespace {
std::string_view cut(std::string_view& text, char at) {
  const size_t end = std::min(text.find(at), text.size());
  const std::string_view out = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return out;
}

Tensor read_type(std::string_view word, std::string_view what) {
  const auto refuse = [&](std::string_view text) {
    fail_kind(ErrorKind::File, what, ": expected a type like float32[8,128], got '", text.substr(0, 80), "'");
  };
  const size_t open = word.find('[');
  DType dtype;
  if (open == word.npos || word.back() != ']' || !find_dtype(word.substr(0, open), dtype)) refuse(word);
  std::string_view inside = word.substr(open + 1, word.size() - open - 2);
  Dims sizes;
  while (!inside.empty()) {
    const std::string_view number = cut(inside, ',');
    int64_t size = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), size);
    if (error != std::errc() || end != number.data() + number.size() || size < 0 ||
        sizes.size() >= static_cast<size_t>(max_dims))
      refuse(word);
    sizes.push_back(size);
  }
  return planned_input(sizes, dtype, what);
}
}  // namespace

Tensor planned_input(std::span<const int64_t> sizes, DType dtype, std::string_view what) {
  const int64_t bytes =
      checked_mul(checked_numel(sizes, "plan"), static_cast<int64_t>(item_size(dtype)), "plan");
  MOKA_CHECK_KIND(Value, bytes <= most_planned_bytes, what, ": an input of shape ", Dims(sizes), " takes ",
                  bytes, " bytes; plans are made beforehand for inputs of at most ", most_planned_bytes);
  return new_tensor(sizes, dtype);
}

std::string print_plans(const std::vector<std::vector<Tensor>>& plans) {
  std::string out;
  for (const std::vector<Tensor>& inputs : plans) {
    for (size_t i = 0; i < inputs.size(); i++) {
      out += cat(i ? " " : "", inputs[i].dtype(), "[");
      for (int d = 0; d < inputs[i].dim(); d++) out += cat(d ? "," : "", inputs[i].size(d));
      out += "]";
    }
    out += "\n";
  }
  return out;
}

std::vector<std::vector<Tensor>> read_plans(std::string_view text, std::string_view what) {
  std::vector<std::vector<Tensor>> out;
  while (!text.empty()) {
    MOKA_CHECK_KIND(File, out.size() < most_plans_listed, what, ": lists more than ", most_plans_listed,
                    " plans");
    std::string_view line = cut(text, '\n');
    std::vector<Tensor>& inputs = out.emplace_back();
    while (!line.empty()) inputs.push_back(read_type(cut(line, ' '), what));
  }
  return out;
}

}  // namespace moka
