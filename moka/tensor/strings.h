// Tensors of strings. An element is a std::string_view: copied like a number, while the storage keeps the text that its
// elements refer to. Texts are written once and shared; they live as long as any storage that may show them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "moka/tensor/tensor.h"

namespace moka {

class TextBlock;

// Writes texts into a new contiguous tensor of strings; elements that are not written are empty.
class TextWriter {
 public:
  explicit TextWriter(const Tensor& out);
  ~TextWriter();
  TextWriter(const TextWriter&) = delete;
  void set(int64_t index, std::string_view text);  // copies the text

 private:
  std::string_view* elements_;
  std::shared_ptr<TextBlock> block_;
};

inline const std::string_view* texts_of(const Tensor& contiguous) {
  return contiguous.data<std::string_view>();
}

// After elements of `from` were copied to `to`: the texts live as long as `to` does.
void keep_texts(const Tensor& from, const Tensor& to);

namespace detail {
void make_text_storage(Storage* s);  // all elements empty; s->bytes is set
}

}  // namespace moka
