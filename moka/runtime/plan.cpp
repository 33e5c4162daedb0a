// Making plans: one walk over the graph makes registers and steps, finds which memory every value may show and how long
// each piece of it lives.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "moka/base/checked.h"
#include "moka/runtime/plan_internal.h"
#include "moka/schema/log.h"

namespace moka::runtime {

using namespace graph;

std::string node_place(const Node& n) {
  std::string out = cat("in ", n.op_name());
  if (!n.name.empty() && n.name != n.op_name()) out += cat(" '", n.name, "'");
  if (!n.source.scope.empty()) out += cat(" of ", n.source.scope);
  if (!n.source.file.empty()) {
    out += cat(" (", n.source.file);
    if (n.source.line) out += cat(":", n.source.line);
    out += ")";
  }
  return out;
}

namespace {
class Planner {
 public:
  Planner(const Graph& graph, const Analysis& analysis, const std::map<std::string, Any>& states,
          const Options& options)
      : graph_(graph), analysis_(analysis), states_(states), options_(options) {}

  Plan make() {
    for (Value* v : graph_.inputs()) plan_.main.params.push_back(add_register(v, Source::Input));
    region(*graph_.main(), plan_.main);
    position_++;
    for (Value* v : graph_.outputs()) {
      int r = register_of(v);
      plan_.main.results.push_back(r);
      escape(r);
      use(r);
    }
    add_drops(plan_.main);
    share_places();
    plan_.arena_bytes = plan_memory(plan_.roots);
    check_bytes();
    plan_.summary.arena_bytes = plan_.arena_bytes;
    return std::move(plan_);
  }

 private:
  // ---- registers

  int add_register(const Value* v, Source source) {
    int r = static_cast<int>(plan_.sources.size());
    plan_.sources.push_back(source);
    plan_.constants.emplace_back();
    plan_.aliases.emplace_back();
    if (v) registers_[v] = r;
    return r;
  }
  int constant_register(const Value* v, const Any& value) {
    int r = add_register(v, Source::Constant);
    plan_.constants[r] = value;
    return r;
  }
  // Constants, and what turned out to be one, get theirs where they are first used.
  int register_of(const Value* v) {
    auto it = registers_.find(v);
    if (it != registers_.end()) return it->second;
    if (v->type.kind == TypeKind::Token) return none_register();
    if (const Any* c = v->constant()) return constant_register(v, *c);
    const Meta& m = analysis_.meta(v);
    if (m.known && m.constant) return constant_register(v, m.value);
    fail_kind(ErrorKind::Internal, "plan: value '", v->name, "' is used before it is made");
  }
  int none_register() {
    if (none_ < 0) none_ = add_register(nullptr, Source::Constant);
    return none_;
  }
  bool is_constant(const Value* v) const {
    const Meta& m = analysis_.meta(v);
    return m.known && m.constant;
  }

  // ---- lives

  struct LoopScope {
    int start;
    std::vector<int> touched;
  };
  void touch(int root) {
    Root& r = plan_.roots[root];
    r.last = std::max(r.last, position_);
    // What comes from outside a loop is needed until its last iteration.
    for (LoopScope& loop : loops_)
      if (r.first < loop.start) loop.touched.push_back(root);
  }
  void use(int reg) {
    for (int root : plan_.aliases[reg]) touch(root);
  }
  void escape(int reg) {
    for (int root : plan_.aliases[reg]) plan_.roots[root].escapes = true;
  }
  void alias(int to, int from) {
    auto& list = plan_.aliases[to];
    for (int root : plan_.aliases[from])
      if (std::find(list.begin(), list.end(), root) == list.end()) list.push_back(root);
  }

  // ---- steps

  // Returns the registers that it or blocks inside it use.
  std::vector<int> region(const Block& block, Region& out) {
    std::vector<int> used;
    for (const Node* n : block) node(*n, out, used);
    return used;
  }

