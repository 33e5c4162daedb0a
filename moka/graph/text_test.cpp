// The text form: what is printed reads back and prints the same; what is wrong is refused with its line and column.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>

#include "moka/graph/builtins.h"
#include "moka/graph/contracts.h"
#include "moka/graph/graph.h"

namespace moka::graph {
namespace {

void same_shape(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void two_outputs(Frame& f) {
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
  f.output(1, f.tensor(0).sizes(), DType::I64);
}
constinit const Op unary_op{.schema = "test_unary(Tensor input) -> Tensor", .shape = same_shape};
constinit const Op pair_op{
    .schema = "test_pair(Tensor input, Tensor? other=None, float scale=1.0) -> (Tensor a, Tensor b)",
    .shape = two_outputs};
constinit const Op list_op{
    .schema = "test_list(Tensor[] tensors, int dim=0, int[] sizes=[1, 2], str mode='max') -> Tensor[]"};
constinit const Op random_op{
    .schema = "test_random(Tensor input) -> Tensor", .shape = same_shape, .effect = Effect::Random};
constinit const Op renamed_op{.schema = "test_renamed(Tensor input, int axis, bool keep=False) -> Tensor",
                              .shape = same_shape};

void register_test_ops() {
  static const Op* const table[] = {&unary_op, &pair_op, &list_op, &random_op, &renamed_op};
  register_ops(table, std::size(table));
}

class Text : public testing::Test {
 protected:
  void SetUp() override { register_test_ops(); }
};

std::string parse_error(std::string_view text, const TensorTable* table = nullptr, ParseLimits limits = {}) {
  try {
    verify(*parse(text, table, limits));
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

void expect_round_trip(const std::string& text) {
  std::unique_ptr<Graph> g = parse(text);
  verify(*g);
  EXPECT_EQ(print(*g), text);
  std::unique_ptr<Graph> copy = g->clone();
  verify(*copy);
  EXPECT_EQ(print(*copy), text);
}

TEST_F(Text, every_structural_node_reads_back) {
  expect_round_trip(R"(moka-ir 1
graph main(%x: float32[2, batch, ?], %n: int, %flag: bool) {
  metadata "producer" = "a \"quoted\" name\n\x01"
  state buffer written "count": int64[] = int64[] {0}
  state buffer "later": float32[...]
  state parameter "layer.weight": float32[2, 2] = float32[2, 2] {1.0, -0.5, 1e-45, inf}
  %0: int64[], %1: token = get "count"
  %2: token = set "count"(%0) after %1
  %y: float32[2, batch, ?] = test_unary(%x) label "first" at "model.py":12 in "layer1.0" {group = 3, layout = "nchw"}
  %"7": float32[2, batch, ?], %b: int64[2, batch, ?] = test_pair(%y, none, 0.5)
  %3: [float32[2, batch, ?]] = list(%y, %"7")
  %4: [tensor] = test_list(%3, 0, [1, 2], "max")
  %5: tensor, %6: tensor = unpack(%4)
  %7: (tensor, int) = tuple(%5, 3)
  %8: float32[2, batch, ?], %9: [int] = if %flag after %2 {
    %10: int = @add(%n, 1)
    yield %y, ints[]
  } else {
    %11: float32[2, batch, ?], %12: int = loop(%n, true, %y, 0) (%i: int, %c: float32[2, batch, ?], %k: int) {
      %13: float32[2, batch, ?] = test_unary(%c)
      %14: bool = @lt(%k, 5)
      yield %14, %13, %k
    }
    yield %11, [1, 2, 3]
  } label "choose"
  %15: token = join(%2)
  %16: float32[2, batch, ?], %17: token = test_random(%8) after %15
  %18: any = call "helper"(%16, "text")
  %19: int? = python "segment"(%18, float32, device "cpu", list[1, "two", none], floats[])
  %kept: float32[1] = constant float32[1] {2.0}
  return %18 as "result", %19, %kept, nan, -inf
}
)");
}

TEST_F(Text, results_without_types_are_inferred_and_arguments_may_be_named) {
  std::unique_ptr<Graph> g = parse(R"(moka-ir 1
# People may write less than the printer does.
graph main(%x: float32[4, n]) {
  %y = test_unary(input = %x)
  %a, %b = test_pair(%y, scale = 2.0)
  %n = @size(%a, 1)
  return %b, %n
})");
  verify(*g);
  EXPECT_EQ(g->outputs()[0]->type.text(), "int64[4, n]");
  EXPECT_EQ(g->outputs()[1]->type.text(), "int");
}

TEST_F(Text, tensors_above_the_limit_and_states_go_to_the_table) {
  Graph g;
  Tensor big = new_tensor(Dims{5, 5}, DType::F32), small = new_tensor(Dims{2}, DType::I32);
  std::memset(big.raw_data(), 0, big.bytes());
  std::memset(small.raw_data(), 0, small.bytes());
  Value* c = g.constant(Any(big), {g.main()});
  Value* d = g.constant(Any(big), {g.main()});
  Value* e = g.constant(Any(small), {g.main()});
  g.states["w"] = {"w", Any(small), type_of(Any(small)), true, false};
  g.states["tied"] = {"tied", Any(big), type_of(Any(big)), true, false};
  for (Value* v : {c, d, e}) g.add_output(v);
  TensorTable table;
  std::string text = print(g, &table);
  EXPECT_EQ(table.tensors.size(), 2u);
  EXPECT_NE(text.find("state parameter \"w\": int32[2] = int32[2] @\"w\""), std::string::npos) << text;
  std::unique_ptr<Graph> back = parse(text, &table);
  EXPECT_TRUE(back->states.at("tied").value.tensor() == big);
  EXPECT_TRUE(back->outputs()[1]->constant()->tensor() == big);
  EXPECT_EQ(back->outputs()[2]->constant()->tensor().dtype(), DType::I32);
  TensorTable again;
  EXPECT_EQ(print(*back, &again), text);
  EXPECT_NE(parse_error(text).find("are not in the text"), std::string::npos);
  table.tensors["tied"] = small;
  EXPECT_NE(parse_error(text, &table).find("float32[5, 5] in the text but int32[2] in the table"),
            std::string::npos);
}

TEST_F(Text, every_bit_of_a_number_survives) {
  Graph g;
  std::vector<double> values = {0.0, -0.0, 0.1, 1e300, 5e-324, std::numeric_limits<double>::max(), -1.0 / 3};
  uint64_t odd_nan = 0x7ff8000000000123u;
  double nan;
  std::memcpy(&nan, &odd_nan, sizeof nan);
  values.push_back(nan);
  g.add_output(g.constant(Any(std::span<const double>(values)), {g.main()}));
  Tensor t = new_tensor(Dims{3}, DType::F32);
  uint32_t bits[3] = {0x7fc00001u, 0x80000000u, 1u};
  std::memcpy(t.raw_data(), bits, sizeof bits);
  g.add_output(g.constant(Any(t), {g.main()}));
  Tensor u = new_tensor(Dims{2}, DType::U64);
  uint64_t large[2] = {~uint64_t(0), 7};
  std::memcpy(u.raw_data(), large, sizeof large);
  g.add_output(g.constant(Any(u), {g.main()}));
  g.add_output(g.constant(Any(std::numeric_limits<int64_t>::min()), {g.main()}));
  std::string text = print(g);
  std::unique_ptr<Graph> back = parse(text);
  auto floats = back->outputs()[0]->constant()->arg().as_floats();
  ASSERT_EQ(floats.size(), values.size());
  EXPECT_EQ(std::memcmp(floats.data(), values.data(), values.size() * sizeof(double)), 0);
  EXPECT_EQ(std::memcmp(back->outputs()[1]->constant()->tensor().raw_data(), bits, sizeof bits), 0);
  EXPECT_EQ(std::memcmp(back->outputs()[2]->constant()->tensor().raw_data(), large, sizeof large), 0);
  EXPECT_EQ(back->outputs()[3]->constant()->to_int(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(print(*back), text);
}

TEST_F(Text, contracts_of_older_files_are_upgraded) {
  // Version 1 was test_old(input, keep); version 2 put `axis` between them; version 3 renamed it.
  add_upgrader("test_old", 1, [](OldCall& call) {
    if (call.inputs.size() != 2) fail("test_old: takes 2 arguments in version 1, got ", call.inputs.size());
    call.inputs.insert(call.inputs.begin() + 1, call.graph.constant(Any(-1), call.at));
  });
  add_upgrader("test_old", 2, [](OldCall& call) { call.op = "test_renamed"; });
  for (const char* line : {"test_old(%x, true)", "test_old@1(%x, true)", "test_old@2(%x, -1, true)",
                           "test_renamed(%x, -1, true)"}) {
    std::unique_ptr<Graph> g =
        parse(cat("moka-ir 1 graph main(%x: float32[2]) { %y = ", line, " return %y }"));
    verify(*g);
    EXPECT_NE(print(*g).find("%y: float32[2] = test_renamed(%x, -1, true)"), std::string::npos) << print(*g);
  }
  EXPECT_NE(parse_error("moka-ir 1 graph main(%x: float32[2]) { %y = test_unary@9(%x) }")
                .find("knows versions up to 1"),
            std::string::npos);
}

TEST_F(Text, errors_name_line_and_column) {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"", "line 1, column 1: expected 'moka', found the end of the text"},
      {"moka-ir 2\n", "version 2 of the form; this release reads version 1"},
      {"moka-ir 1\ngraph main() {\n  return %x\n}", "line 3, column 10: value '%x' is not defined"},
      {"moka-ir 1\ngraph main() {\n  %y = nonsense(1)\n}",
       "line 3, column 8: there is no operator 'nonsense'"},
      {"moka-ir 1\ngraph main() {\n  %y = @nonsense(1)\n}",
       "line 3, column 8: there is no builtin '@nonsense'"},
      {"moka-ir 1\ngraph main(%x: float31[2]) {}", "line 2, column 16: 'float31' is not a type"},
      {"moka-ir 1\ngraph main(%x: float32) {}", "a tensor of any rank is float32[...]"},
      {"moka-ir 1\ngraph main(%x: int, %x: int) {}", "line 2, column 21: value '%x' is defined twice"},
      {"moka-ir 1\ngraph main(%x: float32[2]) {\n  %y = test_unary()\n}",
       "line 3, column 8: test_unary: argument 'input' is missing"},
      {"moka-ir 1\ngraph main(%x: float32[2]) {\n  %y = test_unary(%x, %x)\n}", "takes 1 arguments, got 2"},
      {"moka-ir 1\ngraph main(%x: float32[2]) {\n  %y = test_unary(inputs = %x)\n}",
       "has no argument 'inputs'"},
      {"moka-ir 1\ngraph main(%x: float32[2]) {\n  %y, %z, %a = test_unary(%x)\n}",
       "has 1 results, but 3 are named"},
      {"moka-ir 1\ngraph main(%x: float32[2]) {\n  %y, %z: token = test_unary(%x)\n}",
       "makes a token but has no effects"},
      {"moka-ir 1\ngraph main(%x: int) {\n  %y = test_unary(%x)\n}",
       "argument 'input' must be Tensor, got int"},
      {"moka-ir 1\ngraph main() {\n  %c = constant float32[3] {1.0}\n}", "has 3 elements, but 1 are written"},
      {"moka-ir 1\ngraph main() {\n  %c = constant float32[4611686018427387904, 8] {}\n}",
       "line 3, column 24"},
      {"moka-ir 1\ngraph main() {\n  %c = constant [1, 2.5]\n}",
       "line 3, column 21: a list in brackets holds integers or floats"},
      {"moka-ir 1\ngraph main() {\n  %c = constant 99999999999999999999\n}", "is not an integer of 64 bits"},
      {"moka-ir 1\ngraph main() {\n  %c = constant \"abc\n}", "line 3, column 17: this string does not end"},
      {"moka-ir 1\ngraph main() {\n  %c = constant object \"Generator\"\n}", "cannot be read from text"},
      {"moka-ir 1\ngraph main(%c: bool) {\n  %y: int = if %c {\n    %z = @add(1, 2)\n    yield %z\n  } else "
       "{\n    yield %z\n  }\n}",
       "line 7, column 11: value '%z' is not visible here"},
      {"moka-ir 1\ngraph main(%c: bool) {\n  %y: int = if %c {\n    yield 1\n  } else {\n  }\n}",
       "the else block yields 0 values, but the node has 1 results"},
      {"moka-ir 1\ngraph main(%c: bool) {\n  %y: int = loop(3, true, 1) (%i: int, %k: int) {\n    yield "
       "true\n  }\n}",
       "yields 1 values instead of 2"},
      {"moka-ir 1\ngraph main() {\n  %y = get \"nowhere\"\n}", "there is no state 'nowhere'"},
      {"moka-ir 1\ngraph main() {\n  %n = @add(1, 2) label \"sum\"\n}",
       "line 3, column 19: a builtin has a name, and no label beside it"},
      {"moka-ir 1\ngraph main() {\n  state buffer \"a\": int = 2.5\n}",
       "declared int but its value is float"},
      {"moka-ir 1\ngraph main() {\n  state buffer \"a\": int = 2\n  set \"a\"(3)\n}",
       "is not declared as written"},
  };
  for (const Case& c : cases)
    EXPECT_NE(parse_error(c.text).find(c.error), std::string::npos)
        << c.text << "\n-> " << parse_error(c.text);
}

TEST_F(Text, hostile_depth_and_size_are_refused) {
  std::string deep = "moka-ir 1\ngraph main(%x: ", lists, blocks = "moka-ir 1\ngraph main(%c: bool) {\n";
  for (int i = 0; i < 100000; i++) deep += "[";
  EXPECT_NE(parse_error(deep).find("nesting is deeper than the limit of 64"), std::string::npos);
  EXPECT_NE(parse_error("moka-ir 1\ngraph main(%x: int" + std::string(100000, '?')).find("too many '?'"),
            std::string::npos);
  lists = "moka-ir 1\ngraph main() { %c = constant ";
  for (int i = 0; i < 100000; i++) lists += "list[";
  EXPECT_NE(parse_error(lists).find("nesting is deeper"), std::string::npos);
  for (int i = 0; i < 100000; i++) blocks += "if %c {";
  EXPECT_NE(parse_error(blocks).find("nesting is deeper"), std::string::npos);
  ParseLimits few;
  few.values = 3;
  EXPECT_NE(
      parse_error("moka-ir 1 graph main() { return 1, 2, 3, 4 }", nullptr, few).find("more than 3 values"),
      std::string::npos);
  few = {};
  few.bytes = 10;
  EXPECT_NE(parse_error("moka-ir 1 graph main() {}", nullptr, few).find("more than the limit of 10"),
            std::string::npos);
}

TEST_F(Text, broken_texts_never_crash) {
  // Every prefix, and single characters changed: an error or a graph, never more.
  const std::string good = R"(moka-ir 1
graph main(%x: float32[2, n], %c: bool) {
  state buffer written "s": float32[2] = float32[2] {1.0, nan(0x7ff8000000000001)}
  %l: [any] = list(%x, %x)
  %o: float32[2, n] = if %c { %y = test_unary(%x) at "f":1 yield %y } else { %z, %t: token = test_random(%x) yield %z }
  %q, %k = loop(3, true, %o, [1, 2]) (%i: int, %v: float32[2, n], %w: [int]) { yield true, %v, %w }
  return %q as "q", x, device "cpu"
})";
  std::mt19937 random(7);
  int parsed = 0;
  for (size_t n = 0; n < good.size(); n++) parsed += parse_error(good.substr(0, n)) == "no error";
  const std::string alphabet = "%{}()[]:=,\"\\?@#-.0a \n\xff";
  for (int i = 0; i < 20000; i++) {
    std::string text = good;
    for (int k = 0; k < 1 + i % 3; k++) text[random() % text.size()] = alphabet[random() % alphabet.size()];
    std::string error = parse_error(text);
    parsed += error == "no error";
    EXPECT_EQ(error.find("internal error"), std::string::npos) << error << text;
  }
  EXPECT_GT(parsed, 0);
}

// ---- random graphs

class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : random_(seed), graph_(std::make_unique<Graph>("random")) {}

  std::unique_ptr<Graph> make() {
    for (int i = pick(3); i >= 0; i--) tensors_.push_back(graph_->add_input(name(), tensor_type()));
    flag_ = graph_->add_input(name(), TypeKind::Bool);
    for (int i = 0; i < 3; i++) {
      std::string key = cat("state ", i, i == 1 ? "\"" : "");
      graph_->states[key] = {key, pick(2) ? Any(tensor()) : Any(), Type::tensor(), pick(2) == 0, true};
      states_.push_back(key);
    }
    graph_->metadata["k\n"] = name();
    block(*graph_->main(), 0);
    for (int i = 0; i < 2; i++) graph_->add_output(any_tensor(), pick(2) ? name() : "");
    return std::move(graph_);
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  std::string name() {
    static const char* const names[] = {"",   "",          "x", "weight", "a.b.c",    "7",
                                        "if", "two words", "x", "\"",     "\xc3\xa4", "x_1"};
    return names[pick(std::size(names))];
  }
  Type tensor_type() {
    Type t = Type::tensor();
    if (pick(4)) {
      t.has_dtype = true;
      t.dtype = DType::F32;
    }
    t.has_dims = pick(3) != 0;
    for (int i = t.has_dims ? pick(4) : 0; i > 0; i--)
      t.dims.push_back(pick(2) ? Dim{pick(5), {}} : Dim{-1, pick(2) ? "n" : ""});
    return t;
  }
  Tensor tensor() {
    static constexpr DType types[] = {DType::F32, DType::F64,  DType::I64, DType::Bool,
                                      DType::F16, DType::BF16, DType::U8,  DType::C64};
    Tensor t = new_tensor(Dims{pick(3), pick(4)}, types[pick(std::size(types))]);
    for (size_t i = 0; i < t.bytes(); i++)
      t.data<unsigned char>()[i] = static_cast<unsigned char>(t.dtype() == DType::Bool ? pick(2) : pick(256));
    return t;
  }
  Any literal(int depth = 0) {
    switch (pick(depth > 3 ? 9 : 10)) {
      case 0: return {};
      case 1: return Any(pick(1000) - 500);
      case 2: return Any((pick(2000) - 1000) / 7.0);
      case 3: return Any(pick(2) == 0);
      case 4: return Any(name());
      case 5: return Any(pick(2) ? Dims{} : Dims{1, -2, 3});
      case 6: {
        std::vector<double> v(static_cast<size_t>(pick(3)), 0.1);
        return Any(std::span<const double>(v));
      }
      case 7: return Any(pick(2) ? DType::F16 : DType::I8);
      case 8: return Any(tensor());
      default: {
        std::vector<Any> items;
        for (int i = pick(3); i > 0; i--) items.push_back(literal(depth + 1));
        return Any(std::span<const Any>(items));
      }
    }
  }
  Value* any_tensor() { return tensors_[static_cast<size_t>(pick(static_cast<int>(tensors_.size())))]; }
  Value* keep(Value* v) {
    v->name = name();
    tensors_.push_back(v);
    return v;
  }
  void decorate(Node* n) {
    if (pick(3) == 0) n->source = {name(), pick(100), name()};
    if (pick(5) == 0) n->notes[name()] = literal();
    bool free_name = n->kind == NodeKind::Op || n->kind == NodeKind::If || n->kind == NodeKind::Loop ||
                     n->kind == NodeKind::Constant;
    if (pick(5) == 0 && free_name) n->name = name();
  }

  void block(Block& b, int depth) {
    size_t outside = tensors_.size();
    Graph::Point at{&b};
    for (int i = pick(6) + (depth == 0 ? 4 : 0); i > 0; i--) {
      Node* n = nullptr;
      switch (pick(depth < 4 ? 9 : 7)) {
        case 0: n = graph_->create_op(unary_op, at, std::array{any_tensor()}); break;
        case 1:
          n = graph_->create_op(pair_op, at,
                                std::array{any_tensor(), any_tensor(), graph_->constant(Any(0.5), at)});
          break;
        case 2: {
          n = graph_->create_op(random_op, at, std::array{any_tensor()});
          if (token_) n->add_input(token_);
          break;
        }
        case 3: n = graph_->constant(literal(), at)->producer(); break;
        case 4:
          n = graph_->create_named(NodeKind::Get, states_[static_cast<size_t>(pick(3))], at, {}, 1);
          break;
        case 5:
          n = graph_->create_named(NodeKind::Set, states_[static_cast<size_t>(pick(3))], at,
                                   std::array{any_tensor()}, 0);
          break;
        case 6: {
          Value* list =
              graph_->create(NodeKind::List, at, std::array{any_tensor(), any_tensor()}, 1)->output();
          list->type = Type::list(Type::tensor());
          n = graph_->create_op(
              list_op, at,
              std::array{list, graph_->constant(Any(pick(3)), at), graph_->constant(Any(Dims{}), at),
                         graph_->constant(Any(name()), at)});
          break;
        }
        case 7: {
          n = graph_->create(NodeKind::If, at, std::array{flag_}, 1);
          for (int k = 0; k < 2; k++) {
            Block* inner = n->add_block();
            block(*inner, depth + 1);
            inner->add_result(any_tensor());
          }
          break;
        }
        default: {
          n = graph_->create(NodeKind::Loop, at,
                             std::array{graph_->constant(Any(pick(9)), at), flag_, any_tensor()}, 1);
          Block* inner = n->add_block();
          inner->add_param(TypeKind::Int, name());
          Value* carried = inner->add_param({}, name());
          tensors_.push_back(carried);
          block(*inner, depth + 1);
          inner->add_result(flag_);
          inner->add_result(any_tensor());
          tensors_.erase(std::find(tensors_.begin(), tensors_.end(), carried));
        }
      }
      decorate(n);
      for (Value* v : n->outputs()) {
        if (v->type.kind == TypeKind::Any && n->kind != NodeKind::Get)
          v->type = pick(2) ? Type() : Type::tensor();
        if (n->kind == NodeKind::Constant || v->type.kind == TypeKind::List) v->name = name();
        else keep(v);
      }
    }
    tensors_.resize(outside);
  }

  std::mt19937 random_;
  std::unique_ptr<Graph> graph_;
  std::vector<Value*> tensors_;
  Value *flag_ = nullptr, *token_ = nullptr;
  std::vector<std::string> states_;
};

TEST_F(Text, random_graphs_print_parse_print_the_same) {
  size_t longest = 0;
  for (uint32_t seed = 0; seed < 2000; seed++) {
    std::unique_ptr<Graph> g = RandomGraph(seed).make();
    TensorTable table;
    bool with_table = seed % 2;
    std::string text = print(*g, with_table ? &table : nullptr);
    longest = std::max(longest, text.size());
    try {
      std::unique_ptr<Graph> back = parse(text, with_table ? &table : nullptr);
      TensorTable again;
      ASSERT_EQ(print(*back, with_table ? &again : nullptr), text) << "seed " << seed;
      verify(*g);
      verify(*back);
      ASSERT_EQ(print(*back->clone()), print(*back)) << "seed " << seed;
    } catch (const Error& e) {
      FAIL() << "seed " << seed << ": " << e.message() << "\n" << text;
    }
  }
  EXPECT_GT(longest, 2000u);
}

}  // namespace
}  // namespace moka::graph
