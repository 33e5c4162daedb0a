// Adapters of ai.onnx.ml's tree ensembles and support vector machines.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/formats/onnx/ml_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

// ---- trees

struct Trees {
  std::vector<int64_t> features, yes, no, roots, starts{0}, targets, member_starts{0};
  std::vector<double> thresholds, weights, members;
  std::vector<uint8_t> modes;
  std::vector<uint8_t> missing;
};

template <class T>
Tensor filled(const std::vector<T>& v, DType dtype) {
  Tensor t = new_tensor(Dims{static_cast<int64_t>(v.size())}, dtype);
  if (!v.empty())
    std::copy_n(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T),
                static_cast<char*>(t.raw_data()));
  return t;
}

Value* ensemble(NodeReader& n, Value* x, const Trees& t, int64_t width, const char* how) {
  return n.call("tree_ensemble",
                {x, constant(n, filled(t.features, DType::I64)),
                 constant(n, filled(t.thresholds, DType::F64)), constant(n, filled(t.modes, DType::U8)),
                 constant(n, filled(t.missing, DType::Bool)), constant(n, filled(t.yes, DType::I64)),
                 constant(n, filled(t.no, DType::I64)), constant(n, filled(t.roots, DType::I64)),
                 constant(n, filled(t.starts, DType::I64)), constant(n, filled(t.targets, DType::I64)),
                 constant(n, filled(t.weights, DType::F64)), constant(n, filled(t.members, DType::F64)),
                 constant(n, filled(t.member_starts, DType::I64)), width, how});
}

std::vector<double> doubles(NodeReader& n, const std::string& name) {
  const Tensor t = given(n, name + "_as_tensor") ? vector_of(n, name + "_as_tensor", DType::F64)
                                                 : vector_of(n, name, DType::F64);
  return {t.data<double>(), t.data<double>() + t.numel()};
}
std::vector<int64_t> integers(NodeReader& n, std::string_view name) {
  const Tensor t = vector_of(n, name, DType::I64);
  return {t.data<int64_t>(), t.data<int64_t>() + t.numel()};
}

