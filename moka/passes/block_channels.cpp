// Convolutions, and what stands between them, work on pictures whose channels lie in blocks as wide as a vector: the
// ordinary tensors [batch, blocks, height, width, block] of moka/ops/blocked. Pictures go into blocks before the first
// convolution and come back where something else reads them. After fold_batch_norm and fuse_activation.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "moka/base/cpu.h"
#include "moka/passes/constants.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
// Whether somebody has a faster kernel than the one that every build has.
bool is_served(int64_t block) {
  const Op* conv = find_op("conv2d_blocked");
  if (!conv || info(*conv).rows.empty()) return false;
  const Tensor x = new_tensor(Dims{1, 1, 8, 8, block}, DType::F32);
  const Tensor w = new_tensor(Dims{1, 1, 3, 3, block, block}, DType::F32);
  const int64_t ones[] = {1, 1};
  const std::span<const int64_t> pair(ones);
  Arg args[] = {x, w, Arg(), pair, pair, pair, Arg(block), Arg(block), Arg(), Arg(std::string_view("none"))};
  Frame frame(*conv, args, static_cast<int>(std::size(args)));
  const KernelRow* row = choose_kernel(frame, nullptr);
  return row && row != &conv->kernels.items[0];
}

// The number of channels of a float32 picture, -1 where it is none or not known.
int64_t channels_of(const Value* v) {
  const Type& t = v->type;
  if (t.kind != TypeKind::Tensor || !t.has_dtype || t.dtype != DType::F32 || !t.has_dims ||
      t.dims.size() != 4)
    return -1;
  return t.dims[1].size;
}

// Formulas that may also see the zeros behind the last channel.
bool is_pointwise(std::string_view op) {
  static constexpr std::string_view all[] = {
      "add",  "sub",       "mul",         "relu",  "relu6",    "sigmoid", "tanh",       "silu",
      "gelu", "hardswish", "hardsigmoid", "clamp", "hardtanh", "elu",     "leaky_relu", "mish"};
  return std::find(std::begin(all), std::end(all), op) != std::end(all);
}

class Blocker {
 public:
  Blocker(Graph& graph, int64_t block) : graph_(graph), block_(block) {}

  int run() {
    std::vector<Node*> nodes;
    for (Node* n : *graph_.main())
      if (n->kind == NodeKind::Op) nodes.push_back(n);
    for (Node* n : nodes) {
      const std::string_view name = n->op_name();
      if (name == "conv2d" || name == "conv2d_fused") convolution(*n);
      else if (is_pointwise(name)) pointwise(*n);
      else if (name == "max_pool2d") max_pool(*n);
      else if (name == "adaptive_avg_pool2d") global_mean(*n, n->argument("output_size"));
      else if (name == "mean") mean(*n);
      else if (name == "cat") join(*n);
      else if (name == "batch_norm") norm(*n);
      else if (name == "avg_pool2d") average(*n);
    }
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
    return blocked_[v] = call("block_channels", user, {v, constant(user, Any(block_))});
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
    Value* x = n.argument("input");
    const Tensor* weight = constant_tensor(n.argument("weight"));
    const Any* groups = n.argument("groups")->constant();
    if (!weight || weight->dtype() != DType::F32 || weight->dim() != 4 || !groups ||
        channels_of(n.output()) < 0)
      return;
    for (const char* setting : {"stride", "padding", "dilation"})
      if (!n.argument(setting)->constant()) return;
    const int64_t channels = channels_of(x), filters = weight->size(0), g = groups->to_int();
    std::string kind = "dense";
    if (g != 1) {
      if (g != channels || filters != channels || weight->size(1) != 1) return;
      kind = "depthwise";
    } else if (channels < 0 || weight->size(1) != channels || filters == 0) {
      return;
    } else if (channels < block_ / 2 && !is_blocked(x)) {
      kind = "plain";  // the picture itself
    }
    Value* packed =
        call("pack_filters", n, {n.argument("weight"), constant(n, Any(block_)), constant(n, Any(kind))});
    Value* addend = n.argument("addend");
    Value* activation = n.argument("activation");
    Value* now =
        call("conv2d_blocked", n,
             {kind == "plain" ? x : blocked(x, n), packed, n.argument("bias"), n.argument("stride"),
              n.argument("padding"), n.argument("dilation"), constant(n, Any(channels)),
              constant(n, Any(filters)), !addend || is_none(addend) ? constant(n, Any()) : blocked(addend, n),
              activation ? activation : constant(n, Any("none"))});
    replace(n, now);
    convolutions_++;
  }

  void pointwise(Node& n) {
    const int64_t channels = channels_of(n.output());
    bool any = false;
    for (Value* v : n.inputs()) {
      if (v->type.kind != TypeKind::Tensor) {
        if (!v->constant() || v->constant()->is_tensor()) return;
        continue;
      }
      if (channels < 0 || channels_of(v) != channels) return;
      any |= is_blocked(v);
    }
    if (!any || into_depthwise(n)) return;
    std::vector<Value*> inputs;
    for (Value* v : n.inputs()) inputs.push_back(v->type.kind == TypeKind::Tensor ? blocked(v, n) : v);
    replace(n, call(info(*n.op).schema.name, n, std::move(inputs)));
  }

  // Each channel by itself: a depthwise convolution with these filters [channels, 1, height, width].
  Value* depthwise(Node& n, const Tensor& filters, Value* bias, Value* stride, Value* padding) {
    Value* packed =
        call("pack_filters", n,
             {constant(n, Any(filters)), constant(n, Any(block_)), constant(n, Any("depthwise"))});
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
    const auto ints = [&](const char* name) {
      const Any* c = n.argument(name)->constant();
      return c && c->tag() == Tag::Ints  ? Dims(c->ints())
             : c && c->tag() == Tag::Int ? Dims{c->to_int()}
                                         : Dims{-1};
    };
    Dims kernel = ints("kernel_size"), padding = ints("padding");
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
    if (ints("stride").empty()) stride = n.argument("kernel_size");
    replace(n, depthwise(n, filters, constant(n, Any()), stride, n.argument("padding")));
  }

  void max_pool(Node& n) {
    Value* x = n.argument("input");
    if (!is_blocked(x) || channels_of(n.output()) < 0) return;
    std::vector<Value*> inputs{blocked_[x]};
    for (const char* setting : {"kernel_size", "stride", "padding", "dilation", "ceil_mode"}) {
      if (!n.argument(setting) || !n.argument(setting)->constant()) return;
      inputs.push_back(n.argument(setting));
    }
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
      if (channels_of(v) <= 0 || channels_of(v) % block_) return;
      any |= is_blocked(v);
    }
    if (!any) return;
    std::vector<Value*> parts;
    for (Value* v : list->inputs()) parts.push_back(blocked(v, n));
    Node* now = graph_.create(NodeKind::List, {graph_.main(), &n}, parts, 1);
    infer_types(*now);
    replace(n, call("cat", n, {now->output(), constant(n, Any(int64_t(1)))}));
  }

  Graph& graph_;
  const int64_t block_;
  int convolutions_ = 0;
  std::unordered_map<const Value*, Value*> blocked_;
};
}  // namespace

int block_channels(Graph& graph) {
  const int64_t block = isa() == Isa::Avx512 ? 16 : 8;
  return is_served(block) ? block_channels(graph, block) : 0;
}
int block_channels(Graph& graph, int64_t block) { return Blocker(graph, block).run(); }

}  // namespace moka::passes
