// Convolutions, and what stands between them, work on pictures whose channels lie in blocks as wide as a vector: the
// ordinary tensors [batch, blocks, height, width, block] of moka/ops/blocked, or of which all channels are one block:
// channels last. Pictures go into blocks before the first convolution and come back where something else reads them.
// After fold_batch_norm and fuse_activation.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moka/base/cpu.h"
#include "moka/ops/blocked/blocked.h"
#include "moka/passes/channel_layout.h"
#include "moka/passes/constants.h"
#include "moka/passes/passes.h"
#include "moka/schema/log.h"

namespace moka::passes {

using namespace graph;
using namespace channels;

namespace {
// Several filters for each channel by itself are one for each channel of a picture that has every channel that often:
// back ends have kernels for these alone.
void repeat_channels(Graph& graph, Node& n) {
  const Tensor* weight = constant_tensor(n.argument("weight"));
  const Any* groups = n.argument("groups")->constant();
  Value* x = n.argument("input");
  const int64_t channels = channels_of(x);
  if (!weight || weight->dtype() != DType::F32 || weight->dim() != 4 || !groups || channels <= 1 ||
      groups->to_int() != channels || weight->size(1) != 1 || weight->size(0) <= channels ||
      weight->size(0) % channels != 0 || channels_of(n.output()) < 0)
    return;
  for (const char* setting : {"stride", "padding", "dilation"})
    if (!n.argument(setting)->constant()) return;
  const int64_t filters = weight->size(0);
  const Graph::Point at{n.owner(), &n};
  const auto number = [&](int64_t i) { return graph.constant(Any(i), at); };
  Value* repeated = x;
  const auto then = [&](std::string_view op, std::vector<Value*> rest) {
    rest.insert(rest.begin(), repeated);
    Node* node = graph.create_op(get_op(op), at, rest);
    node->source = n.source;
    infer_types(*node);
    repeated = node->output();
  };
  then("unsqueeze", {number(2)});
  then("expand", {graph.constant(Any(Dims{-1, -1, filters / channels, -1, -1}), at)});
  then("flatten", {number(1), number(2)});
  repeated->type = x->type;
  repeated->type.dims[1] = Dim{filters};
  const Schema& schema = info(*n.op).schema;
  n.set_input(schema.find_arg("input"), repeated);
  n.set_input(schema.find_arg("groups"), number(filters));
}

void repeat_channels(Graph& graph) {
  std::vector<Node*> convolutions;
  for (Node* n : *graph.main())
    if (is_convolution(*n)) convolutions.push_back(n);
  for (Node* n : convolutions) repeat_channels(graph, *n);
}

// Formulas that may also see the zeros behind the last channel.
bool is_pointwise(std::string_view op) {
  static constexpr std::string_view all[] = {
      "add",  "sub",       "mul",         "relu",  "relu6",    "sigmoid", "tanh",       "silu",
      "gelu", "hardswish", "hardsigmoid", "clamp", "hardtanh", "elu",     "leaky_relu", "mish"};
  return std::find(std::begin(all), std::end(all), op) != std::end(all);
}

bool winograd_is_on() {
  const char* off = std::getenv("MOKA_WINOGRAD");
  return !off || std::string_view(off) != "0";
}

class Blocker {
 public:
  // In blocks of `block` channels, or channels last where it is 0.
  Blocker(Graph& graph, int64_t block, const LastBlocks* last = nullptr)
      : graph_(graph), block_(block), last_(last) {}

  int run() {
    std::vector<Node*> nodes;
    for (Node* n : *graph_.main())
      if (n->kind == NodeKind::Op) nodes.push_back(n);
    for (Node* n : nodes) {
      const std::string_view name = n->op_name();
      if (is_convolution(*n)) convolution(*n);
      else if (is_pointwise(name)) pointwise(*n);
      else if (name == "max_pool2d") max_pool(*n);
      else if (name == "adaptive_avg_pool2d") global_mean(*n, n->argument("output_size"));
      else if (name == "mean") mean(*n);
      else if (name == "cat") join(*n);
      else if (name == "batch_norm") norm(*n);
      else if (name == "avg_pool2d") average(*n);
    }
    if (tiled_ && log_enabled(Log::Passes))
      log_line(Log::Passes, cat("block_channels: ", tiled_, " of ", convolutions_,
                                " convolutions by Winograd's filtering (MOKA_WINOGRAD=0: none)"));
    return convolutions_;
  }

