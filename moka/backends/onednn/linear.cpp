// Linear layers with packed weights: oneDNN reads pack_linear's panels as they are.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/onednn/primitives_internal.h"
#include "moka/base/parallel.h"
#include "moka/ops/fused/fused.h"
#include "moka/ops/kernels/arguments.h"

namespace moka::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto f32 = memory::data_type::f32;

// Arguments of linear_packed.
enum Argument { Input, Weight, Bias, Outputs, Addend, Activation };

using Key = std::array<int64_t, 8>;

FusedLayer prepare(const PackedLinear& l, bool bias, bool addend, int activation) {
  FusedLayer p;
  p.source = memory::desc({l.rows, l.inputs}, f32, Tag::ab);
  p.weights = memory::desc({l.inputs, l.outputs}, f32, l.block == 64 ? Tag::BA16a64b : Tag::BA16a32b);
  p.destination = memory::desc({l.rows, l.outputs}, f32, Tag::ab);
  if (bias) p.bias = memory::desc({1, l.outputs}, f32, Tag::ab);
  const dnnl::primitive_attr attr = fused_attributes(p, addend, activation, l.rows * l.outputs);
  dnnl::matmul::primitive_desc desc(engine(), p.source, p.weights, p.bias, p.destination, attr);
  finish<dnnl::matmul>(p, desc);
  return p;
}

std::shared_ptr<const FusedLayer> prepared(const Frame& f, const PackedLinear& l) {
  static auto* cache = new PrimitiveCache<Key, FusedLayer>;
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
  if (!prepared(f, l)) return "oneDNN has no fast implementation for this shape";
  return {};
}

void run(Frame& f) { run_fused(f, prepared(f, packed_geometry(f)).get(), Addend); }

constexpr Row rows[] = {{"linear_packed", declines, run}};
}  // namespace

std::span<const Row> linear_rows() { return rows; }

}  // namespace moka::onednn