// The nodes of opset 1 and 3: leaves are nodes, and votes name tree and node.
Trees read_trees(NodeReader& n, const std::string& votes) {
  const auto ids = integers(n, "nodes_nodeids"), trees = integers(n, "nodes_treeids"),
             features = integers(n, "nodes_featureids"), yes = integers(n, "nodes_truenodeids"),
             no = integers(n, "nodes_falsenodeids"), missing = integers(n, "nodes_missing_value_tracks_true");
  const auto values = doubles(n, "nodes_values");
  const Any* modes = n.attribute("nodes_modes");
  const size_t count = ids.size();
  MOKA_CHECK_KIND(File,
                  modes && modes->tag() == Tag::List && modes->list().size() == count &&
                      trees.size() == count && features.size() == count && yes.size() == count &&
                      no.size() == count && values.size() == count &&
                      (missing.empty() || missing.size() == count),
                  "the lists of nodes_... differ in length (", count, " nodes)");
  const auto vote_trees = integers(n, votes + "_treeids"), vote_nodes = integers(n, votes + "_nodeids"),
             vote_ids = integers(n, votes + "_ids");
  const auto weights = doubles(n, votes + "_weights");
  MOKA_CHECK_KIND(File,
                  vote_trees.size() == vote_nodes.size() && vote_nodes.size() == vote_ids.size() &&
                      weights.size() == vote_ids.size(),
                  "the lists of ", votes, "_... differ in length");
  using Key = std::pair<int64_t, int64_t>;
  std::map<Key, size_t> place;
  for (size_t i = 0; i < count; i++)
    MOKA_CHECK_KIND(File, place.emplace(Key{trees[i], ids[i]}, i).second, "node ", ids[i], " of tree ",
                    trees[i], " is there twice");
  std::map<Key, std::vector<size_t>> leaf_votes;
  for (size_t i = 0; i < vote_ids.size(); i++) leaf_votes[{vote_trees[i], vote_nodes[i]}].push_back(i);

  static constexpr std::string_view names[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                               "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
  Trees t;
  std::vector<int64_t> where(count);  // a branch, or -1 - a leaf
  for (size_t i = 0; i < count; i++) {
    const std::string_view mode = modes->list()[i].string();
    if (mode == "LEAF") {
      where[i] = -static_cast<int64_t>(t.starts.size());
      if (const auto own = leaf_votes.find({trees[i], ids[i]}); own != leaf_votes.end())
        for (size_t v : own->second) {
          t.targets.push_back(vote_ids[v]);
          t.weights.push_back(weights[v]);
        }
      t.starts.push_back(static_cast<int64_t>(t.targets.size()));
      continue;
    }
    const auto found = std::find(std::begin(names), std::end(names), mode);
    MOKA_CHECK_KIND(File, found != std::end(names), "mode '", mode, "' of a node does not exist");
    where[i] = static_cast<int64_t>(t.features.size());
    t.features.push_back(features[i]);
    t.thresholds.push_back(values[i]);
    t.modes.push_back(static_cast<uint8_t>(found - std::begin(names)));
    t.missing.push_back(!missing.empty() && missing[i] != 0);
    t.member_starts.push_back(0);
  }
  auto child = [&](size_t i, int64_t id) {
    const auto at = place.find({trees[i], id});
    MOKA_CHECK_KIND(File, at != place.end(), "node ", ids[i], " of tree ", trees[i], " leads to node ", id,
                    ", which is not there");
    return where[at->second];
  };
  std::map<int64_t, size_t> roots;  // the first node of each tree
  for (size_t i = 0; i < count; i++) {
    roots.emplace(trees[i], i);
    if (where[i] < 0) continue;
    t.yes.push_back(child(i, yes[i]));
    t.no.push_back(child(i, no[i]));
  }
  for (const auto& [tree, node] : roots) t.roots.push_back(where[node]);
  return t;
}

const char* aggregate(std::string_view name) {
  MOKA_CHECK_KIND(File, name == "SUM" || name == "AVERAGE" || name == "MIN" || name == "MAX",
                  "aggregate_function '", name, "' does not exist");
  return name == "SUM" ? "sum" : name == "AVERAGE" ? "mean" : name == "MIN" ? "amin" : "amax";
}

Value* with_base(NodeReader& n, Value* y, int64_t width) {
  const std::vector<double> base = doubles(n, "base_values");
  if (base.empty()) return y;
  MOKA_CHECK_KIND(File, base.size() == 1 || static_cast<int64_t>(base.size()) == width, base.size(),
                  " base values were given for ", width, " targets");
  return n.call(
      "add",
      {y, constant(n, vector_of(Any(std::span<const double>(base)), dtype_of(y, "scores"), "base_values"))});
}

bool tree_regressor(NodeReader& n) {
  const int64_t width = n.integer("n_targets", 1);
  Value* y =
      ensemble(n, in_rows(n), read_trees(n, "target"), width, aggregate(n.text("aggregate_function", "SUM")));
  y = post_transformed(n, with_base(n, y, width), n.text("post_transform", "NONE"));
  n.out(cast_to(n, y, DType::F32));
  return true;
}

bool tree_classifier(NodeReader& n) {
  Trees t = read_trees(n, "class");
  Value* labels = labels_of(n, "classlabels_int64s", "classlabels_strings");
  MOKA_CHECK_KIND(File, labels, "there are no class labels");
  const int64_t count = labels->constant()->tensor().numel();
  const auto [low, high] = std::minmax_element(t.targets.begin(), t.targets.end());
  Decision d;
  d.classes = count;
  d.negative_is_complement = std::all_of(t.weights.begin(), t.weights.end(), [](double w) { return w >= 0; });
  if (count <= 2 && !t.targets.empty() && *low == *high) {  // one score: that of the second label
    d.classes = 1;
    d.threshold = d.negative_is_complement ? 0.5 : 0;
    std::fill(t.targets.begin(), t.targets.end(), 0);
  }
  Value* y = ensemble(n, in_rows(n), t, d.classes, "sum");
  std::vector<double> base = doubles(n, "base_values");
  if (d.classes == 1 && base.size() == 2) {
    y = n.call("add", {y, base[1]});
  } else {
    y = with_base(n, y, d.classes);
  }
  d.scores = y;
  decide(n, d, labels, n.text("post_transform", "NONE"));
  return true;
}

// Opset 5: branches and leaves apart.
bool tree_ensemble(NodeReader& n) {
  Trees t;
  t.features = integers(n, "nodes_featureids");
  const size_t count = t.features.size();
  t.yes = integers(n, "nodes_truenodeids");
  t.no = integers(n, "nodes_falsenodeids");
  t.roots = integers(n, "tree_roots");
  t.thresholds = doubles(n, "nodes_splits");
  const auto yes_leaf = integers(n, "nodes_trueleafs"), no_leaf = integers(n, "nodes_falseleafs"),
             missing = integers(n, "nodes_missing_value_tracks_true"), modes = integers(n, "nodes_modes");
  const auto members = doubles(n, "membership_values");
  t.targets = integers(n, "leaf_targetids");
  t.weights = doubles(n, "leaf_weights");
  MOKA_CHECK_KIND(File,
                  t.yes.size() == count && t.no.size() == count && t.thresholds.size() == count &&
                      yes_leaf.size() == count && no_leaf.size() == count && modes.size() == count &&
                      (missing.empty() || missing.size() == count) && t.targets.size() == t.weights.size(),
                  "the lists of nodes or leaves differ in length (", count, " nodes)");
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    MOKA_CHECK_KIND(File, modes[i] >= 0 && modes[i] <= 6, "mode ", modes[i], " of a node does not exist");
    t.modes.push_back(static_cast<uint8_t>(modes[i]));
    t.missing.push_back(!missing.empty() && missing[i] != 0);
    if (yes_leaf[i]) t.yes[i] = -1 - t.yes[i];
    if (no_leaf[i]) t.no[i] = -1 - t.no[i];
    if (modes[i] == 6) {  // its members, up to the next NaN
      for (; at < members.size() && !std::isnan(members[at]); at++) t.members.push_back(members[at]);
      at++;
    }
    t.member_starts.push_back(static_cast<int64_t>(t.members.size()));
  }
  for (size_t i = 0; i < t.targets.size(); i++) t.starts.push_back(static_cast<int64_t>(i) + 1);
  static constexpr const char* joins[] = {"mean", "sum", "amin", "amax"};
  static constexpr const char* transforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const int64_t how = n.integer("aggregate_function", 1), post = n.integer("post_transform", 0);
  MOKA_CHECK_KIND(File, how >= 0 && how < 4 && post >= 0 && post < 5, "aggregate_function ", how,
                  " or post_transform ", post, " does not exist");
  const DType dtype = dtype_of(n[0], "the input");
  Value* y = ensemble(n, n[0], t, n.integer("n_targets", 1), joins[how]);
  n.out(cast_to(n, post_transformed(n, y, transforms[post]), dtype));
  return true;
}