 private:
  Value* call(std::string_view op, Node& like, std::vector<Value*> inputs) {
    Node* node = graph_.create_op(get_op(op), {graph_.main(), &like}, inputs);
    node->source = like.source;
    node->name = like.name;
    infer_types(*node);
    return node->output();
  }
  Value* constant(Node& before, Any v) { return graph_.constant(std::move(v), {graph_.main(), &before}); }

  bool is_blocked(const Value* v) const { return blocked_.count(v) != 0; }
  // v in blocks, made before `user` if it has to be.
  Value* blocked(Value* v, Node& user) {
    auto at = blocked_.find(v);
    if (at != blocked_.end()) return at->second;
    return blocked_[v] =
               call("block_channels", user, {v, constant(user, Any(block_ ? block_ : channels_of(v)))});
  }
  // `now` stands for the result of n. Who needs it as it was gets it out of its blocks; nobody else pays for that.
  void replace(Node& n, Value* now) {
    const int64_t channels = channels_of(n.output());
    Value* plain = call("unblock_channels", n, {now, constant(n, Any(channels))});
    plain->type = n.output()->type;
    plain->name = n.output()->name;
    n.output()->replace_all_uses_with(plain);
    blocked_[plain] = now;
    n.destroy();
  }

  void convolution(Node& n) {
    const std::optional<Convolution> c = convolution_of(n);
    if (!c) return;
    const auto [x, padding] = padded(n, 0);
    if (const int64_t tile = tile_of(n, *c)) return winograd(n, *c, tile, x, padding);
    const int64_t channels = c->channels, filters = c->filters, block = filters_in(n);
    if (block == 0) return;
    std::string kind = c->depthwise ? depthwise_kind() : "dense";
    // The picture itself, or all its channels in one block.
    const bool itself = block_ && channels < block_ / 2 && !is_blocked(x);
    if (!c->depthwise && (!block_ || itself)) kind = "plain";
    Value* packed =
        call("pack_filters", n, {n.argument("weight"), constant(n, Any(block)), constant(n, Any(kind))});
    const auto [addend, activation] = behind(n);
    Value* now = call("conv2d_blocked", n,
                      {kind == "plain" && itself ? x : blocked(x, n), packed, n.argument("bias"),
                       n.argument("stride"), padding, n.argument("dilation"), constant(n, Any(channels)),
                       constant(n, Any(filters)), addend, activation});
    replace(n, now);
    convolutions_++;
  }
  // The picture that a window slides over and its padding, with that of a node which only puts `filler` around the picture.
  struct Padded {
    Value *picture, *padding;
  };
  Padded padded(Node& n, double filler) {
    Value *x = n.argument("input"), *padding = n.argument("padding");
    const Node* pad = x->producer();
    Dims own = ints_of(n, "padding");
    if (!pad || pad->kind != NodeKind::Op || pad->op_name() != "pad_constant" ||
        channels_of(pad->input(0)) < 0)
      return {x, padding};
    const Any* value = pad->argument("value")->constant();
    const Dims around = ints_of(*pad, "pad");  // left, right, top, bottom, and those of channels and batch
    if (!value || !value->arg().is_number() || value->to_double() != filler || around.size() % 2 != 0)
      return {x, padding};
    for (size_t i = 0; i < around.size(); i++)
      if (i < 4 ? around[i] < 0 : around[i] != 0) return {x, padding};
    if (own.empty() || own.size() > 2) return {x, padding};  // an error, which the node says when it runs
    own.resize(2, own[0]);
    Dims all{own[0], own[1], own[0], own[1]};  // top, left, bottom, right
    for (size_t i = 0; i < std::min<size_t>(around.size(), 4); i++) {
      constexpr size_t place[] = {1, 3, 0, 2};
      if (__builtin_add_overflow(all[place[i]], around[i], &all[place[i]])) return {x, padding};
    }
    return {pad->input(0), constant(n, Any(all))};
  }
  // The addend in blocks and the activation of a fused convolution; none and "none" for any other.
  std::pair<Value*, Value*> behind(Node& n) {
    Value *addend = n.argument("addend"), *activation = n.argument("activation");
    return {!addend || is_none(addend) ? constant(n, Any()) : blocked(addend, n),
            activation ? activation : constant(n, Any("none"))};
  }

