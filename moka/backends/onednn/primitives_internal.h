// What the rows of oneDNN share: engine, stream, and a cache of primitives by shape.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <initializer_list>
#include <list>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <string_view>
#include <unordered_map>

#include "moka/backends/onednn/table.h"
#include "moka/tensor/tensor.h"

namespace moka::onednn {

dnnl::engine& engine();
dnnl::stream& stream();  // of this thread

// The most recently used primitives by all that they depend on (an array of numbers); one that oneDNN has no
// implementation for is kept as null.
template <class Key, class Prepared>
class PrimitiveCache {
 public:
  template <class Make>
  std::shared_ptr<const Prepared> get(const Key& key, Make make) {
    std::lock_guard lock(mutex_);
    auto found = places_.find(key);
    if (found != places_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    std::shared_ptr<const Prepared> made;
    try {
      made = std::make_shared<const Prepared>(make());
    } catch (const dnnl::error&) {  // unimplemented: the caller declines
    }
    entries_.emplace_front(key, made);
    places_[key] = entries_.begin();
    if (entries_.size() > most) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return made;
  }

 private:
  struct Hash {
    size_t operator()(const Key& k) const {
      uint64_t h = 1469598103934665603u;
      for (int64_t v : k) h = (h ^ static_cast<uint64_t>(v)) * 1099511628211u;
      return static_cast<size_t>(h ^ (h >> 32));
    }
  };
  static constexpr size_t most = 256;
  std::mutex mutex_;
  std::list<std::pair<Key, std::shared_ptr<const Prepared>>> entries_;
  std::unordered_map<Key, typename decltype(entries_)::iterator, Hash> places_;
};

// One operand of a primitive: DNNL_ARG_..., how it lies and where; left out where there is no data.
struct Operand {
  int which;
  const dnnl::memory::desc& desc;
  void* data;
};
// Runs it to its end in this thread's stream.
void execute(const dnnl::primitive& primitive, std::initializer_list<Operand> operands);

// Which of the activations of fused operators it is, 0 for "none", -1 where oneDNN has no such.
int activation_of(std::string_view name);
std::string_view activation_name(int activation);
void append_activation(dnnl::post_ops& ops, int activation);

// A convolution with a fused sum and activation as a primitive: how its operands lie.
struct FusedLayer {
  dnnl::primitive primitive;
  dnnl::memory::desc source, weights, bias, destination, scratchpad;
  bool activation_behind = false;  // our own kernel goes over the result
};
// What the primitive does behind its product, and whether that leaves out the activation: `elements` are the result's.
// The scratchpad is the caller's.
dnnl::primitive_attr fused_attributes(FusedLayer& layer, bool addend, int activation, int64_t elements);
// Makes `layer`'s primitive from its description; dnnl::error where oneDNN has only its reference implementation.
template <class Primitive>
void finish(FusedLayer& layer, const typename Primitive::primitive_desc& desc) {
  if (std::string_view(desc.impl_info_str()).starts_with("ref"))
    throw dnnl::error(dnnl_unimplemented, "slower than our own rows");
  layer.primitive = Primitive(desc);
  layer.scratchpad = desc.scratchpad_desc();
}
// Runs it on arguments 0 to 2 (input, weight, bias) and `addend`, whose memory may be the result's and behind which the
// activation stands; `other_weight`, where given, stands for the weight.
void run_fused(Frame& f, const FusedLayer* layer, int addend, const Tensor* other_weight = nullptr);

// See moka/ops/blocked/blocked.h.
int64_t filter_block(const Frame& f);

std::span<const Row> convolution_rows();
std::span<const Row> blocked_rows();

}  // namespace moka::onednn