  void node(const Node& n, Region& out, std::vector<int>& used) {
    if (n.kind == NodeKind::Constant || n.kind == NodeKind::Join) return;
    bool all_constant = !n.has_effects() && n.data_outputs() > 0;
    for (int i = 0; i < n.data_outputs() && all_constant; i++) all_constant = is_constant(n.output(i));
    if (all_constant && n.kind != NodeKind::Op) return;
    if (n.kind == NodeKind::Get && !is_written(graph_, n.name)) {
      constant_register(n.output(0), constant_state(graph_, n.name, states_));
      return;
    }
    position_++;
    Step step;
    step.node = &n;
    step.position = position_;
    for (int i = 0; i < n.data_inputs(); i++) step.inputs.push_back(register_of(n.input(i)));
    for (int r : step.inputs) use(r);
    switch (n.kind) {
      case NodeKind::Op: op(n, step); break;
      case NodeKind::Builtin:
        step.builtin = &get_builtin(n.name);
        passing(StepKind::Builtin, n, step);
        break;
      case NodeKind::List: passing(StepKind::MakeList, n, step); break;
      case NodeKind::Tuple: passing(StepKind::MakeTuple, n, step); break;
      case NodeKind::Unpack: passing(StepKind::Unpack, n, step); break;
      case NodeKind::Get:
        step.kind = StepKind::Get;
        step.outputs.push_back(add_register(n.output(0), Source::Computed));
        break;
      case NodeKind::Set:
        step.kind = StepKind::Set;
        escape(step.inputs.at(0));
        break;
      case NodeKind::If: if_node(n, step); break;
      case NodeKind::Loop: loop(n, step); break;
      case NodeKind::Python:
        for (int r : step.inputs) escape(r);
        passing(StepKind::Python, n, step);
        break;
      default:
        fail("call of graph '", n.name,
             "': give the executable the whole program, so that the call can be inlined");
    }
    plan_.summary.steps++;
    plan_.summary.planned_steps += step.kind == StepKind::Planned;
    plan_.summary.views += step.kind == StepKind::View;
    used.insert(used.end(), step.inputs.begin(), step.inputs.end());
    used.insert(used.end(), inner_used_.begin(), inner_used_.end());
    step_used_[{&out, out.steps.size()}] = std::move(inner_used_);
    inner_used_.clear();
    out.steps.push_back(std::move(step));
  }

  // Results may show memory of the inputs.
  void passing(StepKind kind, const Node& n, Step& step) {
    step.kind = kind;
    for (int i = 0; i < n.data_outputs(); i++) {
      int r = add_register(n.output(i), Source::Computed);
      step.outputs.push_back(r);
      for (int in : step.inputs) alias(r, in);
    }
  }

  void op(const Node& n, Step& step) {
    auto results = analysis_.results.find(&n);
    bool inferred = results != analysis_.results.end();
    if (n.op->view || n.op->body || !inferred)
      return passing(n.op->view ? StepKind::View : StepKind::Dynamic, n, step);
    step.kind = StepKind::Planned;
    bool list = info(*n.op).schema.outs.size() == 1 && info(*n.op).schema.outs[0].type.list;
    for (int i = 0; i < n.data_outputs(); i++)
      step.outputs.push_back(add_register(n.output(i), Source::Computed));
    for (size_t i = 0; i < results->second.size(); i++) {
      const Tensor& t = results->second[i];
      Root root;
      root.bytes = checked_mul(t.numel(), static_cast<int64_t>(item_size(t.dtype())), "plan");
      root.planned = true;
      root.first = root.last = position_;
      plan_.roots.push_back(root);
      OutputSpec spec{Dims(t.sizes()), t.dtype(), static_cast<int>(plan_.roots.size()) - 1};
      plan_.aliases[step.outputs[list ? 0 : i]].push_back(spec.root);
      step.specs.push_back(std::move(spec));
    }
    for (size_t i = 0; i < step.outputs.size() && !list; i++) root_of_[step.outputs[i]] = step.specs[i].root;
    if (n.op->formula) {
      for (size_t i = 0; i < step.inputs.size(); i++) note_overwrite(n, step, i);
    } else if (const int addend = info(*n.op).schema.find_arg("addend"); addend >= 0) {
      note_overwrite(n, step, static_cast<size_t>(addend));
    }
  }

