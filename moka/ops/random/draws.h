// How operators draw: blocks of four words of a counter-based generator, the same numbers for any number of threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "moka/base/parallel.h"
#include "moka/ops/random/generator.h"
#include "moka/schema/frame.h"

namespace moka {

inline Generator& generator_from(const Frame& f, int i) {
  if (!f.has(i)) return default_generator();
  Generator* g = dynamic_cast<Generator*>(f.args[i].object);
  MOKA_CHECK_KIND(Type, g != nullptr, f.name(), ": generator must be a Generator, got ",
                  f.args[i].object->type_name());
  return *g;
}
inline Generator::Draw draw_from(const Frame& f, int i) { return generator_from(f, i).draw(); }
inline Generator::Twister twister_from(const Frame& f, int i) {
  return Generator::Twister(generator_from(f, i));
}

// 24 random bits in [0, 1) for float, 53 for double.
inline float unit(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }
inline double unit(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t(high) << 32 | low) >> 11) * 0x1p-53;
}

// Calls f(first, last) for parts of the blocks of four elements; block k covers elements 4k to 4k+3.
template <class F>
void share_blocks(int64_t n, F f) {
  parallel_for(0, (n + 3) / 4, 2048, f);
}
// Calls f(i, how many, words) for every block.
template <class F>
void for_blocks(int64_t n, Generator::Draw d, F f) {
  share_blocks(n, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; b++) {
      uint32_t words[4];
      Philox(d.seed, d.offset, static_cast<uint64_t>(b)).next(words);
      f(b * 4, std::min<int64_t>(4, n - b * 4), words);
    }
  });
}

// Fills a contiguous f32 or f64 tensor, or another type through f32: floats(first, last, n, p) writes the elements of
// these blocks, as_double(u, v) makes one element of two uniform numbers.
template <class Floats, class Double>
void fill_floating(const Tensor& out, Generator::Draw d, Floats floats, Double as_double) {
  MOKA_CHECK_KIND(NotImplemented, is_floating(out.dtype()), "random: defined for floating types, got ",
                  out.dtype());
  bool wide = out.dtype() == DType::F64;
  Tensor t = (out.dtype() == DType::F32 || wide) && out.is_contiguous()
                 ? out
                 : new_tensor(out.sizes(), wide ? DType::F64 : DType::F32);
  if (wide) {
    double* p = t.data<double>();
    int64_t n = t.numel();
    for_blocks(2 * n, d, [&](int64_t i, int64_t count, const uint32_t* w) {  // two words an element
      for (int64_t k = 0; k * 2 < count; k++)
        p[i / 2 + k] = as_double(unit(w[2 * k], w[2 * k + 1]), unit(w[2 * k + 1], w[2 * k]));
    });
  } else {
    float* p = t.data<float>();
    const int64_t n = t.numel();
    share_blocks(n, [&](int64_t first, int64_t last) { floats(first, last, n, p); });
  }
  if (!(t == out)) copy_elements(t, out);
}

// Random words of one element, as many as it asks for: rejection needs an unknown number of them.
class ElementDraws {
 public:
  ElementDraws(Generator::Draw d, int64_t element) : draw_(d), element_(static_cast<uint64_t>(element)) {}
  explicit ElementDraws(Mersenne& twister) : draw_{}, element_(0), twister_(&twister) {}
  // In (0, 1): neither end, so that logarithms and quotients stay finite.
  double next() {
    if (twister_) return std::max(twister_->uniform(), 0x1p-54);
    if (left_ < 2) {
      // The high half of the offset counts the blocks of one element.
      Philox(draw_.seed, draw_.offset + (++blocks_ << 32), element_).next(words_);
      left_ = 4;
    }
    left_ -= 2;
    double u = unit(words_[left_], words_[left_ + 1]);
    return u > 0 ? u : 0x1p-54;
  }
  // Where PyTorch takes one minus the number.
  double next_from_above() { return twister_ ? 1 - twister_->uniform() : next(); }
  // Of mean 0 and deviation 1 (Box and Muller).
  double normal() {
    if (twister_) return twister_->normal();
    double radius = std::sqrt(-2 * std::log(next()));
    return radius * std::cos(6.283185307179586 * next());
  }

 private:
  Generator::Draw draw_;
  uint64_t element_, blocks_ = 0;
  Mersenne* twister_ = nullptr;
  uint32_t words_[4] = {};
  int left_ = 0;
};

// One element after the other, each with words of its own, of the generator that is argument i. A twister goes through
// them as `like` lies in memory.
template <class F>
void fill_each(const Tensor& out, const Tensor& like, const Frame& f, int i, F draw) {
  if (Generator::Twister twister = twister_from(f, i)) {
    ElementDraws words(*twister);
    int64_t k = 0;
    return fill_with(out, like, [&] { return draw(words, k++); });
  }
  Generator::Draw d = draw_from(f, i);
  Tensor t = out.dtype() == DType::F64 && out.is_contiguous() ? out : new_tensor(out.sizes(), DType::F64);
  double* p = t.data<double>();
  parallel_for(0, t.numel(), 1024, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k++) {
      ElementDraws words(d, k);
      p[k] = draw(words, k);
    }
  });
  if (!(t == out)) copy_elements(t, out);
}

}  // namespace moka
