// Operators of ours that Caffe2 says with arguments of another form.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/netdef/adapters.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::netdef {

using spelling::Attribute;
using spelling::NodeWriter;
using spelling::wrap;
using spelling::WritingAdapter;

namespace {

// FC always has a bias, and one axis before which everything is the batch.
bool linear(NodeWriter& n) {
  const int rank = n.rank("input");
  Dims weight;
  DType dtype;
  if (rank < 1 || !spelling::fixed_sizes(n.value("weight"), weight) || weight.size() != 2 ||
      !spelling::has_dtype(n.value("weight"), &dtype))
    return n.declines("the number of dimensions is not known");
  const Any* bias = n.constant("bias");
  std::string b;
  if (bias && bias->is_none()) {
    Tensor zeros = new_tensor(std::span<const int64_t>(weight).first(1), dtype);
    copy_elements(spelling::number_tensor(Any(0.0), dtype), zeros);
    b = n.tensor(zeros);
  } else {
    b = n.name("bias");
  }
  std::vector<Attribute> args;
  if (rank != 2) args.push_back({"axis", Any(int64_t(rank - 1))});
  return n.finish("FC", {n.name("input"), n.name("weight"), b}, args);
}

// Caffe2's softmax takes everything from the axis on together.
bool softmax(NodeWriter& n) {
  const int rank = n.rank("input");
  const Any* dtype = n.node.argument("dtype") ? n.constant("dtype") : nullptr;
  if (rank < 1 || (dtype && !dtype->is_none()))
    return n.declines("the number of dimensions is not known, or a dtype is asked for");
  if (wrap(n.integer("dim"), rank) != rank - 1)
    return n.declines("only the last dimension can be normalized");
  return n.finish("Softmax", {n.name("input")}, {{"axis", Any(int64_t(rank - 1))}});
}

bool flatten(NodeWriter& n) {
  const int rank = n.rank("input");
  if (rank < 2 || wrap(n.integer("end_dim"), rank) != rank - 1 || wrap(n.integer("start_dim"), rank) != 1)
    return false;
  return n.finish("Flatten", {n.name("input")}, {{"axis", Any(int64_t(1))}});
}

template <bool low>
bool clamp_one(NodeWriter& n) {
  const char* bound = low ? "min" : "max";
  Any number;
  if (!n.constant(bound) || !spelling::to_number(*n.constant(bound), number))
    return n.declines(bound, " is known only when running");
  return n.finish("Clip", {n.name("input")}, {{bound, Any(number.arg().as_double())}});
}

template <int kind>  // 0 sum, 1 mean, 2 amax, 3 amin
bool reduce(NodeWriter& n) {
  constexpr const char* names[] = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"};
  const Any *keep = n.constant("keepdim"), *given = n.constant("dim");
  const int rank = n.rank("input");
  DType from, to;
  if (!keep || !given || rank < 0) return n.declines("dim is known only when running");
  if (!spelling::has_dtype(n.value("input"), &from) || !spelling::has_dtype(n.node.output(), &to) ||
      from != to)
    return n.declines("a change of element type");
  Dims dims;
  if (!given->is_none()) spelling::to_ints(*given, dims);
  if (dims.empty())
    for (int i = 0; i < rank; i++) dims.push_back(i);
  for (int64_t& d : dims) d = wrap(d, rank);
  if (kind == 1 && rank == 4 && keep->to_bool() && dims == Dims{2, 3}) {
    // Caffe2's predictor wants a kernel even where the pool is global.
    const auto& sizes = n.value("input")->type.dims;
    std::vector<Attribute> args{{"global_pooling", Any(int64_t(1))}};
    if (sizes[2].fixed() && sizes[3].fixed())
      args.push_back({"kernels", Any(Dims{sizes[2].size, sizes[3].size})});
    return n.finish("AveragePool", {n.name("input")}, args);
  }
  return n.finish(names[kind], {n.name("input")},
                  {{"axes", Any(dims)}, {"keepdims", Any(int64_t(keep->to_bool()))}});
}

bool matmul(NodeWriter& n) {
  const int a = n.rank("input"), b = n.rank("other");
  if (a < 0 || b < 0) return n.declines("the number of dimensions is not known");
  if (a == 2 && b == 2) return n.finish("MatMul", {n.name("input"), n.name("other")});
  if (a < 2 || b < 2) return n.declines("vectors");
  return n.finish("BatchMatMul", {n.name("input"), n.name("other")}, {{"broadcast", Any(int64_t(1))}});
}

bool slice(NodeWriter& n) {
  const Any *start = n.constant("start"), *end = n.constant("end");
  const int rank = n.rank("input");
  if (!start || !end || rank < 0 || n.integer("step") != 1)
    return n.declines("a step, or ends that are known only when running");
  const size_t dim = static_cast<size_t>(wrap(n.integer("dim"), rank));
  Dims starts(static_cast<size_t>(rank), int64_t(0)), ends(static_cast<size_t>(rank), int64_t(-1));
  // An end of -1 is the size itself, -2 the last element: ends count from one behind the last.
  starts[dim] = start->is_none() ? 0 : start->to_int();
  const int64_t e = end->is_none() ? INT64_MAX : end->to_int();
  const graph::Dim& size = n.value("input")->type.dims[dim];
  if (starts[dim] < 0 || e < 0) {
    if (!size.fixed()) return n.declines("ends that count from the back of a size that is not known");
    if (starts[dim] < 0) starts[dim] = std::max<int64_t>(0, starts[dim] + size.size);
  }
  ends[dim] = e < 0 ? e + size.size : e == INT64_MAX || (size.fixed() && e >= size.size) ? -1 : e;
  return n.finish("Slice", {n.name("input")}, {{"starts", Any(starts)}, {"ends", Any(ends)}});
}

bool concat(NodeWriter& n) {
  graph::Node* list = n.value("tensors")->producer();
  if (!list || list->kind != graph::NodeKind::List) return n.declines("the list is made when running");
  std::vector<std::string> parts;
  for (graph::Value* v : list->inputs()) parts.push_back(n.model.name_of(v));
  const int rank = spelling::rank(n.node.output());
  if (rank < 0) return n.declines("the number of dimensions is not known");
  n.model.add_node(n.node, "Concat", "", parts,
                   {n.model.name_of(n.node.output()), n.model.unique(n.model.scoped(n.node, "split_info"))},
                   {{"axis", Any(wrap(n.integer("dim"), rank))}});
  return true;
}

constexpr WritingAdapter table[] = {
    {"linear", 1, 0, linear},
    {"softmax", 1, 0, softmax},
    {"flatten", 1, 0, flatten},
    {"clamp_min", 1, 0, clamp_one<true>},
    {"clamp_max", 1, 0, clamp_one<false>},
    {"sum", 1, 0, reduce<0>},
    {"mean", 1, 0, reduce<1>},
    {"amax", 1, 0, reduce<2>},
    {"amin", 1, 0, reduce<3>},
    {"matmul", 1, 0, matmul},
    {"slice", 1, 0, slice},
    {"cat", 1, 0, concat},
};

}  // namespace

std::span<const WritingAdapter> writing_adapters() { return table; }

}  // namespace moka::netdef
