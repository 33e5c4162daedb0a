// Linear layers with packed weights: oneDNN reads pack_linear's panels as they are.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/backends/onednn/primitives.h"
#include "moka/base/parallel.h"
#include "moka/ops/fused/fused.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/scratch.h"

namespace moka::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto f32 = memory::data_type::f32;

// Arguments of linear_packed.
enum Argument { Input, Weight, Bias, Outputs, Addend, Activation };

// Below this many multiply-adds our own kernel is done before oneDNN has begun.
constexpr double least_work = 30000;

using Key = std::array<int64_t, 8>;
struct Prepared {
  dnnl::matmul primitive;
  memory::desc source, weights, bias, destination, scratchpad;
};

Prepared prepare(const PackedLinear& l, bool bias, bool addend, int activation) {
  Prepared p;
  p.source = memory::desc({l.rows, l.inputs}, f32, Tag::ab);
  p.weights = memory::desc({l.inputs, l.outputs}, f32, l.block == 64 ? Tag::BA16a64b : Tag::BA16a32b);
  p.destination = memory::desc({l.rows, l.outputs}, f32, Tag::ab);
  if (bias) p.bias = memory::desc({1, l.outputs}, f32, Tag::ab);
  dnnl::post_ops ops;
  if (addend) ops.append_sum(1.f);
  append_activation(ops, activation);
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::matmul::primitive_desc desc(engine(), p.source, p.weights, p.bias, p.destination, attr);
  if (std::string_view(desc.impl_info_str()).starts_with("ref"))
    throw dnnl::error(dnnl_unimplemented, "slower than our own rows");
  p.primitive = dnnl::matmul(desc);
  p.scratchpad = desc.scratchpad_desc();
  return p;
}

std::shared_ptr<const Prepared> prepared(const Frame& f, const PackedLinear& l) {
  static auto* cache = new PrimitiveCache<Key, Prepared>;
  const bool bias = f.has(Bias), addend = f.has(Addend);
  const int activation = activation_of(f.string(Activation));
  const Key key{l.rows, l.inputs, l.outputs, l.block, bias, addend, activation, num_threads()};
  return cache->get(key, [&] { return prepare(l, bias, addend, activation); });
}

std::string_view declines(const Frame& f) {
  if (in_parallel()) return "is called inside a parallel loop";
  const PackedLinear l = packed_geometry(f);
  if (l.block != 32 && l.block != 64) return "serves blocks of 32 and 64 outputs";
  if (activation_of(f.string(Activation)) < 0) return "does not know the activation";
  if (double(l.rows) * double(l.inputs) * double(l.outputs) < least_work)
    return "the product is too small to gain";
  if (!prepared(f, l)) return "oneDNN has no fast implementation for this shape";
  return {};
}

void run(Frame& f) {
  const auto p = prepared(f, packed_geometry(f));
  try {
    if (!p) fail_kind(ErrorKind::Internal, f.name(), ": oneDNN's primitive has disappeared");
    const Tensor x = as_contiguous(f.tensor(Input)), w = as_contiguous(f.tensor(Weight));
    const Tensor bias = f.has(Bias) ? as_contiguous(f.tensor(Bias)) : Tensor();
    const Tensor& out = f.outs[0];
    if (f.has(Addend)) {
      const Tensor addend = as_contiguous(f.tensor(Addend));
      if (addend.raw_data() != out.raw_data()) std::memcpy(out.raw_data(), addend.raw_data(), out.bytes());
    }
    Scratch<char> scratchpad(static_cast<int64_t>(p->scratchpad.get_size()));
    execute(p->primitive, {{DNNL_ARG_SRC, p->source, x.raw_data()},
                           {DNNL_ARG_WEIGHTS, p->weights, w.raw_data()},
                           {DNNL_ARG_DST, p->destination, out.raw_data()},
                           {DNNL_ARG_SCRATCHPAD, p->scratchpad, scratchpad.data()},
                           {DNNL_ARG_BIAS, p->bias, bias ? bias.raw_data() : nullptr}});
  } catch (const dnnl::error& e) {
    fail(f.name(), ": oneDNN failed: ", std::string_view(e.what()));
  }
}

constexpr Row rows[] = {{"linear_packed", declines, run}};
}  // namespace

std::span<const Row> linear_rows() { return rows; }

}  // namespace moka::onednn
