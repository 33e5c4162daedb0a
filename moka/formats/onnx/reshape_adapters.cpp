// Adapters of Reshape and Expand, by sizes that may be known only in part when the model is read.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Dim;
using graph::Value;

namespace {

// Which size -1 stands for, where the others cancel: fixed sizes and sizes of the input itself, or of its names.
std::optional<int64_t> inferred_size(NodeReader& n, const Wholes& target) {
  if (!spelling::has_rank(n[0])) return {};
  auto name_of = [](const Whole& w) -> std::string {
    const graph::Node* node = w.value->producer();
    const Any* d = node && node->kind == graph::NodeKind::Builtin && node->name == "size"
                       ? node->input(1)->constant()
                       : nullptr;
    const int rank = d ? spelling::rank(node->input(0)) : -1;
    if (rank < 0) return {};
    return node->input(0)->type.dims[static_cast<size_t>(wrapped(d->to_int(), rank, "dimension"))].symbol;
  };
  std::vector<std::string> names;
  int64_t has = 1, said = 1;
  for (const Dim& d : n[0]->type.dims) {
    if (d.fixed() ? __builtin_mul_overflow(has, d.size, &has) : d.symbol.empty()) return {};
    if (!d.fixed()) names.push_back(d.symbol);
  }
  int inferred = 0;
  for (const Whole& w : target) {
    if (w.fixed() && w.number == -1) inferred++;
    else if (w.fixed()) {
      if (__builtin_mul_overflow(said, w.number, &said)) return {};
    } else {
      const auto at = std::find(names.begin(), names.end(), name_of(w));
      if (at == names.end()) return {};
      names.erase(at);
    }
  }
  if (inferred != 1 || !names.empty() || said <= 0 || has % said) return {};
  return has / said;
}

// The elements of a shape where each is a number or made of sizes.
std::optional<Wholes> shape_elements(NodeReader& n, int input) {
  const auto* elements = n.has(input) ? n.build.elements(n[input]) : nullptr;
  if (!elements) return {};
  Wholes out;
  for (Value* v : *elements) {
    out.push_back(whole_of(v));
    if (!out.back().fixed() && !is_size(out.back())) return {};
  }
  return out;
}

// A shape of sizes and numbers. One size may stay open, as -1, so that types of later nodes know the others.
bool reshape_by_elements(NodeReader& n, Wholes target, bool zero_is_zero) {
  const int rank = spelling::rank(n[0]);
  size_t open = 0, place = 0;
  bool inferred = false, empty = false;
  for (size_t i = 0; i < target.size(); i++) {
    Whole& w = target[i];
    if (w.fixed() && w.number == 0 && !zero_is_zero) {
      MOKA_CHECK_KIND(File, rank < 0 || static_cast<int>(i) < rank, "a shape copies dimension ", i,
                      " of an input that has ", rank, " dimensions");
      w = size_of(n, n[0], static_cast<int64_t>(i));
    }
    if (!w.fixed()) {
      open++;
      place = i;
    }
    inferred |= w.fixed() && w.number == -1;
    empty |= w.fixed() && w.number == 0;
  }
  if (auto size = inferred ? inferred_size(n, target) : std::nullopt)
    for (Whole& w : target)
      if (w.fixed() && w.number == -1) {
        w = *size;
        inferred = false;
      }
  if (open == 1 && !inferred && !empty) target[place] = -1;
  Value* y = n.call("reshape", {n[0], list_of(n, target)});
  DType dtype;
  if (spelling::has_dtype(n[0], &dtype)) promise(y, dtype, target);
  n.out(y);
  return true;
}

// A size of 0 is that of the input at the same place.
bool running_reshape(NodeReader& n, bool zero_is_zero) {
  Value* sizes = n[1];
  const int rank = spelling::rank(n[0]);
  Dims count;
  const bool counted = spelling::fixed_sizes(sizes, count) && count.size() == 1;
  MOKA_CHECK_KIND(File, !counted || count[0] <= max_dims, "a shape of ", count[0], " sizes, at most ",
                  max_dims, " are possible");
  if (!zero_is_zero && rank >= 0 && counted) {
    sizes = n.call("to", {sizes, DType::I64});
    Value* own = n.call("shape", {n[0]});
    if (rank > count[0]) own = n.call("slice", {own, int64_t(0), int64_t(0), count[0]});
    else if (rank < count[0]) own = n.call("pad_constant", {own, Dims{0, count[0] - rank}, int64_t(0)});
    sizes = n.call("where", {n.call("eq", {sizes, int64_t(0)}), own, sizes});
  }
  Value* y = n.call("reshape", {n[0], n.builtin("ints", {sizes})});
  DType dtype;
  n.out(counted && spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, static_cast<int>(count[0])) : y);
  return true;
}

