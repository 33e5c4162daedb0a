// Writing formulas as text.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/text_number.h"

namespace moka {

namespace {
thread_local TextPage* page = nullptr;
}

TextPage::TextPage() : outer_(page) { page = this; }
TextPage::~TextPage() { page = outer_; }

std::string TextPage::finish(const Text& result) { return lines_ + "return " + result.name; }

Text append_operation(const char* operation, const Text* operands, int count) {
  MOKA_ASSERT(page != nullptr);
  Text result(cat("t", page->next_++));
  page->lines_ += cat(result.name, " = ", operation);
  for (int i = 0; i < count; i++) page->lines_ += cat(" ", operands[i].name);
  page->lines_ += "\n";
  return result;
}

}  // namespace moka
