// Random numbers from a counter: element i of a draw depends only on seed, offset and i, so any number of threads gives
// the same numbers. Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>

#include "moka/schema/value.h"

namespace moka {

struct Philox {
  uint32_t key[2];
  uint32_t counter[4];
  Philox(uint64_t seed, uint64_t offset, uint64_t index)
      : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        counter{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32)} {}
  // Four 32-bit words for this counter.
  void next(uint32_t out[4]) const {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
      uint64_t a = uint64_t(0xD2511F53u) * c0, b = uint64_t(0xCD9E8D57u) * c2;
      c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(b);
      c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(a);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
  }
};

// A stream of draws: every draw takes the next offset.
class Generator final : public Object {
 public:
  explicit Generator(uint64_t seed) : seed_(seed) {}
  const char* type_name() const override { return "Generator"; }
  struct Draw {
    uint64_t seed, offset;
  };
  Draw draw() {
    std::lock_guard lock(mutex_);
    return {seed_, offset_++};
  }
  void set_seed(uint64_t seed) {
    std::lock_guard lock(mutex_);
    seed_ = seed;
    offset_ = 0;
  }
  Draw state() {
    std::lock_guard lock(mutex_);
    return {seed_, offset_};
  }
  void set_state(Draw d) {
    std::lock_guard lock(mutex_);
    seed_ = d.seed;
    offset_ = d.offset;
  }

 private:
  std::mutex mutex_;
  uint64_t seed_, offset_ = 0;
};

// Used where no generator is given; seeded with a fixed number until manual_seed.
Generator& default_generator();

}  // namespace moka
