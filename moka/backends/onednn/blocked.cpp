// Convolutions over channels in blocks: oneDNN reads and writes our tensors as they are.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/blocked/blocked.h"
#include "moka/backends/onednn/primitives_internal.h"
#include "moka/base/parallel.h"

namespace moka::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto f32 = memory::data_type::f32;

// Arguments of conv2d_blocked.
enum Argument { Input, Weight, Bias, Addend = 8, Activation = 9 };

using Key = std::array<int64_t, 20>;

FusedLayer prepare(const BlockedConv& c, bool bias, bool addend, int activation) {
  const ConvGeometry& g = c.g;
  const bool wide = c.block == 16;
  const Tag pictures = wide ? Tag::nChw16c : Tag::nChw8c;
  memory::dims weights{g.filters, g.channels, g.y.kernel, g.x.kernel};
  Tag weights_tag = wide ? Tag::OIhw16i16o : Tag::OIhw8i8o;
  if (c.filters == Filters::Plain) weights_tag = wide ? Tag::Ohwi16o : Tag::Ohwi8o;
  if (c.filters == Filters::Depthwise) {
    weights = {g.groups, 1, 1, g.y.kernel, g.x.kernel};
    weights_tag = wide ? Tag::Goihw16g : Tag::Goihw8g;
  }
  FusedLayer p;
  p.source = memory::desc({g.batch, g.channels, g.y.in, g.x.in}, f32,
                          c.filters == Filters::Plain ? Tag::nchw : pictures);
  p.weights = memory::desc(weights, f32, weights_tag);
  p.destination = memory::desc({g.batch, g.filters, g.y.out, g.x.out}, f32, pictures);
  if (bias) p.bias = memory::desc({g.filters}, f32, Tag::x);
  // A last window may leave pixels over: what is padded behind follows from the output.
  const auto behind = [](const Axis& a) {
    return (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1 - a.in - a.padding;
  };
  const dnnl::primitive_attr attr = fused_attributes(addend, activation);
  dnnl::convolution_forward::primitive_desc desc(
      engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, p.source, p.weights,
      p.bias, p.destination, {g.y.stride, g.x.stride}, {g.y.dilation - 1, g.x.dilation - 1},
      {g.y.padding, g.x.padding}, {behind(g.y), behind(g.x)}, attr);
  finish<dnnl::convolution_forward>(p, desc);
  return p;
}

std::shared_ptr<const FusedLayer> prepared(const Frame& f, const BlockedConv& c) {
  static auto* cache = new PrimitiveCache<Key, FusedLayer>;
  const ConvGeometry& g = c.g;
  const bool bias = f.has(Bias), addend = f.has(Addend);
  const int activation = activation_of(f.string(Activation));
  const Key key{g.batch,     g.channels,   g.filters,     static_cast<int64_t>(c.filters),
                c.block,     g.y.in,       g.y.kernel,    g.y.stride,
                g.y.padding, g.y.dilation, g.x.in,        g.x.kernel,
                g.x.stride,  g.x.padding,  g.x.dilation,  bias,
                addend,      activation,   num_threads(), 0};
  return cache->get(key, [&] { return prepare(c, bias, addend, activation); });
}

std::string_view declines(const Frame& f) {
  if (in_parallel()) return "is called inside a parallel loop";
  const BlockedConv c = blocked_geometry(f);
  if (c.block != 8 && c.block != 16) return "serves blocks of 8 and 16 channels";
  if (activation_of(f.string(Activation)) < 0) return "does not know the activation";
  if (c.g.batch == 0) return "the batch is empty";
  if (!prepared(f, c)) return "oneDNN has no fast implementation for this shape";
  return {};
}

void run(Frame& f) { run_fused(f, prepared(f, blocked_geometry(f)).get(), Addend); }

constexpr Row rows[] = {{"conv2d_blocked", declines, run}};
}  // namespace

std::span<const Row> blocked_rows() { return rows; }

}  // namespace moka::onednn