  // Tiles for Winograd's filtering, 0 where the convolution is another one or would not gain.
  int64_t tile_of(const Node& n, const Convolution& c) const {
    const auto is = [&](const char* name, int64_t value) {
      const Dims given = ints_of(n, name);
      return std::all_of(given.begin(), given.end(), [&](int64_t i) { return i == value; });
    };
    if (!winograd_ || c.depthwise || c.channels == 0 || c.weight.size(2) != 3 || c.weight.size(3) != 3 ||
        !is("stride", 1) || !is("dilation", 1) || (block_ && (c.channels % block_ || c.filters % block_)))
      return 0;
    const Type& t = n.output()->type;
    const int64_t tile = winograd_tile(c.channels, c.filters, size_of(t, 0), size_of(t, 2), size_of(t, 3));
    return filters_grow_by(c, tile) <= growth_ ? tile : 0;
  }
  // Transformed filters are (tile + 2)^2 numbers instead of 9.
  static int64_t filters_grow_by(const Convolution& c, int64_t tile) {
    return tile ? ((tile + 2) * (tile + 2) - 9) * c.weight.numel() / 9 * 4 : 0;
  }
  void winograd(Node& n, const Convolution& c, int64_t tile, Value* x, Value* padding) {
    Value* packed = call("pack_winograd", n, {n.argument("weight"), constant(n, Any(tile))});
    const auto [addend, activation] = behind(n);
    Value* now = call("conv2d_winograd", n,
                      {blocked(x, n), packed, n.argument("bias"), padding, constant(n, Any(c.filters)),
                       constant(n, Any(block_ ? block_ : c.filters)), addend, activation});
    replace(n, now);
    convolutions_++, tiled_++;
    growth_ -= filters_grow_by(c, tile);
  }

  int64_t filters_in(const Node& conv) const {
    if (!last_) return block_ ? block_ : 16;
    const auto at = last_->find(&conv);
    return at == last_->end() ? 0 : at->second;
  }
  std::string depthwise_kind() const { return block_ ? "depthwise" : "last depthwise"; }

  // A constant that broadcasts over pictures of so many channels, as it does over blocks: one number, or one for each
  // channel. Null for anything else.
  Value* for_channels(Value* v, int64_t channels, Node& user) {
    const Tensor* t = constant_tensor(v);
    if (!t || t->dtype() != DType::F32) return nullptr;
    const int dim = t->dim();
    const auto shaped = [&](const Dims& sizes) {
      const LayersOff off(~0u);
      const Arg args[] = {*t, std::span<const int64_t>(sizes)};
      return constant(user, Any(call_boxed(get_op("reshape"), args)[0]));
    };
    if (t->numel() == 1 && dim <= 4) return shaped({});
    if (dim == 3 && t->numel() == channels && t->size(0) == channels)
      return blocked(shaped({1, channels, 1, 1}), user);
    return nullptr;
  }

  void pointwise(Node& n) {
    const int64_t channels = channels_of(n.output());
    bool any = false;
    for (Value* v : n.inputs()) any |= is_blocked(v);
    if (!any || channels < 0) return;
    for (Value* v : n.inputs()) {
      const bool tensor = v->type.kind == TypeKind::Tensor;
      if (tensor ? channels_of(v) != channels && !for_channels(v, channels, n)
                 : !v->constant() || v->constant()->is_tensor())
        return;
    }
    if (into_depthwise(n)) return;
    std::vector<Value*> inputs;
    for (Value* v : n.inputs()) {
      if (v->type.kind != TypeKind::Tensor) inputs.push_back(v);
      else inputs.push_back(channels_of(v) == channels ? blocked(v, n) : for_channels(v, channels, n));
    }
    replace(n, call(info(*n.op).schema.name, n, std::move(inputs)));
  }

