// What block_channels asks before it rewrites.
// SPDX-License-Identifier: Apache-2.0
#include "moka/passes/channel_layout.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "moka/ops/blocked/blocked.h"
#include "moka/passes/constants.h"
#include "moka/schema/log.h"

namespace moka::passes::channels {

using namespace graph;

int64_t channels_of(const Value* v) {
  const Type& t = v->type;
  if (t.kind != TypeKind::Tensor || !t.has_dtype || t.dtype != DType::F32 || !t.has_dims ||
      t.dims.size() != 4)
    return -1;
  return t.dims[1].size;
}

Dims ints_of(const Node& n, const char* name) {
  const Any* c = n.argument(name)->constant();
  return c && c->tag() == Tag::Ints  ? Dims(c->ints())
         : c && c->tag() == Tag::Int ? Dims{c->to_int()}
                                     : Dims{-1};
}

std::optional<Convolution> convolution_of(const Node& n) {
  const Tensor* weight = constant_tensor(n.argument("weight"));
  const Any* groups = n.argument("groups")->constant();
  if (!weight || weight->dtype() != DType::F32 || weight->dim() != 4 || !groups ||
      channels_of(n.output()) < 0)
    return {};
  for (const char* setting : {"stride", "padding", "dilation"})
    if (!n.argument(setting)->constant()) return {};
  Convolution c{*weight, channels_of(n.argument("input")), weight->size(0), groups->to_int() != 1};
  if (c.depthwise) {
    if (groups->to_int() != c.channels || c.filters != c.channels || weight->size(1) != 1) return {};
  } else if (c.channels < 0 || weight->size(1) != c.channels || c.filters == 0) {
    return {};
  }
  return c;
}

bool is_convolution(const Node& n) {
  return n.kind == NodeKind::Op && (n.op_name() == "conv2d" || n.op_name() == "conv2d_fused");
}

int64_t size_of(const Type& t, size_t d) { return t.dims[d].fixed() ? t.dims[d].size : d == 0 ? 1 : 56; }
namespace {
// The block of filters that the back end wants, 0 where it has no fast kernel.
int64_t last_block(const Node& n, const Convolution& c) {
  const FilterBlock ask = filter_block();
  const Op* conv = find_op("conv2d_blocked");
  if (!ask || !conv || c.channels == 0) return 0;
  const Type& t = n.argument("input")->type;
  const int64_t height = c.weight.size(2), width = c.weight.size(3), filled = (c.filters + 15) / 16 * 16;
  const Tensor x = new_tensor(Dims{size_of(t, 0), 1, size_of(t, 2), size_of(t, 3), c.channels}, DType::F32);
  const Tensor w =
      new_tensor(c.depthwise ? Dims{height, width, filled} : Dims{filled / 16, height, width, c.channels, 16},
                 DType::F32);
  const auto given = [&](const char* name) {
    const Value* v = n.argument(name);
    return v && !is_none(v) ? Arg(w) : Arg();  // only that it is there matters
  };
  const Value* activation = n.argument("activation");
  Arg args[] = {x,
                w,
                given("bias"),
                n.argument("stride")->constant()->arg(),
                n.argument("padding")->constant()->arg(),
                n.argument("dilation")->constant()->arg(),
                Arg(c.channels),
                Arg(c.filters),
                given("addend"),
                activation ? activation->constant()->arg() : Arg(std::string_view("none"))};
  Frame frame(*conv, args, static_cast<int>(std::size(args)));
  try {
    return ask(frame);
  } catch (const Error&) {  // such a picture does not fit
    return 0;
  }
}
}  // namespace

bool channels_last(Graph& graph, LastBlocks& blocks) {
  std::vector<std::pair<Node*, Convolution>> convolutions;
  size_t depthwise = 0;
  for (Node* n : *graph.main())
    if (is_convolution(*n))
      if (const std::optional<Convolution> c = convolution_of(*n)) {
        convolutions.emplace_back(n, *c);
        depthwise += c->depthwise;
      }
  const auto decide = [&](bool last, auto... why) {
    if (log_enabled(Log::Passes) && !convolutions.empty())
      log_line(Log::Passes,
               cat("block_channels: ", last ? "channels last" : "channels in blocks of 16", ", ", why...));
    return last;
  };
  if (depthwise * 10 > convolutions.size())
    return decide(false, depthwise, " of ", convolutions.size(), " convolutions are depthwise");
  double all = 0, served = 0;
  for (const auto& [n, c] : convolutions) {
    const Type& t = n->output()->type;
    const double work = double(c.weight.numel()) * double(size_of(t, 2)) * double(size_of(t, 3));
    const int64_t block = blocks[n] = last_block(*n, c);
    all += work, served += block ? work : 0;
  }
  return decide(all > 0 && served >= 0.9 * all, static_cast<int64_t>(all > 0 ? 100 * served / all : 0),
                "% of the arithmetic has fast kernels for that");
}

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
  return row && std::none_of(conv->kernels.begin(), conv->kernels.end(),
                             [&](const KernelRow& own) { return &own == row; });
}

}  // namespace moka::passes::channels
