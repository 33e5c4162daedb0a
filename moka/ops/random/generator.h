// Random numbers from a counter: element i of a draw depends only on seed, offset and i, so any number of threads gives
// the same numbers. Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "moka/ops/random/mersenne.h"
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

// What streams count with: Philox, or PyTorch's Mersenne Twister for its programs.
enum class Engine { Philox, Mersenne };
Engine default_engine();  // of streams made from now on

// A stream of draws: every draw takes the next offset, or words of the twister.
class Generator final : public Object {
 public:
  explicit Generator(uint64_t seed, Engine engine = default_engine()) { start(seed, engine); }
  const char* type_name() const override { return "Generator"; }
  struct Draw {
    uint64_t seed, offset;
  };
  Draw draw() {
    std::lock_guard lock(mutex_);
    if (twister_) return {twister_->two_words(), 0};
    return {seed_, offset_++};
  }
  void start(uint64_t seed, Engine engine) {
    std::lock_guard lock(mutex_);
    seed_ = seed;
    offset_ = 0;
    twister_ = engine == Engine::Mersenne ? std::make_unique<Mersenne>(seed) : nullptr;
  }
  void set_seed(uint64_t seed) { start(seed, twister_ ? Engine::Mersenne : Engine::Philox); }

  struct State {
    uint64_t seed, offset;
    std::shared_ptr<const Mersenne> twister = {};
  };
  State state() {
    std::lock_guard lock(mutex_);
    return {seed_, offset_, twister_ ? std::make_shared<const Mersenne>(*twister_) : nullptr};
  }
  void set_state(const State& s) {
    std::lock_guard lock(mutex_);
    seed_ = s.seed;
    offset_ = s.offset;
    twister_ = s.twister ? std::make_unique<Mersenne>(*s.twister) : nullptr;
  }

  // The twister, locked while this lives; false where the stream has none.
  class Twister {
   public:
    explicit Twister(Generator& g) : lock_(g.mutex_), twister_(g.twister_.get()) {
      if (!twister_) lock_.unlock();
    }
    explicit operator bool() const { return twister_ != nullptr; }
    Mersenne& operator*() const { return *twister_; }
    Mersenne* operator->() const { return twister_; }

   private:
    std::unique_lock<std::mutex> lock_;
    Mersenne* twister_;
  };

 private:
  std::mutex mutex_;
  uint64_t seed_ = 0, offset_ = 0;
  std::unique_ptr<Mersenne> twister_;
};

// Used where no generator is given; seeded with a fixed number until manual_seed. A thread may have its own.
Generator& default_generator();
// Makes `own`, which must outlive its use, the default of the calling thread; null goes back to the common one.
void set_thread_generator(Generator* own);
// Streams made from now on, and the default one, which starts again, use this engine.
void set_default_engine(Engine engine);

}  // namespace moka