// ---- support vector machines

// The kernel between rows [rows, features] and support vectors [vectors, features].
Value* kernel(NodeReader& n, Value* x, const Tensor& vectors) {
  const std::string_view type = n.text("kernel_type", "LINEAR");
  const Tensor params = vector_of(n, "kernel_params", DType::F64);
  MOKA_CHECK_KIND(File, params.numel() == 0 || params.numel() == 3, "kernel_params has ", params.numel(),
                  " elements, 3 were expected");
  const double gamma = params.numel() ? params.data<double>()[0] : 0,
               constant_term = params.numel() ? params.data<double>()[1] : 0,
               degree = params.numel() ? params.data<double>()[2] : 0;
  Value* v = constant(n, vectors);
  auto product = [&] { return n.call("matmul", {x, n.call("transpose", {v, int64_t(0), int64_t(1)})}); };
  if (type == "LINEAR") return product();
  if (type == "RBF") {
    Value* apart =
        n.call("sub", {n.call("unsqueeze", {x, int64_t(1)}), n.call("unsqueeze", {v, int64_t(0)})});
    return n.call("exp", {n.call("mul", {n.call("sum", {n.call("mul", {apart, apart}), Dims{-1}}), -gamma})});
  }
  Value* y = n.call("add", {n.call("mul", {product(), gamma}), constant_term});
  if (type == "POLY") return n.call("pow", {y, degree});
  MOKA_CHECK_KIND(File, type == "SIGMOID", "kernel_type '", type, "' does not exist");
  return n.call("tanh", {y});
}

