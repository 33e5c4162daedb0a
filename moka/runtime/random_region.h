// For tests: random graphs over the whole table of formulas and the work on rows, all types, broadcast and transposed
// operands.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::testing_regions {

using namespace graph;

inline constexpr DType types[] = {DType::F32, DType::F32, DType::F32,  DType::F64, DType::F16, DType::BF16,
                                  DType::I32, DType::I64, DType::Bool, DType::U8,  DType::I16};

class RandomRegion {
 public:
  explicit RandomRegion(unsigned seed) : random_(seed) {
    for (const Op* op : all_ops())
      if (op->formula && op->effect == Effect::Pure) table_.push_back(op);
    columns_ = pick(0, 2) ? 7 : 45;
    full_ = {Dim{-1, "n"}, Dim{columns_, ""}};
    const std::vector<Dim> shapes[] = {full_, full_, full_, {Dim{columns_, ""}}, {Dim{-1, "n"}, Dim{1, ""}},
                                       {}};
    const int inputs = pick(1, 4);
    for (int i = 0; i < inputs; i++) {
      Type t = Type::tensor();
      t.has_dtype = t.has_dims = true;
      t.dtype = types[pick(0, std::size(types) - 1)];
      t.dims = i ? shapes[pick(0, std::size(shapes) - 1)] : full_;
      values_.push_back(graph_->add_input(cat("x", i), t));
    }
    for (int tries = 0, made = 0; made < 12 && tries < 200; tries++) made += pick(0, 5) ? node() : row_node();
    const std::vector<Value*> all = values_;
    for (size_t i = static_cast<size_t>(inputs); i < all.size(); i++)
      if (all[i]->uses().empty() || pick(0, 5) == 0) graph_->add_output(all[i]);
  }

  const Graph& graph() const { return *graph_; }

  std::vector<Any> inputs(int64_t n) {
    std::vector<Any> out;
    for (const Value* v : graph_->inputs()) {
      Dims sizes;
      for (const Dim& d : v->type.dims) sizes.push_back(d.fixed() ? d.size : n);
      const bool transposed = sizes.size() == 2 && pick(0, 3) == 0;
      Dims held = sizes;
      if (transposed) std::swap(held[0], held[1]);
      Tensor t = new_tensor(held, v->type.dtype);
      for (int64_t i = 0; i < t.numel(); i++) {
        double number = is_floating(t.dtype()) ? std::normal_distribution<double>(0, 2)(random_) : pick(0, 5);
        if (is_floating(t.dtype()) && pick(0, 30) == 0) number = pick(0, 1) ? NAN : INFINITY;
        convert_elements(&number, DType::F64,
                         static_cast<char*>(t.raw_data()) + i * static_cast<int64_t>(item_size(t.dtype())),
                         t.dtype(), 1);
      }
      out.emplace_back(transposed ? strided_view(t, sizes, Dims{t.stride(1), t.stride(0)}, 0) : t);
    }
    return out;
  }

 private:
  int pick(int low, size_t high) {
    return std::uniform_int_distribution<int>(low, static_cast<int>(high))(random_);
  }

  // A sum, an extremum, softmax or a norm over the last dimension.
  bool row_node() {
    static constexpr std::string_view names[] = {"sum",     "mean",        "amax",       "amin",
                                                 "softmax", "log_softmax", "layer_norm", "rms_norm"};
    const Op& op = get_op(names[pick(0, std::size(names) - 1)]);
    const Graph::Point at{graph_->main(), nullptr};
    Value* x = values_[static_cast<size_t>(pick(0, values_.size() - 1))];
    const auto weight = [&]() -> Value* {
      const std::vector<Dim> row = {Dim{columns_, ""}};
      for (Value* v : values_)
        if (pick(0, 1) && v->type.dims == row && is_floating(v->type.dtype)) return v;
      return graph_->constant(Any(), at);
    };
    std::vector<Value*> args = {x};
    const Schema& schema = info(op).schema;
    for (size_t i = 1; i < schema.args.size(); i++) {
      const std::string& name = schema.args[i].name;
      const int64_t last[] = {pick(0, 1) ? -1 : 1}, size[] = {columns_};
      const bool one = schema.args[i].type.kind == Kind::Int && !schema.args[i].type.list;
      if (name == "dim") args.push_back(graph_->constant(one ? Any(last[0]) : Any(std::span(last)), at));
      else if (name == "normalized_shape") args.push_back(graph_->constant(Any(std::span(size)), at));
      else if (name == "keepdim") args.push_back(graph_->constant(Any(pick(0, 3) > 0), at));
      else if (name == "weight" || name == "bias") args.push_back(weight());
      else if (name == "dtype") args.push_back(graph_->constant(pick(0, 5) ? Any() : Any(DType::F32), at));
      else args.push_back(graph_->constant(schema.args[i].default_value, at));
    }
    return add(op, args);
  }
  bool add(const Op& op, const std::vector<Value*>& args) {
    Node* n = graph_->create_op(op, Graph::Point{graph_->main(), nullptr}, args);
    try {
      infer_types(*n);
      if (is_complex(n->output()->type.dtype)) fail("complex");
    } catch (const Error&) {
      n->destroy();
      return false;
    }
    values_.push_back(n->output());
    return true;
  }

  bool node() {
    const Op& op = *table_[static_cast<size_t>(pick(0, table_.size() - 1))];
    const Schema& schema = info(op).schema;
    std::vector<Value*> args;
    const Graph::Point at{graph_->main(), nullptr};
    for (size_t i = 0; i < schema.args.size(); i++) {
      const auto takes = [&](TypeKind kind) { return fits(Type(kind), schema.args[i].type); };
      const auto number = [&](double fraction) {
        const bool whole = !takes(TypeKind::Float) || pick(0, 1);
        return graph_->constant(whole ? Any(pick(1, 3)) : Any(fraction), at);
      };
      const bool stream = i < op.formula.streams;
      if (stream && (i == 0 || !takes(TypeKind::Int) || pick(0, 2))) {
        const int first = pick(0, 1) ? 0 : static_cast<int>(values_.size()) / 2;
        args.push_back(values_[static_cast<size_t>(pick(first, values_.size() - 1))]);
      } else if (!stream && schema.args[i].has_default && pick(0, 1)) {
        args.push_back(graph_->constant(schema.args[i].default_value, at));
      } else {
        args.push_back(number(stream ? 0.5 : 0.25));
      }
    }
    return add(op, args);
  }

  std::mt19937 random_;
  int64_t columns_ = 7;
  std::vector<Dim> full_;
  std::unique_ptr<Graph> graph_ = std::make_unique<Graph>();
  std::vector<const Op*> table_;
  std::vector<Value*> values_;
};

}  // namespace moka::testing_regions
