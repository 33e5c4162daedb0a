// Convolutions through oneDNN: blocked layouts inside, plain tensors outside. Primitives are kept by shape in a bounded
// cache, so that only the first call with a shape pays for making them.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <unordered_map>

#include "moka/backends/onednn/primitives_internal.h"
#include "moka/base/parallel.h"
#include "moka/ops/convolution/geometry.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/kernels/scratch.h"

namespace moka::onednn {

namespace {
using dnnl::memory;

enum class Direction : int64_t { Forward, Input, Weight, Transpose };

// Which pictures have their channels last: what the convolution reads, and what it writes when it runs forward.
struct Last {
  bool source = false, destination = false;
};

// Everything that a primitive depends on.
using Key = std::array<int64_t, 20>;
Key make_key(Direction direction, const ConvGeometry& g, bool bias, Last last) {
  return {static_cast<int64_t>(direction),
          g.batch,
          g.channels,
          g.filters,
          g.groups,
          g.y.in,
          g.y.kernel,
          g.y.stride,
          g.y.padding,
          g.y.dilation,
          g.y.out,
          g.x.in,
          g.x.out,
          g.x.kernel,
          g.x.stride,
          g.x.padding,
          g.x.dilation,
          bias + 2 * last.source + 4 * last.destination,
          num_threads()};
}
memory::format_tag order_of(bool last) { return last ? memory::format_tag::nhwc : memory::format_tag::nchw; }

// One of the three tensors of a convolution: how we hold it, how the primitive wants it, and the way between.
struct Side {
  memory::desc plain, wanted;
  dnnl::reorder reorder;  // empty where both are the same
  bool result = false;
  bool same() const { return plain == wanted; }
  void prepare() {
    if (same()) return;
    const memory::desc &from = result ? wanted : plain, &to = result ? plain : wanted;
    reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
  }
};
struct Prepared {
  dnnl::primitive primitive;
  Side source, weights, destination;
  memory::desc bias, scratchpad;
};

// Input and output change places; the weights are those of the convolution back.
Prepared prepare_transpose(const ConvGeometry& g, Last last) {
  using Tag = memory::format_tag;
  constexpr auto f32 = memory::data_type::f32;
  memory::dims source{g.batch, g.filters, g.y.out, g.x.out}, destination{g.batch, g.channels, g.y.in, g.x.in};
  memory::dims weights{g.channels, g.filters, g.y.kernel, g.x.kernel};
  Tag weights_tag = Tag::iohw;
  if (g.groups > 1) {
    weights = {g.groups, g.group_channels(), g.group_filters(), g.y.kernel, g.x.kernel};
    weights_tag = Tag::giohw;
  }
  auto behind = [](const Axis& a) {
    return (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1 - a.padding - a.in;
  };
  memory::dims strides{g.y.stride, g.x.stride}, dilations{g.y.dilation - 1, g.x.dilation - 1},
      before{g.y.padding, g.x.padding}, after{behind(g.y), behind(g.x)};
  Prepared p;
  p.source.plain = memory::desc(source, f32, order_of(last.source));
  p.weights.plain = memory::desc(weights, f32, weights_tag);
  p.destination.plain = memory::desc(destination, f32, order_of(last.destination));
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::deconvolution_forward::primitive_desc desc(
      engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
      memory::desc(source, f32, Tag::any), memory::desc(weights, f32, Tag::any), memory::desc(),
      memory::desc(destination, f32, Tag::any), strides, dilations, before, after, attr);
  p.primitive = dnnl::deconvolution_forward(desc);
  p.source.wanted = desc.src_desc(), p.weights.wanted = desc.weights_desc();
  p.destination.wanted = desc.dst_desc();
  p.destination.result = true;
  p.scratchpad = desc.scratchpad_desc();
  for (Side* s : {&p.source, &p.weights, &p.destination}) s->prepare();
  return p;
}

Prepared prepare(Direction direction, const ConvGeometry& g, bool bias, Last last) {
  if (direction == Direction::Transpose) return prepare_transpose(g, last);
  using Tag = memory::format_tag;
  constexpr auto f32 = memory::data_type::f32;
  memory::dims source{g.batch, g.channels, g.y.in, g.x.in}, destination{g.batch, g.filters, g.y.out, g.x.out};
  memory::dims weights{g.filters, g.group_channels(), g.y.kernel, g.x.kernel};
  Tag weights_tag = Tag::oihw;
  if (g.groups > 1) {
    weights = {g.groups, g.group_filters(), g.group_channels(), g.y.kernel, g.x.kernel};
    weights_tag = Tag::goihw;
  }
  memory::dims strides{g.y.stride, g.x.stride}, dilations{g.y.dilation - 1, g.x.dilation - 1},
      padding{g.y.padding, g.x.padding};
  memory::desc any_source(source, f32, Tag::any), any_weights(weights, f32, Tag::any),
      any_destination(destination, f32, Tag::any);
  memory::desc bias_desc = bias ? memory::desc({g.filters}, f32, Tag::x) : memory::desc();
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  auto algorithm = dnnl::algorithm::convolution_direct;
  Prepared p;
  p.source.plain = memory::desc(source, f32, order_of(last.source));
  p.weights.plain = memory::desc(weights, f32, weights_tag);
  p.destination.plain = memory::desc(destination, f32, order_of(last.destination));
  p.bias = bias_desc;
  dnnl::convolution_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_training, algorithm,
                                                    any_source, any_weights, bias_desc, any_destination,
                                                    strides, dilations, padding, padding, attr);
  auto take = [&](const auto& desc, const memory::desc& s, const memory::desc& w, const memory::desc& d) {
    p.source.wanted = s, p.weights.wanted = w, p.destination.wanted = d;
    p.scratchpad = desc.scratchpad_desc();
  };
  if (direction == Direction::Forward) {
    p.primitive = dnnl::convolution_forward(forward);
    take(forward, forward.src_desc(), forward.weights_desc(), forward.dst_desc());
    p.destination.result = true;
  } else if (direction == Direction::Input) {
    dnnl::convolution_backward_data::primitive_desc desc(engine(), algorithm, any_source, any_weights,
                                                         any_destination, strides, dilations, padding,
                                                         padding, forward, attr);
    p.primitive = dnnl::convolution_backward_data(desc);
    take(desc, desc.diff_src_desc(), desc.weights_desc(), desc.diff_dst_desc());
    p.source.result = true;
  } else {
    dnnl::convolution_backward_weights::primitive_desc desc(engine(), algorithm, any_source, any_weights,
                                                            any_destination, strides, dilations, padding,
                                                            padding, forward, attr);
    p.primitive = dnnl::convolution_backward_weights(desc);
    take(desc, desc.src_desc(), desc.diff_weights_desc(), desc.diff_dst_desc());
    p.weights.result = true;
  }
  for (Side* s : {&p.source, &p.weights, &p.destination}) s->prepare();
  return p;
}

using Cache = PrimitiveCache<Key, Prepared>;
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}
std::shared_ptr<const Prepared> prepared(Direction direction, const ConvGeometry& g, bool bias, Last last) {
  return cache().get(make_key(direction, g, bias, last), [&] { return prepare(direction, g, bias, last); });
}

// A picture as it lies where oneDNN knows that order.
bool is_last(const Tensor& t) { return has_channels_last(t) && is_in_format("channels_last", t); }
Tensor readable(const Tensor& t) { return is_last(t) ? t : as_contiguous(t); }
// The orders of a call, whose first argument is a picture and whose second are the filters, or, for their gradient, the
// other picture. A result has its channels last where those of the picture or of the filters are.
Last orders(const Frame& f, Direction direction) {
  const Tensor &picture = f.tensor(0), &other = f.tensor(1);
  const bool read = is_last(picture);
  if (direction == Direction::Weight) return {is_last(other), read};
  const bool made =
      !(f.given & 1) && picture.dim() == 4 && (has_channels_last(picture) || has_channels_last(other));
  return direction == Direction::Input ? Last{made, read} : Last{read, made};
}
// The result's memory, in the order that `last` says.
const Tensor& result(Frame& f, bool last) {
  Tensor& out = f.outs[0];
  if (last)
    out = new_strided_tensor(out.sizes(), format_strides("channels_last", out.sizes(), f.name()), out.dtype(),
                             out.device());
  return out;
}

// A tensor as the primitive wants it: our memory, or scratch memory reordered before or after.
class Bound {
 public:
  Bound(const Side& side, void* data) : side_(side), plain_(side.plain, engine(), data) {
    if (side.same()) return;
    scratch_ = std::make_unique<Scratch<char>>(static_cast<int64_t>(side.wanted.get_size()));
    wanted_ = memory(side.wanted, engine(), scratch_->data());
    if (!side.result) side.reorder.execute(stream(), {{DNNL_ARG_FROM, plain_}, {DNNL_ARG_TO, wanted_}});
  }
  const memory& get() const { return side_.same() ? plain_ : wanted_; }
  void finish() {
    if (side_.result && !side_.same())
      side_.reorder.execute(stream(), {{DNNL_ARG_FROM, wanted_}, {DNNL_ARG_TO, plain_}});
  }

