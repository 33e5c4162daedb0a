// Counting arithmetic and bytes of calls.
// SPDX-License-Identifier: Apache-2.0
#include "moka/runtime/work.h"

#include <algorithm>

namespace moka::runtime {

namespace {

int64_t times(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}
int64_t plus(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

class Counter {
 public:
  Counter(const Op& op, std::span<const Extent> args, std::span<const Extent> outs)
      : op_(op), schema_(info(op).schema), args_(args), outs_(outs) {}

  int64_t count() {
    const int64_t flop = op_.view ? 0 : by_name(schema_.name);
    return complete_ ? flop : -1;
  }

 private:
  const Extent* find(std::string_view name) {
    for (size_t i = 0; i < schema_.args.size() && i < args_.size(); i++)
      if (schema_.args[i].name == name) return &args_[i];
    return nullptr;
  }
  const Extent* out() { return outs_.empty() ? nullptr : &outs_[0]; }
  // Product of the sizes [from, end).
  int64_t product(const Extent* e, size_t from = 0) {
    if (!e || !e->known) {
      complete_ = false;
      return 0;
    }
    int64_t n = 1;
    for (size_t d = from; d < e->sizes.size(); d++) n = times(n, e->sizes[d]);
    return n;
  }
  int64_t last(const Extent* e, size_t behind = 0) {
    if (!e || !e->known || e->sizes.size() <= behind) {
      complete_ = false;
      return 0;
    }
    return e->sizes[e->sizes.size() - 1 - behind];
  }
  // What it multiplies: every tile by all filters at each point.
  int64_t winograd() {
    const int64_t filters = product(find("weight")), tile = filters && find("weight")->sizes[0] == 16 ? 2 : 4;
    if (!complete_ || !out() || out()->sizes.size() != 5) return 0;
    const auto tiles = [&](size_t d) { return (out()->sizes[d] + tile - 1) / tile; };
    return madds(filters, times(out()->sizes[0], times(tiles(2), tiles(3))));
  }
  static int64_t madds(int64_t each, int64_t count) { return times(times(2, each), count); }

  int64_t by_name(std::string_view name) {
    if (name.starts_with("conv") && find("weight")) {
      if (name.ends_with("_backward_input")) return madds(product(find("weight"), 1), product(find("grad")));
      if (name.starts_with("conv_transpose"))
        return madds(product(find("weight"), 1), product(find("input")));
      if (name == "conv2d_winograd") return winograd();
      if (name == "conv2d_blocked") {  // filters in blocks: the first and the last dimension number them
        const bool inside = complete_ && find("weight")->sizes.size() == 3;  // the last dimension alone
        const int64_t filters = times(last(find("weight")), !complete_ ? 0
                                                            : inside   ? 1
                                                                       : find("weight")->sizes[0]);
        return filters ? madds(product(find("weight")) / filters, product(out())) : 0;
      }
      return madds(product(find("weight"), 1),
                   product(out()));  // for each result, the weights of its channel
    }
    if (name.starts_with("conv") && name.ends_with("_backward_weight"))
      return madds(product(out(), 1), product(find("grad")));
    if (name == "linear" || name == "linear_fused") return madds(last(find("weight")), product(out()));
    if (name == "linear_backward_weight" || name == "matmul_backward_other")
      return madds(last(find("input")), product(find("grad")));
    if (name == "matmul_backward_input") return madds(last(out()), product(find("grad")));
    if (name == "matmul" || name == "mm" || name == "bmm" || name == "mv" || name == "dot")
      return madds(last(find("input")), product(out()));
    if (name == "addmm" || name == "addbmm")
      return madds(last(find(name == "addmm" ? "mat1" : "batch1")), product(out()));
    if (name == "baddbmm") return madds(last(find("batch1")), product(out()));
    if (name == "attention") {
      const int64_t rows = product(find("query")) / std::max<int64_t>(1, last(find("query")));
      return times(madds(last(find("key"), 1), rows), plus(last(find("query")), last(find("value"))));
    }
    if (name == "rnn_layer") return madds(last(find("weight_hh")), product(find("gates")));
    return times(op_.formula ? op_.formula.cost : 1, elements());
  }

  // Reductions and pooling read more than they write.
  int64_t elements() {
    int64_t n = outs_.empty() ? 0 : product(out());
    for (const Extent& e : args_)
      if (e.known && !e.weight) n = std::max(n, product(&e));
    return n;
  }

  const Op& op_;
  const Schema& schema_;
  std::span<const Extent> args_, outs_;
  bool complete_ = true;
};

// Of their first operand they read as much as they give.
bool reads_parts(std::string_view name) {
  for (std::string_view one :
       {"embedding", "index", "index_select", "gather", "take_along_dim", "embedding_bag"})
    if (name == one) return true;
  return false;
}

}  // namespace

int64_t arithmetic(const Op& op, std::span<const Extent> args, std::span<const Extent> outs) {
  return Counter(op, args, outs).count();
}

Work measure_work(const Frame& frame) {
  if (frame.op.view) return {};
  Work work;
  std::vector<Extent> args(static_cast<size_t>(frame.count)), outs(frame.outs.size());
  auto bytes = [](const Tensor& t) { return times(t.numel(), static_cast<int64_t>(item_size(t.dtype()))); };
  for (size_t i = 0; i < outs.size(); i++)
    if (const Tensor& t = frame.outs[i]) {
      outs[i] = {true, false, Dims(t.sizes())};
      work.bytes = plus(work.bytes, bytes(t));
    }
  const bool parts = reads_parts(frame.name());
  if (parts) work.bytes = times(2, work.bytes);
  for (size_t i = 0; i < args.size(); i++) {
    const Arg& a = frame.args[i];
    if (a.tag == Tag::Tensor) {
      args[i] = {true, false, Dims(a.as_tensor().sizes())};
      if (i || !parts) work.bytes = plus(work.bytes, bytes(a.as_tensor()));
    } else if (a.tag == Tag::Tensors) {
      for (const Tensor& t : a.as_tensors())
        if (t) work.bytes = plus(work.bytes, bytes(t));
    }
  }
  work.flop = std::max<int64_t>(0, arithmetic(frame.op, args, outs));
  return work;
}

}  // namespace moka::runtime
