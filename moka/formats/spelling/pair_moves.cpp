// Operators that move elements of complex tensors: the same operator on the pair, its dimensions counted from the front.
// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "moka/formats/spelling/pairs.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Node;
using graph::NodeKind;
using graph::Value;

Argument counted(const PairRewriting& r, std::string_view arg, int rank) {
  Dims dims;
  if (const Any* c = r.constant(arg); c && c->is_none()) {
    dims.resize(static_cast<size_t>(rank));
    std::iota(dims.begin(), dims.end(), 0);
    return dims;
  }
  MOKA_CHECK_KIND(NotImplemented, r.ints(arg, dims) && rank >= 0, "its dimensions are not known");
  MOKA_CHECK_KIND(NotImplemented, !dims.empty(), "all dimensions together, with complex values");
  for (int64_t& d : dims) d = wrap(d, rank);
  return r.constant(arg)->tag() == Tag::Ints ? Argument(dims) : Argument(dims[0]);
}
Argument sizes_of(const PairRewriting& r, std::string_view arg) {
  Dims known;
  return r.ints(arg, known) ? Argument(known) : Argument(r[arg]);
}

namespace {

struct Moves {
  std::string_view op;
  std::string_view dims[2] = {};  // arguments that count dimensions
  std::string_view sizes = {};  // an argument that gets one element more: the size of a pair, or what follows
  enum class Last : uint8_t { Two, One, Rank } last = Last::Two;
  int further = 0;  // the result has so many dimensions more
};
constexpr Moves moves[] = {
    {"neg"},
    {"contiguous"},
    {"clone"},
    {"detach"},
    {"copy_"},
    {"resolve_conj"},
    {"squeeze"},
    {"index"},
    {"index_put"},
    {"zeros_like"},
    {"empty_like"},
    {"transpose", {"dim0", "dim1"}},
    {"select", {"dim"}},
    {"slice", {"dim"}},
    {"narrow", {"dim"}},
    {"split", {"dim"}},
    {"split_with_sizes", {"dim"}},
    {"chunk", {"dim"}},
    {"unbind", {"dim"}},
    {"cat", {"dim"}},
    {"stack", {"dim"}, {}, {}, 1},
    {"unsqueeze", {"dim"}, {}, {}, 1},
    {"squeeze.dim", {"dim"}},
    {"flip", {"dims"}},
    {"roll", {"dims"}},
    {"index_select", {"dim"}},
    {"slice_scatter", {"dim"}},
    {"select_scatter", {"dim"}},
    {"index_add", {"dim"}},
    {"flatten", {"start_dim", "end_dim"}},
    {"unflatten", {"dim"}},
    {"movedim", {"source", "destination"}},
    {"sum", {"dim"}},
    {"mean", {"dim"}},
    {"cumsum", {"dim"}},
    {"permute", {"dims"}, "dims", Moves::Last::Rank},
    {"reshape", {}, "shape"},
    {"view", {}, "size"},
    {"expand", {}, "size"},
    {"zeros", {}, "size"},
    {"empty", {}, "size"},
    {"new_zeros", {}, "size"},
    {"repeat", {}, "repeats", Moves::Last::One},
    {"tile", {}, "dims", Moves::Last::One},
};

Argument with_last(const PairRewriting& r, Argument given, int64_t last) {
  if (!given.slot.value) {
    Dims sizes = given.slot.constant.ints();
    sizes.push_back(last);
    return sizes;
  }
  const Node* list = given.slot.value->producer();
  MOKA_CHECK_KIND(NotImplemented, list && list->kind == NodeKind::List, "its sizes are not known one by one");
  std::vector<Value*> all(list->inputs().begin(), list->inputs().end());
  all.push_back(r.build.constant(Any(last)));
  return all;
}
// The node's operator with pairs for complex arguments, and some arguments given anew.
std::vector<Value*> again(const PairRewriting& r, std::map<std::string_view, Argument> given) {
  std::vector<Argument> args;
  const Schema& schema = info(*r.node.op).schema;
  for (size_t i = 0; i < schema.args.size(); i++) {
    Value* v = r.node.input(static_cast<int>(i));
    const std::string_view name = schema.args[i].name;
    const Node* list = v->producer();
    if (auto at = given.find(name); at != given.end()) {
      args.push_back(at->second);
    } else if (schema.args[i].type.kind == Kind::Tensor && schema.args[i].type.list && name != "indices" &&
               list && list->kind == NodeKind::List) {
      std::vector<Value*> elements;
      for (Value* e : list->inputs()) elements.push_back(r.pair(e));
      args.push_back(elements);
    } else if (r.complex(v) || name == "src" || name == "values" || name == "source") {
      args.push_back(r.pair(v));
    } else if (const Any* c = v->constant(); c && c->tag() == Tag::DType && is_complex(c->dtype())) {
      args.push_back(part_of(c->dtype()));
    } else {
      args.push_back(v);
    }
  }
  return r.build.call_all(r.node.op_name(), args);
}

std::vector<Value*> moved(const PairRewriting& r, const Moves& how) {
  std::map<std::string_view, Argument> given;
  int rank = -1;
  for (Value* v : r.node.inputs()) {
    const Node* list = v->producer();
    if (r.complex(v)) rank = std::max(rank, r.rank(v));
    else if (list && list->kind == NodeKind::List)
      for (Value* e : list->inputs())
        if (r.complex(e)) rank = std::max(rank, r.rank(e));
    if (rank >= 0) break;
  }
  for (std::string_view dim : how.dims)
    if (!dim.empty()) given.insert_or_assign(dim, counted(r, dim, rank + how.further));
  if (!how.sizes.empty()) {
    const auto at = given.find(how.sizes);
    const Argument sizes = at == given.end() ? sizes_of(r, how.sizes) : at->second;
    const int64_t last = how.last == Moves::Last::Two ? 2 : how.last == Moves::Last::One ? 1 : rank;
    given.insert_or_assign(how.sizes, with_last(r, sizes, last));
  }
  return again(r, std::move(given));
}

}  // namespace

std::vector<Value*> moved_pairs(const PairRewriting& r) {
  for (const Moves& how : moves)
    if (how.op == r.node.op_name()) return moved(r, how);
  return {};
}

}  // namespace moka::spelling
