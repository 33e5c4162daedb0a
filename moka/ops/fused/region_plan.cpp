// Reading programs of regions, and planning them for types of inputs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "moka/graph/graph.h"
#include "moka/ops/fused/region.h"
#include "moka/ops/pointwise/tiles.h"
#include "moka/ops/pointwise/types.h"
#include "moka/ops/pointwise/walk.h"

namespace moka {

namespace {
constexpr size_t most_plans = 4096;

RegionProgram::Node read_node(const graph::Node& n,
                              const std::unordered_map<const graph::Value*, int>& values) {
  MOKA_CHECK(n.kind == graph::NodeKind::Op && n.op->formula, "fused_region: ", n.op_name(),
             " is no pointwise operator");
  const Formula& f = n.op->formula;
  MOKA_CHECK(n.data_inputs() == f.streams + f.uniforms, "fused_region: ", n.op_name(),
             " has arguments beside its operands");
  RegionProgram::Node out{n.op, {}};
  for (int i = 0; i < n.data_inputs(); i++) {
    const graph::Value* v = n.input(i);
    if (const Any* number = v->constant()) {
      MOKA_CHECK(number->arg().is_number(), "fused_region: ", *number, " is no number");
      out.operands.push_back({-1, *number});
      continue;
    }
    MOKA_CHECK(i < f.streams, "fused_region: ", n.op_name(), " takes numbers behind its operands");
    out.operands.push_back({values.at(v), Any()});
  }
  return out;
}

class RegionPlanner {
 public:
  RegionPlanner(const RegionProgram& program, std::span<const Tensor> inputs) : program_(program) {
    MOKA_CHECK(static_cast<int>(inputs.size()) == program.inputs, "fused_region: the program takes ",
               program.inputs, " tensors, got ", inputs.size());
    plan_->inputs = program.inputs;
    for (const Tensor& t : inputs) {
      MOKA_CHECK(t.defined(), "fused_region: every input must be a tensor");
      MOKA_CHECK_KIND(NotImplemented, is_real(t.dtype()), "fused_region: not defined for ", t.dtype());
      metas_.push_back(meta(t.dim() > 0, t.dtype()));
      values_.push_back(add({RegionPlan::Value::Input, t.dtype()}));
    }
  }

  std::shared_ptr<RegionPlan> make() {
    for (const RegionProgram::Node& n : program_.nodes) node(n);
    for (int r : program_.results) result(values_[static_cast<size_t>(r)]);
    MOKA_CHECK(plan_->values.size() <= most_region_values, "fused_region: a program has at most ",
               most_region_values, " values, numbers and conversions among them, got ", plan_->values.size());
    give_slots();
    for (const RegionPlan::Value& v : plan_->values)
      plan_->widest = std::max(plan_->widest, static_cast<int64_t>(item_size(v.dtype)));
    return plan_;
  }

 private:
  static bool is_real(DType d) {
    return (d == DType::Bool || is_integral(d) || is_floating(d)) && item_size(d) <= 8;
  }
  static Tensor meta(bool dims, DType dtype) {
    const int64_t one[] = {1};
    return shape_only(std::span<const int64_t>(one, dims ? 1 : 0), dtype);
  }
  int add(const RegionPlan::Value& v) {
    plan_->values.push_back(v);
    return static_cast<int>(plan_->values.size()) - 1;
  }

  int number(const Any& value, const FormulaPlan& types, bool wide) {
    RegionPlan::Value v{RegionPlan::Value::Number, types.compute};
    const bool narrow = is_integral(types.common) && is_integral(types.compute) && !wide;
    char bytes[16] = {};
    write_number(value, narrow ? types.common : types.compute, bytes);
    if (narrow) convert_elements(bytes, types.common, v.number, types.compute, 1);
    else std::memcpy(v.number, bytes, sizeof v.number);
    for (size_t i = 0; i < plan_->values.size(); i++) {
      const RegionPlan::Value& known = plan_->values[i];
      if (known.kind == v.kind && known.dtype == v.dtype &&
          !std::memcmp(known.number, v.number, sizeof v.number))
        return static_cast<int>(i);
    }
    return add(v);
  }

