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

using Key = std::array<int64_t, 22>;

Key key_of(const BlockedConv& c, bool bias, bool addend, int activation) {
  const ConvGeometry& g = c.g;
  return {g.batch,
          g.channels,
          g.filters,
          static_cast<int64_t>(c.filters),
          c.last() ? 0 : c.block,
          g.y.in,
          g.y.kernel,
          g.y.stride,
          g.y.padding,
          g.y.out,
          g.y.dilation,
          g.x.in,
          g.x.kernel,
          g.x.stride,
          g.x.padding,
          g.x.out,
          g.x.dilation,
          bias,
          addend,
          activation,
          num_threads()};
}
dnnl::convolution_forward::primitive_desc describe(const BlockedConv& c, FusedLayer& p,
                                                   const memory::desc& weights, bool addend, int activation) {
  const ConvGeometry& g = c.g;
  // A last window may leave pixels over: what is padded behind follows from the output.
  const auto behind = [](const Axis& a) {
    return (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1 - a.in - a.padding;
  };
  return dnnl::convolution_forward::primitive_desc(
      engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, p.source, weights,
      p.bias, p.destination, {g.y.stride, g.x.stride}, {g.y.dilation - 1, g.x.dilation - 1},
      {g.y.padding, g.x.padding}, {behind(g.y), behind(g.x)},
      fused_attributes(p, addend, activation, g.batch * g.filters * g.y.out * g.x.out));
}

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
  finish<dnnl::convolution_forward>(p, describe(c, p, p.weights, addend, activation));
  return p;
}

std::shared_ptr<const FusedLayer> prepared(const Frame& f, const BlockedConv& c) {
  static auto* cache = new PrimitiveCache<Key, FusedLayer>;
  const bool bias = f.has(Bias), addend = f.has(Addend);
  const int activation = activation_of(f.string(Activation));
  return cache->get(key_of(c, bias, addend, activation),
                    [&] { return prepare(c, bias, addend, activation); });
}

// ---- taps that read padding alone, as far dilation over a small picture has them

struct Taps {
  int64_t first, count;
};
// Those that some window uses; all where leaving out the first ones would need a window that starts inside.
Taps used_taps(const Axis& a) {
  Taps out{a.kernel, 0};
  for (int64_t k = 0; k < a.kernel; k++)
    for (int64_t o = 0; o < a.out; o++) {
      const int64_t at = o * a.stride - a.padding + k * a.dilation;
      if (at < 0 || at >= a.in) continue;
      out.first = std::min(out.first, k);
      out.count = k + 1 - out.first;
      break;
    }
  return out.count == 0 || a.padding < out.first * a.dilation ? Taps{0, a.kernel} : out;
}
Axis with_taps(Axis a, Taps t) {
  a.kernel = t.count;
  a.padding -= t.first * a.dilation;
  return a;
}

struct Served {
  std::shared_ptr<const FusedLayer> layer;  // null: none
  Taps y{}, x{};
  bool all = true;  // every tap
};
Served served(const Frame& f, BlockedConv c) {
  Served out{prepared(f, c), {}, {}, true};
  if (out.layer) return out;
  out.y = used_taps(c.g.y), out.x = used_taps(c.g.x);
  if (out.y.count == c.g.y.kernel && out.x.count == c.g.x.kernel) return out;
  c.g.y = with_taps(c.g.y, out.y), c.g.x = with_taps(c.g.x, out.x);
  out.layer = prepared(f, c);
  out.all = false;
  return out;
}

void run_served(Frame& f, const BlockedConv& c) {
  const Served s = served(f, c);
  if (s.all || !s.layer) return run_fused(f, s.layer.get(), Addend);
  const Tensor& w = f.tensor(Weight);
  const int at = c.filters == Filters::Dense ? 2 : 1;  // of the taps in the filters
  Dims sizes(w.sizes());
  sizes[static_cast<size_t>(at)] = s.y.count, sizes[static_cast<size_t>(at + 1)] = s.x.count;
  const Tensor used = as_contiguous(strided_view(
      w, sizes, w.strides(), w.impl()->offset + s.y.first * w.stride(at) + s.x.first * w.stride(at + 1)));
  run_fused(f, s.layer.get(), Addend, &used);
}

// ---- channels last: how the filters lie is oneDNN's choice for each shape

struct LastLayer {
  FusedLayer layer;
  int64_t block = 0;  // of filters, 0 where pack_filters knows no such layout
};
Tag last_tag(int64_t block) {
  switch (block) {
    case 64: return Tag::Ohwi64o;
    case 48: return Tag::Ohwi48o;
    case 32: return Tag::Ohwi32o;
    case 24: return Tag::Ohwi24o;
    case 16: return Tag::Ohwi16o;
    case 8: return Tag::Ohwi8o;
    default: return Tag::undef;
  }
}
memory::desc last_weights(const BlockedConv& c, int64_t block) {
  const ConvGeometry& g = c.g;
  if (c.filters == Filters::LastDepthwise)
    return memory::desc({g.groups, 1, 1, g.y.kernel, g.x.kernel}, f32,
                        block == 16 ? Tag::hwioG16g : Tag::hwioG8g);
  return memory::desc({g.filters, g.channels, g.y.kernel, g.x.kernel}, f32, last_tag(block));
}