 private:
  const Side& side_;
  memory plain_, wanted_;
  std::unique_ptr<Scratch<char>> scratch_;
};

// Below this many multiply-adds our own kernel is done before oneDNN has begun.
constexpr double least_work = 50000;

std::string_view why_not(const Frame& f, Direction direction, const ConvGeometry& g, bool bias) {
  if (f.tensor(0).dtype() != DType::F32) return "serves float32 only";
  if (in_parallel()) return "is called inside a parallel loop";
  double work =
      double(g.batch) * double(g.filters) * double(g.out_pixels()) * double(g.group_channels() * g.taps());
  if (work < least_work) return "the convolution is too small to gain";
  // Every call brings the weights into oneDNN's order; a product of matrices takes them as they are.
  if (direction == Direction::Forward && g.taps() == 1 && g.groups == 1 &&
      g.filters * g.channels > g.batch * (g.in_pixels() * g.channels + g.out_pixels() * g.filters) / 2)
    return "the weights are larger than what they are applied to";
  if (direction == Direction::Transpose &&
      double(g.filters) * double(g.group_channels() * g.taps()) >
          double(g.batch) * double(g.in_pixels() * g.channels + g.out_pixels() * g.filters))
    return "the weights are larger than what they are applied to";
  if (!prepared(direction, g, bias, orders(f, direction)))
    return "oneDNN has no implementation for this shape";
  return {};
}

void run(Frame& f, Direction direction, const ConvGeometry& g, const Tensor& source, const Tensor& weights,
         const Tensor& destination, const Tensor& bias, Last last) {
  auto p = prepared(direction, g, static_cast<bool>(bias), last);
  try {
    if (!p) fail_kind(ErrorKind::Internal, f.name(), ": oneDNN's primitive has disappeared");
    Bound s(p->source, source.raw_data()), w(p->weights, weights.raw_data()),
        d(p->destination, destination.raw_data());
    Scratch<char> scratchpad(static_cast<int64_t>(p->scratchpad.get_size()));
    std::unordered_map<int, memory> args{
        {DNNL_ARG_SCRATCHPAD, memory(p->scratchpad, engine(), scratchpad.data())}};
    args[direction == Direction::Input ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC] = s.get();
    args[direction == Direction::Weight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS] = w.get();
    const bool forward = direction == Direction::Forward || direction == Direction::Transpose;
    args[forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST] = d.get();
    if (bias) args[DNNL_ARG_BIAS] = memory(p->bias, engine(), bias.raw_data());
    p->primitive.execute(stream(), args);
    s.finish(), w.finish(), d.finish();
    stream().wait();
  } catch (const dnnl::error& e) {
    fail(f.name(), ": oneDNN failed: ", std::string_view(e.what()));
  }
}

std::string_view conv_declines(const Frame& f) {
  return why_not(f, Direction::Forward, conv_forward_geometry(f), f.has(2));
}
void conv_run(Frame& f) {
  Tensor bias = f.has(2) ? as_contiguous(f.tensor(2)) : Tensor();
  const Last last = orders(f, Direction::Forward);
  run(f, Direction::Forward, conv_forward_geometry(f), readable(f.tensor(0)), as_contiguous(f.tensor(1)),
      result(f, last.destination), bias, last);
}
std::string_view backward_input_declines(const Frame& f) {
  return why_not(f, Direction::Input, conv_backward_input_geometry(f), false);
}
void backward_input_run(Frame& f) {
  const Last last = orders(f, Direction::Input);
  run(f, Direction::Input, conv_backward_input_geometry(f), result(f, last.source),
      as_contiguous(f.tensor(1)), readable(f.tensor(0)), {}, last);
}
std::string_view backward_weight_declines(const Frame& f) {
  return why_not(f, Direction::Weight, conv_backward_weight_geometry(f), false);
}
void backward_weight_run(Frame& f) {
  run(f, Direction::Weight, conv_backward_weight_geometry(f), readable(f.tensor(1)), f.outs[0],
      readable(f.tensor(0)), {}, orders(f, Direction::Weight));
}

// oneDNN's transposed convolution adds the bias several times where it splits a sum over many channels: we add it.
void add_bias(const Tensor& y, const ConvGeometry& g, bool last, const float* bias) {
  const int64_t pixels = g.in_pixels(), rows = g.batch * (last ? pixels : g.channels);
  float* data = y.data<float>();
  parallel_for(0, rows, 20000 / ((last ? g.channels : pixels) + 1) + 1, [&](int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
      float* to = data + row * (last ? g.channels : pixels);
      if (last)
        for (int64_t c = 0; c < g.channels; c++) to[c] += bias[c];
      else
        for (int64_t i = 0; i < pixels; i++) to[i] += bias[row % g.channels];
    }
  });
}
std::string_view transpose_declines(const Frame& f) {
  return why_not(f, Direction::Transpose, conv_transpose_geometry(f).g, false);
}
void transpose_run(Frame& f) {
  const ConvGeometry g = conv_transpose_geometry(f).g;
  const Last last = orders(f, Direction::Transpose);
  const Tensor& y = result(f, last.destination);
  run(f, Direction::Transpose, g, readable(f.tensor(0)), as_contiguous(f.tensor(1)), y, {}, last);
  if (f.has(2)) add_bias(y, g, last.destination, as_contiguous(f.tensor(2)).data<float>());
}

// One axis is two, the first of size 1.
constexpr Row rows[] = {{"conv1d", conv_declines, conv_run},
                        {"conv1d_backward_input", backward_input_declines, backward_input_run},
                        {"conv1d_backward_weight", backward_weight_declines, backward_weight_run},
                        {"conv_transpose1d", transpose_declines, transpose_run},
                        {"conv2d", conv_declines, conv_run},
                        {"conv2d_backward_input", backward_input_declines, backward_input_run},
                        {"conv2d_backward_weight", backward_weight_declines, backward_weight_run},
                        {"conv_transpose2d", transpose_declines, transpose_run}};
}  // namespace

std::span<const Row> convolution_rows() { return rows; }

}  // namespace moka::onednn