  // A formula may write over an operand of the same layout that nothing reads later, and so may an operator over what it
  // adds to its result; whether that is so is known when the whole graph has been seen.
  struct Candidate {
    int root, over, position;
  };
  void note_overwrite(const Node& n, const Step& step, size_t i) {
    auto whole = root_of_.find(step.inputs[i]);
    if (whole == root_of_.end()) return;
    if (!same_shape(analysis_.meta(n.input(static_cast<int>(i))).value, analysis_.meta(n.output()).value))
      return;
    int64_t shown = 0;
    for (int other : step.inputs)
      shown += std::count(plan_.aliases[other].begin(), plan_.aliases[other].end(), whole->second);
    if (shown == 1) candidates_.push_back({step.specs[0].root, whole->second, position_});
  }

  void share_places() {
    for (const Candidate& c : candidates_) {
      Root &root = plan_.roots[c.root], &over = plan_.roots[c.over];
      if (root.same_place_as >= 0 || root.escapes || over.escapes || over.last != c.position) continue;
      root.same_place_as = over.same_place_as >= 0 ? over.same_place_as : c.over;
    }
  }

  void if_node(const Node& n, Step& step) {
    step.kind = StepKind::If;
    step.regions.resize(2);
    std::vector<int> used;
    const Meta& condition = analysis_.meta(n.input(0));
    bool decided = condition.known && condition.constant && condition.value.arg().is_number();
    for (int b = 0; b < 2; b++) {
      Region& r = step.regions[b];
      if (decided && condition.value.to_bool() != (b == 0)) {
        r.results.assign(n.outputs().size(), none_register());
        continue;
      }
      std::vector<int> inside = region(*n.block(b), r);
      position_++;
      for (Value* v : n.block(b)->results()) {
        r.results.push_back(register_of(v));
        use(r.results.back());
      }
      add_drops(r);
      used.insert(used.end(), inside.begin(), inside.end());
      used.insert(used.end(), r.results.begin(), r.results.end());
    }
    position_++;
    for (size_t i = 0; i < n.outputs().size(); i++) {
      int out = add_register(n.outputs()[i], Source::Computed);
      step.outputs.push_back(out);
      for (const Region& r : step.regions) alias(out, r.results[i]);
    }
    inner_used_ = std::move(used);
  }

  void loop(const Node& n, Step& step) {
    step.kind = StepKind::Loop;
    const Block& body = *n.block(0);
    step.regions.resize(1);
    Region& r = step.regions[0];
    int start = position_;
    loops_.push_back({start, {}});
    for (size_t i = 0; i < body.params().size(); i++) {
      r.params.push_back(add_register(body.params()[i], Source::Computed));
      if (i > 0) alias(r.params[i], step.inputs[i + 1]);
    }
    std::vector<int> used = region(body, r);
    position_++;
    for (Value* v : body.results()) {
      r.results.push_back(register_of(v));
      use(r.results.back());
    }
    add_drops(r);
    position_++;
    std::vector<int> touched = std::move(loops_.back().touched);
    loops_.pop_back();
    for (int root : touched) plan_.roots[root].last = std::max(plan_.roots[root].last, position_);
    for (size_t i = 0; i < n.outputs().size(); i++) {
      int yielded = r.results[i + 1];
      // The next iteration reads what this one made while it writes its own.
      for (int root : plan_.aliases[yielded])
        if (plan_.roots[root].first > start) plan_.roots[root].escapes = true;
      int out = add_register(n.outputs()[i], Source::Computed);
      step.outputs.push_back(out);
      alias(out, step.inputs[i + 2]);
      alias(out, yielded);
    }
    used.insert(used.end(), r.results.begin(), r.results.end());
    inner_used_ = std::move(used);
  }