Tensor matrix(const Tensor& flat, int64_t rows, const char* what) {
  MOKA_CHECK_KIND(File, rows > 0 && flat.numel() % rows == 0, flat.numel(), " numbers of ", what,
                  " do not divide by ", rows);
  const int64_t columns = flat.numel() / rows;
  return strided_view(flat, Dims{rows, columns}, Dims{columns, 1}, 0);
}

bool svm_regressor(NodeReader& n) {
  Value* x = in_rows(n);
  const DType dtype = dtype_of(x, "the input");
  const int64_t supports = n.integer("n_supports", 0);
  const Tensor coefficients = vector_of(n, "coefficients", dtype), rho = vector_of(n, "rho", dtype);
  MOKA_CHECK_KIND(File, rho.numel() >= 1, "rho is missing");
  Value* k = supports > 0
                 ? kernel(n, x, matrix(vector_of(n, "support_vectors", dtype), supports, "support_vectors"))
                 : x;
  Value* y = n.call(
      "matmul", {k, constant(n, strided_view(coefficients, Dims{coefficients.numel(), 1}, Dims{1, 1}, 0))});
  y = n.call("add", {y, element_as_double(rho, 0)});
  if (n.integer("one_class", 0) != 0)
    y = n.call("sub", {n.call("mul", {cast_to(n, n.call("gt", {y, 0.0}), DType::F32), 2.0}), 1.0});
  n.out(cast_to(n, post_transformed(n, y, n.text("post_transform", "NONE")), DType::F32));
  return true;
}