bool reshape(NodeReader& n) {
  std::optional<Dims> target = n.ints_of("shape", 1);
  const bool zero_is_zero = n.integer("allowzero", 0) != 0;
  if (!target) {
    if (auto elements = shape_elements(n, 1)) return reshape_by_elements(n, *elements, zero_is_zero);
    return running_reshape(n, zero_is_zero);
  }
  Value* x = n[0];
  int open = 0;
  for (size_t i = 0; i < target->size() && !zero_is_zero; i++) {
    if ((*target)[i] != 0) continue;
    MOKA_CHECK_KIND(File, spelling::rank(x) < 0 || static_cast<int>(i) < spelling::rank(x), "shape ",
                    std::span<const int64_t>(*target), " copies dimension ", i, " of an input that has ",
                    spelling::rank(x), " dimensions");
    if (spelling::has_rank(x) && x->type.dims[i].fixed()) (*target)[i] = x->type.dims[i].size;
    else open++;
  }
  const bool inferred = std::find(target->begin(), target->end(), -1) != target->end();
  Wholes said;
  for (int64_t d : *target)
    said.push_back(d == 0 && !zero_is_zero ? -1 : d);  // what is copied still is not known
  auto typed = [&](Value* y) {
    DType dtype;
    n.out(spelling::has_dtype(x, &dtype) ? promise(y, dtype, said) : y);
    return true;
  };
  if (open == 0) return typed(n.call("reshape", {x, *target}));
  // One open size is what -1 means, when the other sizes are all known.
  if (open == 1 && !inferred) {
    for (int64_t& d : *target)
      if (d == 0) d = -1;
    return typed(n.call("reshape", {x, *target}));
  }
  std::vector<Value*> pieces;
  for (size_t i = 0; i < target->size(); i++) {
    if ((*target)[i] == 0)
      pieces.push_back(n.builtin("size", {x, n.build.constant(Any(static_cast<int64_t>(i)))}));
    else pieces.push_back(n.build.constant(Any((*target)[i])));
  }
  Value* y = n.call("reshape", {x, n.list(pieces)});
  DType dtype;
  n.out(spelling::has_dtype(x, &dtype) ? promise(y, dtype, static_cast<int>(target->size())) : y);
  return true;
}

// How many elements a vector has; -1 when that is not known.
int64_t length_of(Value* vector) {
  Dims sizes;
  return spelling::fixed_sizes(vector, sizes) && sizes.size() == 1 ? sizes[0] : -1;
}

// Sizes as a vector, with as many in front as it takes to have `length`.
Value* lengthened(NodeReader& n, Value* sizes, int64_t has, int64_t length, int64_t fill) {
  if (has >= length) return sizes;
  return promise(n.call("pad_constant", {sizes, Dims{length - has, 0}, fill}), DType::I64,
                 Wholes{Whole(length)});
}

// A size of 1 is that of the other side.
bool running_expand(NodeReader& n) {
  const int rank = spelling::rank(n[0]);
  const int64_t wanted = length_of(n[1]), length = std::max<int64_t>(rank, wanted);
  if (rank < 0 || wanted < 0) {
    n.out(n.call("expand", {n[0], n.ints_argument(1)}));
    return true;
  }
  Value* own = lengthened(n, n.call("shape", {n[0]}), rank, length, 1);
  Value* target = lengthened(n, n.call("to", {n[1], DType::I64}), wanted, length, 1);
  Value* sizes = n.call("where", {n.call("eq", {target, int64_t(1)}), own, target});
  Value* y = n.call("expand", {n[0], n.builtin("ints", {sizes})});
  Wholes known(static_cast<size_t>(length), Whole(-1));  // a fixed size other than 1, of either side
  const auto* elements = n.build.elements(n[1]);
  for (int64_t i = 0; i < length; i++) {
    Whole& w = known[static_cast<size_t>(i)];
    if (elements && i >= length - wanted)
      w = whole_of((*elements)[static_cast<size_t>(i - (length - wanted))]);
    if (w.fixed() && w.number > 1) continue;
    w = i >= length - rank ? size_of(n, n[0], i - (length - rank)) : Whole(-1);
    if (w.fixed() && w.number == 1) w = -1;
  }
  DType dtype;
  n.out(spelling::has_dtype(n[0], &dtype) ? promise(y, dtype, known) : y);
  return true;
}

// ONNX broadcasts both ways; our expand keeps a size where it is told -1.
bool expand_by_elements(NodeReader& n, const Wholes& target) {
  const size_t rank = static_cast<size_t>(n.rank_of(0)), length = std::max(rank, target.size());
  Wholes out;
  for (size_t i = 0; i < length; i++) {
    const bool ours = i >= length - rank, theirs = i >= length - target.size();
    const Whole own = ours ? size_of(n, n[0], static_cast<int64_t>(i - (length - rank))) : Whole(1);
    const Whole said = theirs ? target[i - (length - target.size())] : Whole(1);
    const bool own_is_one = own.fixed() && own.number == 1;
    if (said.fixed() && said.number == 1) out.push_back(ours ? Whole(-1) : said);
    else if (said.fixed() || own_is_one) out.push_back(said);
    else if (own.fixed()) out.push_back(-1);
    else return false;  // either may be 1
  }
  Value* y = n.call("expand", {n[0], list_of(n, out)});
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  n.out(promise(y, dtype, static_cast<int>(length)));
  return true;
}

bool expand(NodeReader& n) {
  auto target = n.known_ints(1);
  if (!target) {
    auto elements = shape_elements(n, 1);
    return (elements && spelling::rank(n[0]) >= 0 && expand_by_elements(n, *elements)) || running_expand(n);
  }
  const int rank = n.rank_of(0), wanted = static_cast<int>(target->size());
  Dims size;
  for (int i = wanted; i < rank; i++) size.push_back(-1);
  for (int i = 0; i < wanted; i++) {
    const bool ours = i >= wanted - rank;
    size.push_back(ours && (*target)[static_cast<size_t>(i)] == 1 ? -1 : (*target)[static_cast<size_t>(i)]);
  }
  n.out(n.call("expand", {n[0], size}));
  return true;
}

constexpr Adapter table[] = {
    {"Reshape", 1, 0, reshape},
    {"Expand", 8, 0, expand},
};

}  // namespace

std::span<const Adapter> reshape_adapters() { return table; }

}  // namespace moka::onnx
