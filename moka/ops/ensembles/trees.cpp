// Decision trees: each row walks every tree to a leaf, whose votes are summed, averaged, or compared.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/ensembles/ensembles.h"
#include "moka/ops/kernels/arguments.h"

namespace moka::ops {

namespace {

// Arguments by position.
enum {
  Input,
  Features,
  Thresholds,
  Modes,
  Missing,
  Yes,
  No,
  Roots,
  Starts,
  Targets,
  Weights,
  Members,
  MemberStarts,
  Width,
  How
};

int64_t length(const Frame& f, int i, DType dtype) {
  const Tensor& t = tensor_argument(f, i);
  MOKA_CHECK(t.dim() == 1 && t.dtype() == dtype, f.name(), ": '", argument_name(f, i), "' must be ", dtype,
             " with one dimension, got ", t.dtype(), t.sizes());
  return t.size(0);
}

void shape(Frame& f) {
  const Tensor& x = floating_argument(f, Input);
  MOKA_CHECK(x.dim() == 2, f.name(), ": 'input' must have shape [rows, features], got ", x.sizes());
  const int64_t nodes = length(f, Features, DType::I64);
  for (auto [i, dtype] : {std::pair{Thresholds, DType::F64},
                          {Modes, DType::U8},
                          {Missing, DType::Bool},
                          {Yes, DType::I64},
                          {No, DType::I64},
                          {MemberStarts, DType::I64}})
    MOKA_CHECK(length(f, i, dtype) == nodes + (i == MemberStarts), f.name(), ": '", argument_name(f, i),
               "' does not fit ", nodes, " nodes");
  length(f, Roots, DType::I64);
  length(f, Members, DType::F64);
  MOKA_CHECK(length(f, Starts, DType::I64) >= 1, f.name(), ": 'starts' is empty");
  MOKA_CHECK(length(f, Targets, DType::I64) == length(f, Weights, DType::F64), f.name(),
             ": votes differ in number");
  const int64_t width = f.integer(Width);
  MOKA_CHECK_KIND(Value, width >= 1, f.name(), ": 'width' must be at least 1, got ", width);
  const std::string_view how = f.string(How);
  MOKA_CHECK_KIND(Value, how == "sum" || how == "mean" || how == "amin" || how == "amax", f.name(),
                  ": 'how' must be sum, mean, amin or amax, got '", how, "'");
  f.output(0, Dims{x.size(0), width}, x.dtype());
}

struct Node {
  double threshold;
  int64_t feature, yes, no;
  uint8_t mode;
  bool missing;
  int64_t members, members_end;
};

void run(Frame& f) {
  const Tensor x = to_dtype(f.tensor(Input), DType::F64);
  auto ints = [&](int i) { return as_contiguous(f.tensor(i)); };
  const Tensor features = ints(Features), thresholds = ints(Thresholds), modes = ints(Modes),
               missing = ints(Missing), yes = ints(Yes), no = ints(No), roots = ints(Roots),
               starts = ints(Starts), targets = ints(Targets), weights = ints(Weights),
               members = ints(Members), member_starts = ints(MemberStarts);
  const int64_t count = features.size(0), leaves = starts.size(0) - 1, columns = x.size(1),
                width = f.integer(Width);
  std::vector<Node> nodes(static_cast<size_t>(count));
  auto place = [&](int64_t child) { return child >= 0 ? child < count : -1 - child < leaves; };
  for (int64_t i = 0; i < count; i++) {
    Node& n = nodes[static_cast<size_t>(i)];
    n = {thresholds.data<double>()[i],     features.data<int64_t>()[i],
         yes.data<int64_t>()[i],           no.data<int64_t>()[i],
         modes.data<uint8_t>()[i],         missing.data<bool>()[i],
         member_starts.data<int64_t>()[i], member_starts.data<int64_t>()[i + 1]};
    MOKA_CHECK_KIND(Value, n.mode <= 6 && place(n.yes) && place(n.no), f.name(), ": node ", i,
                    " leads nowhere");
    MOKA_CHECK_KIND(Value, n.feature >= 0 && n.feature < columns, f.name(), ": node ", i,
                    " asks for feature ", n.feature, " of ", columns);
    MOKA_CHECK_KIND(Value, n.members >= 0 && n.members <= n.members_end && n.members_end <= members.size(0),
                    f.name(), ": the members of node ", i, " are out of range");
  }
  const int64_t* start = starts.data<int64_t>();
  for (int64_t i = 0; i < leaves; i++)
    MOKA_CHECK_KIND(Value, start[i] >= 0 && start[i] <= start[i + 1] && start[i + 1] <= targets.size(0),
                    f.name(), ": the votes of leaf ", i, " are out of range");
  for (int64_t i = 0; i < targets.size(0); i++)
    MOKA_CHECK_KIND(Value, targets.data<int64_t>()[i] >= 0 && targets.data<int64_t>()[i] < width, f.name(),
                    ": vote ", i, " is for target ", targets.data<int64_t>()[i], " of ", width);
  for (int64_t i = 0; i < roots.size(0); i++)
    MOKA_CHECK_KIND(Value, place(roots.data<int64_t>()[i]), f.name(), ": tree ", i, " has no root");
  const std::string_view how = f.string(How);
  const bool least = how == "amin", most = how == "amax", mean = how == "mean",
             single = f.outs[0].dtype() != DType::F64;
  const Tensor out = single ? new_tensor(f.outs[0].sizes(), DType::F64) : f.outs[0];
  const double* all = members.numel() ? members.data<double>() : nullptr;
  parallel_for(0, x.size(0), std::max<int64_t>(1, 4096 / std::max<int64_t>(roots.size(0), 1)),
               [&](int64_t first, int64_t last) {
                 for (int64_t r = first; r < last; r++) {
                   const double* row = x.data<double>() + r * columns;
                   double* to = out.data<double>() + r * width;
                   std::fill_n(to, width, least ? INFINITY : most ? -INFINITY : 0.0);
                   for (int64_t tree = 0; tree < roots.size(0); tree++) {
                     int64_t at = roots.data<int64_t>()[tree];
                     for (int64_t steps = 0; at >= 0; steps++) {
                       MOKA_CHECK_KIND(Value, steps <= count, f.name(), ": tree ", tree, " goes in a circle");
                       const Node& n = nodes[static_cast<size_t>(at)];
                       const double v = row[n.feature];
                       bool go;
                       switch (n.mode) {
                         case 0: go = v <= n.threshold; break;
                         case 1: go = v < n.threshold; break;
                         case 2: go = v >= n.threshold; break;
                         case 3: go = v > n.threshold; break;
                         case 4: go = v == n.threshold; break;
                         case 5: go = v != n.threshold; break;
                         default:
                           go = std::find(all + n.members, all + n.members_end, v) != all + n.members_end;
                       }
                       if (std::isnan(v)) go = (n.mode == 5 && go) || n.missing;
                       at = go ? n.yes : n.no;
                     }
                     for (int64_t k = start[-1 - at]; k < start[-at]; k++) {
                       double& v = to[targets.data<int64_t>()[k]];
                       const double w = weights.data<double>()[k];
                       v = least ? std::min(v, w) : most ? std::max(v, w) : v + w;
                     }
                   }
                   for (int64_t i = 0; i < width && mean; i++)
                     to[i] /= static_cast<double>(std::max<int64_t>(roots.size(0), 1));
                   for (int64_t i = 0; i < width && (least || most); i++)
                     if (std::isinf(to[i])) to[i] = 0;  // no tree voted
                 }
               });
  if (single) copy_elements(out, f.outs[0]);
}
}  // namespace

constinit const Op tree_ensemble_op{
    .schema =
        "tree_ensemble(Tensor input, Tensor features, Tensor thresholds, Tensor modes, Tensor missing, "
        "Tensor yes, "
        "Tensor no, Tensor roots, Tensor starts, Tensor targets, Tensor weights, Tensor members, Tensor "
        "member_starts, int width, str how='sum') -> Tensor",
    .doc =
        "What trees say of each row of input [rows, features], as [rows, width]. Node i asks whether its "
        "feature is <=, <, "
        ">=, >, ==, != its threshold (modes 0 to 5) or one of members[member_starts[i]:member_starts[i + 1]] "
        "(6), and "
        "goes to yes or no; NaN goes to yes where missing says so. A child c >= 0 is a node, else leaf -1 - "
        "c, whose "
        "votes are starts[leaf] to starts[leaf + 1] of targets and weights. 'how' joins votes: sum, mean "
        "over the "
        "trees, amin or amax.",
    .method = "none",
    .shape = shape,
    .kernels = {KernelRow{"walk", run}},
    .derivative = none("it compares numbers"),
    .onnx = none("written as TreeEnsemble by an adapter"),
    .netdef = none("NetDefs have no such operator"),
};

}  // namespace moka::ops

MOKA_OP_TABLE(ensembles, MOKA_ENSEMBLES_OPS)