  int converted(int from, DType to) {
    if (plan_->values[static_cast<size_t>(from)].dtype == to) return from;
    auto [known, fresh] = converted_.try_emplace({from, to}, 0);
    if (!fresh) return known->second;
    RegionPlan::Step step;
    step.compute = to;
    step.operands = {from};
    step.result = add({RegionPlan::Value::Computed, to});
    plan_->steps.push_back(step);
    return known->second = step.result;
  }
  // Integers of another type take the operands' type before the wider one in which the formula computes.
  int operand(int from, const FormulaPlan& types) {
    if (is_integral(types.common) && is_integral(plan_->values[static_cast<size_t>(from)].dtype))
      from = converted(from, types.common);
    return converted(from, types.compute);
  }

  void node(const RegionProgram::Node& n) {
    const Formula& f = n.op->formula;
    const std::string_view name = info(*n.op).schema.name;
    Arg args[most_streams];
    bool dims = false, any = false;
    for (int k = 0; k < f.streams; k++) {
      const RegionProgram::Operand& o = n.operands[static_cast<size_t>(k)];
      if (o.value < 0) {
        args[k] = o.number.arg();
        continue;
      }
      const Tensor& t = metas_[static_cast<size_t>(o.value)];
      args[k] = t;
      dims = dims || t.dim() > 0;
      any = true;
    }
    MOKA_CHECK(any, "fused_region: ", name, " has no tensor among its operands");
    const FormulaPlan types = plan_types(*n.op, {args, f.streams}, name);
    MOKA_CHECK_KIND(NotImplemented, is_real(types.compute) && is_real(types.result), "fused_region: ", name,
                    " is not defined for ", types.result);
    RegionPlan::Step step;
    step.op = n.op;
    step.kernel = types.kernel;
    step.compute = types.compute;
    for (int k = 0; k < f.streams; k++) {
      const RegionProgram::Operand& o = n.operands[static_cast<size_t>(k)];
      step.operands.push_back(o.value < 0 ? number(o.number, types, f.wide_numbers)
                                          : operand(values_[static_cast<size_t>(o.value)], types));
    }
    const bool integral = types.compute == DType::I32 || types.compute == DType::I64;
    for (int u = 0; u < f.uniforms; u++) {
      const Arg& a = n.operands[static_cast<size_t>(f.streams + u)].number.arg();
      step.uniforms[u].f = a.as_double();
      if (integral) step.uniforms[u].i = a.as_int();
    }
    step.result = add({RegionPlan::Value::Computed, types.mask ? DType::Bool : types.written});
    plan_->cost += f.cost;
    plan_->steps.push_back(step);
    values_.push_back(converted(step.result, types.result));
    metas_.push_back(meta(dims, types.result));
  }

  // Every result is written by a step of its own; inputs and what is a result twice are copied.
  void result(int value) {
    if (plan_->values[static_cast<size_t>(value)].kind != RegionPlan::Value::Computed ||
        plan_->values[static_cast<size_t>(value)].result >= 0) {
      RegionPlan::Step step;
      step.compute = plan_->values[static_cast<size_t>(value)].dtype;
      step.operands = {value};
      value = step.result = add({RegionPlan::Value::Computed, step.compute});
      plan_->steps.push_back(step);
    }
    plan_->values[static_cast<size_t>(value)].result = static_cast<int>(plan_->results.size());
    plan_->results.push_back(value);
  }

  // Inputs and numbers keep their tiles; those of computed values are used again.
  void give_slots() {
    std::vector<size_t> last(plan_->values.size(), 0);
    for (size_t s = 0; s < plan_->steps.size(); s++)
      for (int o : plan_->steps[s].operands) last[static_cast<size_t>(o)] = s;
    for (RegionPlan::Value& v : plan_->values)
      if (v.kind != RegionPlan::Value::Computed) v.slot = plan_->slots++;
    std::vector<int> free;
    for (size_t s = 0; s < plan_->steps.size(); s++) {
      RegionPlan::Value& r = plan_->values[static_cast<size_t>(plan_->steps[s].result)];
      if (r.result < 0) {
        if (free.empty()) free.push_back(plan_->slots++);
        r.slot = free.back();
        free.pop_back();
      }
      std::vector<int> operands = plan_->steps[s].operands;
      std::sort(operands.begin(), operands.end());
      operands.erase(std::unique(operands.begin(), operands.end()), operands.end());
      for (int o : operands) {
        const RegionPlan::Value& v = plan_->values[static_cast<size_t>(o)];
        if (v.kind == RegionPlan::Value::Computed && v.slot >= 0 && last[static_cast<size_t>(o)] == s)
          free.push_back(v.slot);
      }
    }
  }

