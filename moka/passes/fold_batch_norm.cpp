// batch_norm with constant statistics after conv2d or linear goes into their weight and bias:
//   y = (W x + b - mean) * s + beta, s = gamma / sqrt(var + eps)  =  (s W) x + ((b - mean) * s + beta).
// freeze_states first: weights and statistics must be constants. Results differ in the last bits.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/passes/constants.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
// One number for each channel, or a value for all where the argument is None; false when it is something else.
bool channel_values(const Value* v, int64_t channels, double otherwise, std::vector<double>& out) {
  out.assign(static_cast<size_t>(channels), otherwise);
  if (is_none(v)) return true;
  const Tensor* t = constant_tensor(v);
  if (!t || t->dim() != 1 || t->size(0) != channels || !is_floating(t->dtype())) return false;
  Tensor wide = to_dtype(*t, DType::F64);
  std::copy(wide.data<double>(), wide.data<double>() + channels, out.begin());
  return true;
}

bool fold(Graph& g, Node* norm) {
  Node* linear = norm->argument("input")->producer();
  if (!linear || (linear->op_name() != "conv2d" && linear->op_name() != "linear") ||
      linear->kind != NodeKind::Op)
    return false;
  if (linear->output()->uses().size() != 1) return false;  // somebody else wants it without the norm
  // linear of [batch, n, features] has its features last, where batch_norm would look for channels second.
  const Type& type = linear->output()->type;
  if (linear->op_name() == "linear" && !(type.has_dims && type.dims.size() == 2)) return false;
  // Unbatched images [channels, height, width] would be read as [batch, channels, length].
  if (linear->op_name() == "conv2d" && !(type.has_dims && type.dims.size() == 4)) return false;
  const Tensor* weight = constant_tensor(linear->argument("weight"));
  const Any* eps = norm->argument("eps")->constant();
  if (!weight || weight->dim() < 2 || !is_floating(weight->dtype()) || !eps || !eps->arg().is_number())
    return false;
  int64_t channels = weight->size(0);
  std::vector<double> gamma, beta, mean, var, bias;
  if (!channel_values(norm->argument("weight"), channels, 1, gamma) ||
      !channel_values(norm->argument("bias"), channels, 0, beta) ||
      !channel_values(norm->argument("running_mean"), channels, 0, mean) ||
      !channel_values(norm->argument("running_var"), channels, 1, var) ||
      !channel_values(linear->argument("bias"), channels, 0, bias))
    return false;

  Tensor wide = new_tensor(weight->sizes(), DType::F64);
  copy_elements(*weight, wide);
  int64_t row = channels ? weight->numel() / channels : 0;
  Tensor wide_bias = new_tensor(Dims{channels}, DType::F64);
  for (int64_t c = 0; c < channels; c++) {
    size_t k = static_cast<size_t>(c);
    double scale = gamma[k] / std::sqrt(var[k] + eps->to_double());
    for (int64_t i = 0; i < row; i++) wide.data<double>()[c * row + i] *= scale;
    wide_bias.data<double>()[c] = (bias[k] - mean[k]) * scale + beta[k];
  }
  Graph::Point at{linear->owner(), linear};
  int w = info(*linear->op).schema.find_arg("weight"), b = info(*linear->op).schema.find_arg("bias");
  Value* new_weight = g.constant(Any(to_dtype(wide, weight->dtype())), at);
  Value* new_bias = g.constant(Any(to_dtype(wide_bias, weight->dtype())), at);
  new_weight->name = linear->input(w)->name;
  new_bias->name = is_none(linear->input(b)) ? std::string() : linear->input(b)->name;
  linear->set_input(w, new_weight);
  linear->set_input(b, new_bias);
  linear->output()->name = norm->output()->name;
  norm->output()->replace_all_uses_with(linear->output());
  norm->destroy();
  return true;
}

int fold_block(Graph& g, Block& b) {
  int count = 0;
  for (Node* n : b) {
    for (const auto& inner : n->blocks()) count += fold_block(g, *inner);
    if (n->kind == NodeKind::Op && n->op_name() == "batch_norm") count += fold(g, n);
  }
  return count;
}
}  // namespace

int fold_batch_norm(Graph& graph) { return fold_block(graph, *graph.main()); }

}  // namespace moka::passes
