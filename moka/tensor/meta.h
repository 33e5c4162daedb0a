// Tensors without memory: the device type meta has sizes, strides and dtypes only. Operators infer, kernels do not run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string_view>

#include "moka/tensor/tensor.h"

namespace moka {

inline constexpr uint8_t meta_device_type = 1;
inline constexpr Device meta_device{meta_device_type, 0};

// Whether a tensor was ever made there: what all other programs pay for asking.
extern std::atomic<bool> meta_in_use;
inline bool is_meta(const Tensor& t) {
  return __builtin_expect(meta_in_use.load(std::memory_order_relaxed), 0) && t.defined() &&
         t.device().type == meta_device_type;
}
// Raises where a tensor has no values; the text starts with what they were wanted for.
void check_has_values(const Tensor& t, std::string_view what);
// Raises where the sizes of an operator's result cannot be told for want of values.
void check_sizes_known(const Tensor& t, std::string_view op);

// While a composite of tensors without memory runs, what it makes beside them has none either.
extern thread_local int meta_bodies;
class MetaBody {
 public:
  explicit MetaBody(bool on) : on_(on) { meta_bodies += on_; }
  ~MetaBody() { meta_bodies -= on_; }
  MetaBody(const MetaBody&) = delete;

 private:
  const int on_;
};

}  // namespace moka