  // Registers that are made in a region go after the last step of the region that needs them.
  void add_drops(Region& region) {
    std::unordered_set<int> made(region.params.begin(), region.params.end());
    for (const Step& s : region.steps) made.insert(s.outputs.begin(), s.outputs.end());
    std::unordered_set<int> needed(region.results.begin(), region.results.end());
    for (size_t i = region.steps.size(); i-- > 0;) {
      Step& s = region.steps[i];
      auto drop = [&](int r) {
        if (made.count(r) && needed.insert(r).second) s.drops.push_back(r);
      };
      for (int r : s.outputs) drop(r);
      for (int r : s.inputs) drop(r);
      auto inside = step_used_.find({&region, i});
      if (inside == step_used_.end()) continue;
      for (int r : inside->second) drop(r);
      step_used_.erase(inside);
    }
  }

  void check_bytes() {
    int64_t escaping = 0;
    for (const Root& r : plan_.roots) {
      if (r.escapes) escaping = checked_add(escaping, r.bytes, "plan");
      plan_.summary.tensor_bytes = checked_add(plan_.summary.tensor_bytes, r.escapes ? 0 : r.bytes, "plan");
    }
    int64_t needed = checked_add(plan_.arena_bytes, escaping, "plan");
    if (options_.max_bytes > 0 && needed > options_.max_bytes)
      fail_kind(ErrorKind::OutOfMemory, "plan: running graph '", graph_.name, "' with these inputs needs ",
                needed, " bytes for results and intermediates, more than the limit of ", options_.max_bytes,
                "; raise max_bytes or use a smaller batch");
  }

  struct PairHash {
    size_t operator()(const std::pair<const Region*, size_t>& p) const {
      return std::hash<const void*>()(p.first) * 31 + p.second;
    }
  };

  const Graph& graph_;
  const Analysis& analysis_;
  const std::map<std::string, Any>& states_;
  const Options& options_;
  Plan plan_;
  int position_ = 0, none_ = -1;
  std::unordered_map<const Value*, int> registers_;
  std::unordered_map<int, int> root_of_;  // registers that are the whole of a root
  std::vector<LoopScope> loops_;
  std::vector<Candidate> candidates_;
  std::vector<int> inner_used_;
  std::unordered_map<std::pair<const Region*, size_t>, std::vector<int>, PairHash> step_used_;
};
std::atomic<RegionCompiler> region_compiler{nullptr};

void collect_regions(const Region& region, const Analysis& analysis, std::vector<RegionUse>& out) {
  for (const Step& s : region.steps) {
    for (const Region& inner : s.regions) collect_regions(inner, analysis, out);
    if (s.kind == StepKind::Planned &&
        (s.node->op_name() == "fused_region" || s.node->op_name() == "fused_region_all"))
      out.push_back(
          {analysis.meta(s.node->input(1)).value.string(), analysis.meta(s.node->input(0)).value.tensors()});
  }
}
}  // namespace

void set_region_compiler(RegionCompiler compiler) { region_compiler = compiler; }

Plan make_plan(const Graph& graph, std::span<const Any> inputs, const std::map<std::string, Any>& states,
               const Options& options) {
  Analysis analysis = analyze(graph, inputs, states);
  Plan plan = Planner(graph, analysis, states, options).make();
  if (const RegionCompiler compile = region_compiler.load()) {
    std::vector<RegionUse> regions;
    collect_regions(plan.main, analysis, regions);
    if (!regions.empty()) compile(regions);
  }
  if (log_enabled(Log::Plan))
    log_line(Log::Plan,
             cat("graph '", graph.name, "': ", plan.summary.steps, " steps, ", plan.summary.planned_steps,
                 " planned, ", plan.summary.views, " views, arena ", plan.summary.arena_bytes, " bytes for ",
                 plan.summary.tensor_bytes, " bytes of tensors"));
  return plan;
}

}  // namespace moka::runtime