bool svm_classifier(NodeReader& n) {
  Value* x = in_rows(n);
  const DType dtype = dtype_of(x, "the input");
  Value* labels = labels_of(n, "classlabels_ints", "classlabels_strings");
  const int64_t classes = labels ? labels->constant()->tensor().numel() : 1;
  const auto per_class = integers(n, "vectors_per_class");
  const Tensor rho = vector_of(n, "rho", dtype), coefficients = vector_of(n, "coefficients", dtype);
  MOKA_CHECK_KIND(File, rho.numel() >= 1, "rho is missing");
  const std::string_view how = n.text("post_transform", "NONE");
  const double* c = nullptr;
  const Tensor wide = vector_of(n, "coefficients", DType::F64);
  c = wide.numel() ? wide.data<double>() : nullptr;
  Decision d;
  d.negative_is_complement = std::all_of(c, c + wide.numel(), [](double v) { return v >= 0; });
  int64_t vectors = 0;
  for (int64_t count : per_class) {
    MOKA_CHECK_KIND(File, count >= 0 && count < (int64_t(1) << 31), "vectors_per_class holds ", count);
    vectors += count;
  }
  if (vectors == 0) {  // linear: one row of coefficients a class
    const Tensor w = matrix(coefficients, classes, "coefficients");
    Value* y = n.call("matmul", {x, n.call("transpose", {constant(n, w), int64_t(0), int64_t(1)})});
    d.scores = n.call("add", {y, element_as_double(rho, 0)});
    d.classes = classes;
    decide(n, d, labels, how);
    return true;
  }
  MOKA_CHECK_KIND(File, static_cast<int64_t>(per_class.size()) == classes && classes >= 2, per_class.size(),
                  " classes have vectors, ", classes, " have labels");
  const int64_t pairs = classes * (classes - 1) / 2;
  MOKA_CHECK_KIND(File, rho.numel() == pairs && coefficients.numel() == (classes - 1) * vectors,
                  "rho or coefficients do not fit ", classes, " classes of ", vectors, " vectors");
  Value* k = kernel(n, x, matrix(vector_of(n, "support_vectors", dtype), vectors, "support_vectors"));
  // One column a pair of classes: what each support vector adds to its decision. And which class the pair votes for.
  Tensor w = new_tensor(Dims{vectors, pairs}, DType::F64),
         first = new_tensor(Dims{pairs, classes}, DType::F64),
         second = new_tensor(Dims{pairs, classes}, DType::F64);
  for (const Tensor& t : {w, first, second}) std::fill_n(t.data<double>(), t.numel(), 0.0);
  std::vector<int64_t> start(static_cast<size_t>(classes) + 1, 0);
  for (size_t i = 0; i < per_class.size(); i++) start[i + 1] = start[i] + per_class[i];
  int64_t pair = 0;
  for (int64_t i = 0; i < classes; i++)
    for (int64_t j = i + 1; j < classes; j++, pair++) {
      for (int64_t v = start[static_cast<size_t>(i)]; v < start[static_cast<size_t>(i) + 1]; v++)
        w.data<double>()[v * pairs + pair] = c[(j - 1) * vectors + v];
      for (int64_t v = start[static_cast<size_t>(j)]; v < start[static_cast<size_t>(j) + 1]; v++)
        w.data<double>()[v * pairs + pair] = c[i * vectors + v];
      first.data<double>()[pair * classes + i] = 1;
      second.data<double>()[pair * classes + j] = 1;
    }
  Value* scores = n.call("add", {n.call("matmul", {k, constant(n, to_dtype(w, dtype))}), constant(n, rho)});
  Value* won = cast_to(n, n.call("gt", {scores, 0.0}), dtype);
  d.votes =
      n.call("add", {n.call("matmul", {won, constant(n, to_dtype(first, dtype))}),
                     n.call("matmul", {n.call("rsub", {won, 1.0}), constant(n, to_dtype(second, dtype))})});
  const bool probabilities = given(n, "prob_a");
  if (probabilities) {
    const Tensor a = vector_of(n, "prob_a", dtype), b = vector_of(n, "prob_b", dtype);
    MOKA_CHECK_KIND(File, a.numel() == pairs && b.numel() == pairs, "prob_a and prob_b do not fit ", pairs,
                    " pairs");
    Value* line = n.call("add", {n.call("mul", {scores, constant(n, a)}), constant(n, b)});
    scores = n.call("pairwise_coupling", {n.call("sigmoid", {n.call("neg", {line})})});
  }
  d.scores = scores;
  d.classes = std::max<int64_t>(probabilities ? classes : pairs, 2);
  if (pairs == 1 && !probabilities) {
    // One decision: its two scores, and the label of the class that won.
    Value* both = n.call("cat", {std::vector<Value*>{n.call("neg", {scores}), scores}, int64_t(1)});
    if (how == "PROBIT") both = scores;
    d.scores = both;
  }
  decide(n, d, labels, how);
  return true;
}

constexpr Adapter table[] = {
    {"TreeEnsemble", 5, 0, tree_ensemble, ml},
    {"TreeEnsembleRegressor", 1, 0, tree_regressor, ml},
    {"TreeEnsembleClassifier", 1, 0, tree_classifier, ml},
    {"SVMRegressor", 1, 0, svm_regressor, ml},
    {"SVMClassifier", 1, 0, svm_classifier, ml},
};

}  // namespace

std::span<const Adapter> tree_adapters() { return table; }

}  // namespace moka::onnx
