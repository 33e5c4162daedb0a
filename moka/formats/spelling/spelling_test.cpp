// The mapping language: what parses, what reading and writing make of it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "moka/formats/spelling/builder.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/table.h"
#include "moka/ops/all.h"
#include "moka/schema/frame.h"

namespace moka::spelling {
namespace {

using graph::Graph;
using graph::Type;
using graph::Value;

class Spelling : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

std::string error_of(
    std::string_view text,
    std::string_view schema = "f(Tensor x, int[2] k=1, float a=0.5, Tensor? b=None) -> Tensor") {
  try {
    parse_mapping(text, parse_schema(schema));
  } catch (const Error& e) {
    return e.message();
  }
  return {};
}

TEST_F(Spelling, EveryMappingOfEveryOperatorParses) {
  for (Dialect d : {Dialect::Onnx, Dialect::NetDef})
    for (const std::string& problem : Table::of(d).problems()) ADD_FAILURE() << problem;
}

TEST_F(Spelling, TakesWhatTheGrammarHas) {
  const Schema schema = parse_schema("f(Tensor x, int[2] k=1, float a=0.5, Tensor? b=None) -> Tensor");
  const Mapping m = parse_mapping(
      "F(x, _, b, pads=begin_end(k), alpha=a ?? 0.25, mode='max', n?=[1, 2], =rank(x):2, =a:1.5)", schema);
  EXPECT_EQ(m.op, "F");
  ASSERT_EQ(m.items.size(), 9u);
  EXPECT_EQ(m.items[1].role, Item::Missing);
  EXPECT_NE(m.items[3].binding.conversion, nullptr);
  EXPECT_TRUE(m.items[4].has_absent);
  EXPECT_EQ(m.items[5].binding.literal.string(), "max");
  EXPECT_TRUE(m.items[6].optional);
  EXPECT_NE(m.items[7].predicate, nullptr);
  EXPECT_EQ(m.items[8].role, Item::Condition);
}

TEST_F(Spelling, SaysWhatDoesNotParse) {
  EXPECT_NE(error_of("F(y)").find("no argument 'y'"), std::string::npos);
  EXPECT_NE(error_of("F(x").find("')' was expected"), std::string::npos);
  EXPECT_NE(error_of("F(pads=nonsense(k))").find("no conversion 'nonsense'"), std::string::npos);
  EXPECT_NE(error_of("F(a=0.5, x)").find("inputs stand before attributes"), std::string::npos);
  EXPECT_NE(error_of("F(x, m='open)").find("no closing quote"), std::string::npos);
  EXPECT_NE(error_of("F(x) and more").find("the end was expected"), std::string::npos);
}

// A graph with one float32[2, 3] input, and a builder at its end.
struct Sheet {
  Graph graph;
  Builder build{graph, {graph.main()}};
  Value* x = graph.add_input("x", Type::tensor(DType::F32, Dims{2, 3}));

  std::string read(ForeignNode node, Match& out, std::string_view op) {
    std::string why;
    for (const Row* row : Table::of(Dialect::Onnx).named(node.op, "", 18))
      if (info(*row->op).schema.name == op && read_row(*row, Dialect::Onnx, node, build, out, why)) return "";
    return why.empty() ? "no row" : why;
  }
};

TEST_F(Spelling, ReadsAttributesIntoArguments) {
  Sheet s;
  Match match;
  ForeignNode node{"", "LeakyRelu", "", {s.x}, {{"alpha", Any(0.25)}}, 1};
  ASSERT_EQ(s.read(node, match, "leaky_relu"), "");
  EXPECT_EQ(match.slots[0].value, s.x);
  EXPECT_EQ(match.slots[1].constant.to_double(), 0.25);
  node.attributes.clear();
  ASSERT_EQ(s.read(node, match, "leaky_relu"), "");
  EXPECT_EQ(match.slots[1].constant.to_double(), 0.01);
}

TEST_F(Spelling, RefusesWhatTheRowDoesNotSay) {
  Sheet s;
  Match match;
  EXPECT_NE(s.read({"", "Relu", "", {s.x}, {{"beta", Any(1.0)}}, 1}, match, "relu")
                .find("attribute 'beta' is not known"),
            std::string::npos);
  EXPECT_NE(s.read({"", "Relu", "", {s.x, s.x}, {}, 1}, match, "relu").find("one too many"),
            std::string::npos);
  EXPECT_NE(s.read({"", "Relu", "", {nullptr}, {}, 1}, match, "relu").find("is missing"), std::string::npos);
  EXPECT_NE(s.read({"", "LeakyRelu", "", {s.x}, {{"alpha", Any("x")}}, 1}, match, "leaky_relu")
                .find("does not fit"),
            std::string::npos);
}

TEST_F(Spelling, WritesWhatItReads) {
  Sheet s;
  Value* y = s.build.call("leaky_relu", {s.x, 0.125});
  const Row* row = Table::of(Dialect::Onnx).of_op(get_op("leaky_relu"), 18).at(0);
  WrittenNode out;
  std::string why;
  ASSERT_TRUE(write_row(*row, Dialect::Onnx, *y->producer(), out, why)) << why;
  EXPECT_EQ(out.op, "LeakyRelu");
  ASSERT_EQ(out.attributes.size(), 1u);
  EXPECT_EQ(out.attributes[0].value.to_double(), 0.125);
}

TEST_F(Spelling, WritesNumbersAsTensorsOfTheOperandsType) {
  Sheet s;
  Value* y = s.build.call("add", {s.x, int64_t(2)});
  WrittenNode out;
  std::string why;
  ASSERT_TRUE(write_row(*Table::of(Dialect::Onnx).of_op(get_op("add"), 18).at(0), Dialect::Onnx,
                        *y->producer(), out, why))
      << why;
  ASSERT_EQ(out.inputs.size(), 2u);
  EXPECT_EQ(out.inputs[1].constant.tensor().dtype(), DType::F32);
}

TEST_F(Spelling, ComputesConstantsWhileReading) {
  Sheet s;
  Value* sum = s.build.call("add", {Any(ints_tensor(Dims{1, 2})), Any(ints_tensor(Dims{3, 4}))});
  const Any* known = s.build.known(sum);
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(element_as_int(known->tensor(), 1), 6);
}

TEST_F(Spelling, BuildsWithTypes) {
  Sheet s;
  Value* y = s.build.call("permute", {s.x, Dims{1, 0}});
  EXPECT_EQ(y->type, Type::tensor(DType::F32, Dims{3, 2}));
}

TEST_F(Spelling, FindsNearNames) {
  const std::vector<std::string> near = Table::of(Dialect::Onnx).near("Rleu");
  EXPECT_NE(std::find(near.begin(), near.end(), "Relu"), near.end());
}

TEST_F(Spelling, ElementTypeCodesGoBothWays) {
  for (Dialect d : {Dialect::Onnx, Dialect::NetDef})
    for (int i = 0; i < static_cast<int>(DType::BuiltinCount); i++) {
      const int code = dtype_code(d, static_cast<DType>(i));
      if (!code) continue;
      DType back;
      ASSERT_TRUE(find_dtype_code(d, code, back));
      EXPECT_EQ(back, static_cast<DType>(i));
    }
}

}  // namespace
}  // namespace moka::spelling