LastLayer prepare_last(const BlockedConv& c, bool bias, bool addend, int activation) {
  const ConvGeometry& g = c.g;
  const bool depthwise = c.filters == Filters::LastDepthwise;
  LastLayer l;
  FusedLayer& p = l.layer;
  p.source = memory::desc({g.batch, g.channels, g.y.in, g.x.in}, f32, Tag::nhwc);
  p.destination = memory::desc({g.batch, g.filters, g.y.out, g.x.out}, f32, Tag::nhwc);
  if (bias) p.bias = memory::desc({g.filters}, f32, Tag::x);
  const dnnl::convolution_forward::primitive_desc desc =
      describe(c, p, memory::desc(last_weights(c, 16).get_dims(), f32, Tag::any), addend, activation);
  if (!std::string_view(desc.impl_info_str()).starts_with("br") &&
      !std::string_view(desc.impl_info_str()).starts_with("jit"))
    throw dnnl::error(dnnl_unimplemented, "slower than channels in blocks");
  p.weights = desc.weights_desc();
  for (int64_t block : {64, 48, 32, 24, 16, 8})
    if ((!depthwise || block == 16 || block == 8) && last_weights(c, block) == p.weights) l.block = block;
  finish<dnnl::convolution_forward>(p, desc);
  return l;
}

std::shared_ptr<const LastLayer> prepared_last(const Frame& f, const BlockedConv& c) {
  static auto* cache = new PrimitiveCache<Key, LastLayer>;
  const bool bias = f.has(Bias), addend = f.has(Addend);
  const int activation = activation_of(f.string(Activation));
  return cache->get(key_of(c, bias, addend, activation),
                    [&] { return prepare_last(c, bias, addend, activation); });
}

// How the filters lie that came; 0 for a block that oneDNN has no name for.
int64_t given_block(const BlockedConv& c) {
  if (c.filters == Filters::LastDepthwise) {
    const auto filled = [&](int64_t b) { return (c.g.channels + b - 1) / b * b; };
    return c.block == filled(16) ? 16 : c.block == filled(8) ? 8 : 0;
  }
  return last_tag(c.block) == Tag::undef ? 0 : c.block;
}

std::string_view declines(const Frame& f) {
  if (in_parallel()) return "is called inside a parallel loop";
  const BlockedConv c = blocked_geometry(f);
  if (c.last()) {
    if (activation_of(f.string(Activation)) < 0) return "does not know the activation";
    if (c.g.batch == 0) return "the batch is empty";
    if (!given_block(c)) return "serves filters in blocks of 8, 16, 24, 32, 48 and 64";
    if (!prepared_last(f, c)) return "oneDNN has no fast implementation for this shape";
    return {};
  }
  if (c.block != 8 && c.block != 16) return "serves blocks of 8 and 16 channels";
  if (activation_of(f.string(Activation)) < 0) return "does not know the activation";
  if (c.g.batch == 0) return "the batch is empty";
  if (!served(f, c).layer) return "oneDNN has no fast implementation for this shape";
  return {};
}

void run(Frame& f) {
  const BlockedConv c = blocked_geometry(f);
  if (!c.last()) return run_served(f, c);
  const auto l = prepared_last(f, c);
  if (!l || l->block == given_block(c)) return run_fused(f, l ? &l->layer : nullptr, Addend);
  // Packed for other sizes than these.
  const memory::desc given = last_weights(c, given_block(c));
  const Tensor weight = as_contiguous(f.tensor(Weight)),
               turned = new_tensor(Dims{static_cast<int64_t>(l->layer.weights.get_size() / sizeof(float))},
                                   DType::F32);
  try {
    const dnnl::reorder reorder(dnnl::reorder::primitive_desc(engine(), given, engine(), l->layer.weights));
    execute(reorder,
            {{DNNL_ARG_FROM, given, weight.raw_data()}, {DNNL_ARG_TO, l->layer.weights, turned.raw_data()}});
  } catch (const dnnl::error& e) {
    fail(f.name(), ": oneDNN failed: ", std::string_view(e.what()));
  }
  run_fused(f, &l->layer, Addend, &turned);
}

constexpr Row rows[] = {{"conv2d_blocked", declines, run}};
}  // namespace

int64_t filter_block(const Frame& f) {
  if (activation_of(f.string(Activation)) < 0) return 0;
  const BlockedConv c = blocked_geometry(f);
  const auto l = c.last() && c.g.batch ? prepared_last(f, c) : nullptr;
  return l ? l->block : 0;
}

std::span<const Row> blocked_rows() { return rows; }

}  // namespace moka::onednn