  const RegionProgram& program_;
  std::shared_ptr<RegionPlan> plan_ = std::make_shared<RegionPlan>();
  std::vector<int> values_;    // of the program -> of the plan
  std::vector<Tensor> metas_;  // of the program's values
  std::map<std::pair<int, DType>, int> converted_;
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};
using TypesKey = std::array<uint16_t, most_region_inputs>;
struct Known {
  RegionProgram program;
  std::vector<std::pair<TypesKey, std::shared_ptr<const RegionPlan>>> plans;  // by types
};
struct KnownRegions {
  std::shared_mutex mutex;
  std::unordered_map<std::string, Known, TextHash, std::equal_to<>> texts;
  size_t plans = 0;
};
KnownRegions& known_regions() {
  static KnownRegions* known = new KnownRegions;  // kernels may run until the process ends
  return *known;
}

TypesKey types_key(std::span<const Tensor> inputs) {
  TypesKey key{};
  for (size_t k = 0; k < inputs.size() && k < key.size(); k++)
    key[k] = static_cast<uint16_t>(static_cast<int>(inputs[k].dtype()) << 1 | (inputs[k].dim() > 0));
  return key;
}
}  // namespace

RegionProgram read_region(std::string_view text) {
  graph::ParseLimits limits;
  limits.bytes = 1 << 16;
  limits.values = 4096;
  const std::unique_ptr<graph::Graph> g = graph::parse(cat("moka-ir 1 graph region", text), nullptr, limits);
  RegionProgram out;
  out.inputs = static_cast<int>(g->inputs().size());
  MOKA_CHECK(out.inputs >= 1 && out.inputs <= most_region_inputs, "fused_region: a program takes 1 to ",
             most_region_inputs, " tensors, got ", out.inputs);
  std::unordered_map<const graph::Value*, int> values;
  for (graph::Value* v : g->inputs()) values.emplace(v, static_cast<int>(values.size()));
  for (const graph::Node* n : *g->main()) {
    if (n->kind == graph::NodeKind::Constant) continue;
    out.nodes.push_back(read_node(*n, values));
    values.emplace(n->output(), static_cast<int>(values.size()));
  }
  MOKA_CHECK(out.nodes.size() <= most_region_nodes, "fused_region: a program has at most ", most_region_nodes,
             " operators, got ", out.nodes.size());
  for (const graph::Value* v : g->outputs()) {
    const auto at = values.find(v);
    MOKA_CHECK(at != values.end(), "fused_region: a result must be computed");
    out.results.push_back(at->second);
  }
  MOKA_CHECK(!out.results.empty() && out.results.size() <= most_region_results,
             "fused_region: a program has 1 to ", most_region_results, " results, got ", out.results.size());
  return out;
}

std::shared_ptr<const RegionPlan> region_plan(std::string_view text, std::span<const Tensor> inputs) {
  KnownRegions& known = known_regions();
  const TypesKey key = types_key(inputs);
  {
    std::shared_lock lock(known.mutex);
    if (auto at = known.texts.find(text); at != known.texts.end())
      for (const auto& [types, plan] : at->second.plans)
        if (types == key && plan->inputs == static_cast<int>(inputs.size())) return plan;
  }
  RegionProgram program = read_region(text);
  std::shared_ptr<const RegionPlan> plan = RegionPlanner(program, inputs).make();
  std::unique_lock lock(known.mutex);
  if (known.plans++ >= most_plans) {
    known.texts.clear();
    known.plans = 1;
  }
  Known& entry = known.texts[std::string(text)];
  for (const auto& [types, other] : entry.plans)
    if (types == key) return other;  // another thread was first
  entry.plans.emplace_back(key, plan);
  return plan;
}

}  // namespace moka