  // Each channel by itself: a depthwise convolution with these filters [channels, 1, height, width].
  Value* depthwise(Node& n, const Tensor& filters, Value* bias, Value* stride, Value* padding) {
    Value* packed = call("pack_filters", n,
                         {constant(n, Any(filters)), constant(n, Any(block_ ? block_ : 16)),
                          constant(n, Any(depthwise_kind()))});
    const Any channels(filters.size(0));
    return call("conv2d_blocked", n,
                {blocked_.at(n.input(0)), packed, bias, stride, padding, constant(n, Any(Dims{1, 1})),
                 constant(n, channels), constant(n, channels), constant(n, Any()), constant(n, Any("none"))});
  }
  // An activation behind it is done by it, as fuse_activation does for other convolutions.
  bool into_depthwise(Node& n) {
    static constexpr std::string_view known[] = {"relu", "relu6",     "sigmoid", "tanh",
                                                 "silu", "hardswish", "gelu"};
    if (n.inputs().size() != 1 ||
        std::find(std::begin(known), std::end(known), n.op_name()) == std::end(known))
      return false;
    Value *x = n.input(0), *now = blocked_.at(x);
    Node* conv = now->producer();
    if (x->uses().size() != 1 || now->uses().size() != 1 || !conv || conv->kind != NodeKind::Op ||
        conv->op_name() != "conv2d_blocked")
      return false;
    const int activation = info(*conv->op).schema.find_arg("activation");
    const Any* before = conv->input(activation)->constant();
    if (!before || before->string() != "none") return false;
    conv->set_input(activation, constant(*conv, Any(std::string(n.op_name()))));
    replace(n, now);
    return true;
  }

  void norm(Node& n) {
    const int64_t channels = channels_of(n.output());
    const Any* eps = n.argument("eps")->constant();
    if (!is_blocked(n.input(0)) || channels <= 0 || !eps) return;
    const Tensor* given[4];
    static constexpr const char* names[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++) {
      Value* v = n.argument(names[i]);
      given[i] = constant_tensor(v);
      if (given[i] ? given[i]->dtype() != DType::F32 || given[i]->numel() != channels : i > 1 || !is_none(v))
        return;
    }
    const Tensor scale = new_tensor(Dims{channels, 1, 1, 1}, DType::F32),
                 shift = new_tensor(Dims{channels}, DType::F32);
    for (int64_t c = 0; c < channels; c++) {
      const auto value = [&](int i, double otherwise) {
        return given[i] ? element_as_double(*given[i], c) : otherwise;
      };
      const double s = value(0, 1) / std::sqrt(value(3, 1) + eps->to_double());
      scale.data<float>()[c] = static_cast<float>(s);
      shift.data<float>()[c] = static_cast<float>(value(1, 0) - value(2, 0) * s);
    }
    replace(n, depthwise(n, scale, constant(n, Any(shift)), constant(n, Any(Dims{1, 1})),
                         constant(n, Any(Dims{0, 0}))));
  }

  void average(Node& n) {
    const int64_t channels = channels_of(n.output());
    Dims kernel = ints_of(n, "kernel_size"), padding = ints_of(n, "padding");
    const Any *ceil = n.argument("ceil_mode")->constant(),
              *pads = n.argument("count_include_pad")->constant();
    if (!is_blocked(n.input(0)) || channels <= 0 || kernel.empty() || !ceil || ceil->to_bool() || !pads ||
        !is_none(n.argument("divisor_override")))
      return;
    if (kernel.size() == 1) kernel.push_back(kernel[0]);
    for (int64_t k : kernel)
      if (k <= 0) return;
    for (int64_t p : padding)
      if (p != 0 && (p < 0 || !pads->to_bool())) return;
    const Tensor filters = new_tensor(Dims{channels, 1, kernel[0], kernel[1]}, DType::F32);
    std::fill_n(filters.data<float>(), filters.numel(), 1 / static_cast<float>(kernel[0] * kernel[1]));
    Value* stride = n.argument("stride");
    if (!stride->constant()) return;
    if (is_none(stride) || ints_of(n, "stride").empty()) stride = n.argument("kernel_size");
    replace(n, depthwise(n, filters, constant(n, Any()), stride, n.argument("padding")));
  }

