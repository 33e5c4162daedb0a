// Storage of strings: the elements, and the blocks of text they refer to.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/strings.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "moka/tensor/allocator.h"

namespace moka {

static_assert(sizeof(std::string_view) == 16);

// Text in chunks that grow.
class TextBlock {
 public:
  std::string_view add(std::string_view text) {
    if (text.empty()) return {};
    if (text.size() > left_) {
      const size_t size = std::max(text.size(), next_);
      next_ = std::min<size_t>(next_ * 2, 1 << 20);
      chunks_.push_back(std::make_unique<char[]>(size));
      at_ = chunks_.back().get();
      left_ = size;
    }
    std::memcpy(at_, text.data(), text.size());
    const std::string_view out(at_, text.size());
    at_ += text.size();
    left_ -= text.size();
    return out;
  }

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* at_ = nullptr;
  size_t left_ = 0, next_ = 128;
};

namespace {

using Blocks = std::vector<std::shared_ptr<TextBlock>>;

struct Texts {
  std::mutex mutex;
  Blocks blocks;
};

void free_texts(Storage* s) {
  allocator(s->device).deallocate(s->data, s->bytes ? s->bytes : 1);
  delete static_cast<Texts*>(s->context);
}

Texts& texts_in(const Tensor& t) {
  Storage* s = t.impl()->storage;
  MOKA_ASSERT(t.dtype() == DType::String && s && s->free_data == free_texts);
  return *static_cast<Texts*>(s->context);
}

// Beyond so many blocks, those still shown are copied into one: a loop that changes a few texts each turn would
// otherwise keep all it ever had.
constexpr size_t most_blocks = 32;

void pack(const Tensor& t, Texts& own) {
  auto block = std::make_shared<TextBlock>();
  auto* elements = static_cast<std::string_view*>(t.impl()->storage->data);
  const size_t count = t.impl()->storage->bytes / sizeof(std::string_view);
  for (size_t i = 0; i < count; i++) elements[i] = block->add(elements[i]);
  own.blocks.assign(1, std::move(block));
}

}  // namespace

void detail::make_text_storage(Storage* s) {
  s->data = allocator(s->device).allocate(s->bytes ? s->bytes : 1);
  std::memset(s->data, 0, s->bytes);
  s->context = new Texts;
  s->free_data = free_texts;
}

TextWriter::TextWriter(const Tensor& out)
    : elements_(out.data<std::string_view>()), block_(std::make_shared<TextBlock>()) {
  Texts& own = texts_in(out);
  std::lock_guard lock(own.mutex);
  own.blocks.push_back(block_);
}
TextWriter::~TextWriter() = default;

void TextWriter::set(int64_t index, std::string_view text) { elements_[index] = block_->add(text); }

void keep_texts(const Tensor& from, const Tensor& to) {
  if (!from || !to || from.dtype() != DType::String || to.dtype() != DType::String || !from.has_storage() ||
      !to.has_storage() || from.impl()->storage == to.impl()->storage)
    return;
  Blocks shared;
  {
    Texts& theirs = texts_in(from);
    std::lock_guard lock(theirs.mutex);
    shared = theirs.blocks;
  }
  Texts& own = texts_in(to);
  std::lock_guard lock(own.mutex);
  for (auto& block : shared)
    if (std::find(own.blocks.begin(), own.blocks.end(), block) == own.blocks.end())
      own.blocks.push_back(std::move(block));
  if (own.blocks.size() > most_blocks && to.impl()->storage->references.load() == 1) pack(to, own);
}

}  // namespace moka
