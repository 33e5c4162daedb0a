// Pure nodes that compute the same from the same become one. After fold_constants there is less to compare.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <unordered_map>

#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
class Sharer {
 public:
  explicit Sharer(Graph& graph) : graph_(graph) {}
  int shared = 0;

  void block(Block& b) {
    std::vector<std::string> mine;
    for (Node* n : b) {
      for (const auto& inner : n->blocks()) block(*inner);
      std::string key = key_of(*n);
      if (key.empty()) continue;
      auto [at, fresh] = seen_.emplace(key, n);
      if (fresh) {
        mine.push_back(std::move(key));
        continue;
      }
      Node* first = at->second;
      for (size_t i = 0; i < n->outputs().size(); i++) {
        Value *mine_value = n->outputs()[i], *other = first->outputs()[i];
        if (other->name.empty()) other->name = mine_value->name;
        if (!(other->type == mine_value->type) && fits(mine_value->type, other->type) &&
            other->type.kind == TypeKind::Tensor && !other->type.has_dims)
          other->type = mine_value->type;
        mine_value->replace_all_uses_with(other);
      }
      shared += n->kind != NodeKind::Constant;  // constants are always many
      n->destroy();
    }
    for (const std::string& k : mine) seen_.erase(k);  // what a block makes is not seen outside
  }

 private:
  static void append_number(std::string& out, uint64_t n) {
    out.append(reinterpret_cast<const char*>(&n), sizeof n);
  }

  static bool append_constant(std::string& out, const Any& a) {
    out += static_cast<char>(a.tag());
    switch (a.tag()) {
      case Tag::None: break;
      case Tag::Int: append_number(out, static_cast<uint64_t>(a.to_int())); break;
      case Tag::Float: {
        double d = a.to_double();  // by bits: 0.0 and -0.0 differ
        append_number(out, std::bit_cast<uint64_t>(d));
        break;
      }
      case Tag::Bool: out += a.to_bool() ? 't' : 'f'; break;
      case Tag::DType: out += static_cast<char>(a.dtype()); break;
      case Tag::String:
        append_number(out, a.string().size());
        out += a.string();
        break;
      case Tag::Ints:
        append_number(out, a.ints().size());
        for (int64_t i : a.ints()) append_number(out, static_cast<uint64_t>(i));
        break;
      case Tag::Tensor: append_number(out, reinterpret_cast<uintptr_t>(a.tensor().impl())); break;
      default: return false;
    }
    return true;
  }

  // Empty: this node is not shared.
  static std::string key_of(const Node& n) {
    std::string key;
    switch (n.kind) {
      case NodeKind::Constant: key = "c"; return append_constant(key, n.constant) ? key : "";
      case NodeKind::Op:
        if (n.op->effect != Effect::Pure) return "";
        key = "o";
        append_number(key, reinterpret_cast<uintptr_t>(n.op));
        break;
      case NodeKind::Builtin:
        key = "b" + n.name;
        key += '\0';
        break;
      case NodeKind::List: key = "l"; break;
      case NodeKind::Tuple: key = "t"; break;
      case NodeKind::Unpack: key = "u"; break;
      default: return "";
    }
    append_number(key, n.outputs().size());
    for (const Value* v : n.inputs()) append_number(key, reinterpret_cast<uintptr_t>(v));
    return key;
  }

  Graph& graph_;
  std::unordered_map<std::string, Node*> seen_;
};
}  // namespace

int share_common(Graph& graph) {
  Sharer s(graph);
  s.block(*graph.main());
  return s.shared;
}

}  // namespace moka::passes