  void max_pool(Node& n) {
    if (channels_of(n.output()) < 0) return;
    for (const char* setting : {"kernel_size", "stride", "padding", "dilation", "ceil_mode"})
      if (!n.argument(setting) || !n.argument(setting)->constant()) return;
    // Rounded up, a last window may begin in what is put around the picture, but not in padding.
    const bool ceil = n.argument("ceil_mode")->constant()->to_bool();
    const auto [x, padding] =
        ceil ? Padded{n.argument("input"), n.argument("padding")} : padded(n, -INFINITY);
    if (!is_blocked(x)) return;
    std::vector<Value*> inputs{blocked_[x], n.argument("kernel_size"), n.argument("stride"),
                               padding,     n.argument("dilation"),    n.argument("ceil_mode")};
    replace(n, call("max_pool2d_blocked", n, std::move(inputs)));
  }

  void global_mean(Node& n, const Value* output_size) {
    const Any* size = output_size ? output_size->constant() : nullptr;
    if (!size || !is_blocked(n.input(0))) return;
    if (size->tag() == Tag::Int ? size->to_int() != 1 : size->tag() != Tag::Ints) return;
    if (size->tag() == Tag::Ints)
      for (int64_t s : size->ints())
        if (s != 1) return;
    replace(n, mean_of(n));
  }
  Value* mean_of(Node& n) {
    return call(
        "mean", n,
        {blocked_.at(n.input(0)), constant(n, Any(Dims{2, 3})), constant(n, Any(true)), constant(n, Any())});
  }
  // The mean over height and width, with or without the dimensions.
  void mean(Node& n) {
    Value *dims = n.argument("dim"), *keep = n.argument("keepdim"), *dtype = n.argument("dtype");
    if (!is_blocked(n.input(0)) || !dims || !dims->constant() || dims->constant()->tag() != Tag::Ints ||
        !keep || !keep->constant() || (dtype && !is_none(dtype)))
      return;
    Dims d(dims->constant()->ints());
    for (int64_t& i : d)
      if (i < 0) i += 4;
    std::sort(d.begin(), d.end());
    if (d != Dims{2, 3}) return;
    if (keep->constant()->to_bool()) return replace(n, mean_of(n));
    const int64_t channels = channels_of(n.input(0));
    Value* plain = call("unblock_channels", n, {mean_of(n), constant(n, Any(channels))});
    Value* flat = call("flatten", n, {plain, constant(n, Any(int64_t(1))), constant(n, Any(int64_t(-1)))});
    flat->type = n.output()->type;
    n.output()->replace_all_uses_with(flat);
    n.destroy();
  }

  void join(Node& n) {
    const Any* dim = n.argument("dim")->constant();
    Node* list = n.input(0)->producer();
    if (!dim || (dim->to_int() != 1 && dim->to_int() != -3) || !list || list->kind != NodeKind::List ||
        channels_of(n.output()) < 0)
      return;
    bool any = false;
    for (Value* v : list->inputs()) {
      if (channels_of(v) <= 0 || (block_ && channels_of(v) % block_)) return;
      any |= is_blocked(v);
    }
    if (!any) return;
    std::vector<Value*> parts;
    for (Value* v : list->inputs()) parts.push_back(blocked(v, n));
    Node* now = graph_.create(NodeKind::List, {graph_.main(), &n}, parts, 1);
    infer_types(*now);
    replace(n, call("cat", n, {now->output(), constant(n, Any(int64_t(block_ ? 1 : 4)))}));
  }

  Graph& graph_;
  const int64_t block_;
  const LastBlocks* last_;
  const bool winograd_ = winograd_is_on();
  int convolutions_ = 0, tiled_ = 0;
  int64_t growth_ =
      int64_t(36) << 20;  // bytes by which transformed filters may still exceed those of the model
  std::unordered_map<const Value*, Value*> blocked_;
};
}  // namespace

int block_channels(Graph& graph) {
  bool any = false;
  for (const Node* n : *graph.main()) any |= is_convolution(*n);
  if (!any) return 0;  // nobody need be asked
  const int64_t block = isa() == Isa::Avx512 ? 16 : 8;
  if (!is_served(block)) return 0;
  repeat_channels(graph);
  LastBlocks blocks;
  if (block == 16 && channels_last(graph, blocks)) return Blocker(graph, 0, &blocks).run();
  return block_channels(graph, block);
}
int block_channels(Graph& graph, int64_t block) {
  repeat_channels(graph);
  return Blocker(graph, block).run();
}

}  // namespace moka::passes
