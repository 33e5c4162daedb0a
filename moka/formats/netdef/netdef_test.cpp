// NetDef in and out without running: round trips, fills, blobs written twice, hostile bytes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/netdef/netdef.h"

#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>

#include "moka/formats/spelling/builder.h"
#include "moka/ops/all.h"

namespace moka::netdef {
namespace {

using graph::Graph;
using graph::Type;
using graph::Value;
using protozero::pbf_writer;

class NetDefTest : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

std::unique_ptr<Graph> small_network() {
  auto g = std::make_unique<Graph>("net");
  Value* x = g->add_input("data", Type::tensor(DType::F32, Dims{2, 3, 8, 8}));
  spelling::Builder build(*g, {g->main()});
  auto state = [&](const char* name, Dims sizes) {
    Tensor t = new_tensor(sizes, DType::F32);
    for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = 0.25f * static_cast<float>(i % 7);
    g->states[name] = {name, Any(t), Type::tensor(DType::F32, sizes), true, false};
    graph::Node* get = g->create_named(graph::NodeKind::Get, name, build.at, {}, 1);
    get->output()->type = g->states[name].type;
    return get->output();
  };
  using spelling::named;
  Value* y = build.call("conv2d", {x, state("conv.weight", {4, 3, 3, 3}), state("conv.bias", {4}),
                                   named("padding", Dims{1, 1})});
  y = build.call("max_pool2d", {build.call("relu", {y}), Dims{2, 2}});
  y = build.call("flatten", {y, int64_t(1), int64_t(-1)});
  y = build.call("linear", {y, state("fc.weight", {5, 64}), state("fc.bias", {5})});
  g->add_output(build.call("softmax", {y, int64_t(1)}), "scores");
  return g;
}

std::unique_ptr<Graph> load_pair(const Pair& pair, const LoadOptions& options = {}) {
  return load(Bytes::copy(pair.init_net), Bytes::copy(pair.predict_net), options);
}

int count(const Graph& g, std::string_view op) {
  int n = 0;
  for (graph::Node* node : *g.main()) n += node->op_name() == op;
  return n;
}

TEST_F(NetDefTest, ANetworkComesBack) {
  LoadOptions options;
  options.inputs["data"] = Type::tensor(DType::F32, Dims{2, 3, 8, 8});
  const auto back = load_pair(save(*small_network()), options);
  graph::verify(*back);
  for (const char* op : {"conv2d", "relu", "max_pool2d", "linear", "softmax"})
    EXPECT_EQ(count(*back, op), 1) << op;
  EXPECT_EQ(back->inputs()[0]->name, "data");
  EXPECT_EQ(back->output_names, std::vector<std::string>{"scores"});
  EXPECT_EQ(back->outputs()[0]->type, Type::tensor(DType::F32, Dims{2, 5}));
  const Tensor was = small_network()->states.at("fc.weight").value.tensor(),
               is = back->states.at("fc.weight").value.tensor();
  for (int64_t i = 0; i < was.numel(); i++) ASSERT_EQ(element_as_double(is, i), element_as_double(was, i));
}

TEST_F(NetDefTest, InputsNeedNoTypes) {
  const auto back = load_pair(save(*small_network()));
  EXPECT_EQ(count(*back, "conv2d"), 1);
}

TEST_F(NetDefTest, EveryCutOffPairIsAClearError) {
  const Pair whole = save(*small_network());
  for (size_t n = 0; n < whole.predict_net.size(); n++) {
    try {
      load_pair({whole.init_net, whole.predict_net.substr(0, n)});
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::Internal) << e.message();
    }
  }
  for (size_t n = 0; n < whole.init_net.size(); n++) {
    try {
      load_pair({whole.init_net.substr(0, n), whole.predict_net});
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::Internal) << e.message();
    }
  }
}

struct Op {
  const char* type;
  std::vector<std::string> inputs, outputs;
  std::vector<std::pair<std::string, int64_t>> args;
};
std::string net(const std::vector<Op>& ops, const std::vector<std::string>& inputs,
                const std::vector<std::string>& outputs) {
  std::string out;
  pbf_writer w(out);
  for (const Op& o : ops) {
    pbf_writer op(w, 2);
    for (const std::string& i : o.inputs) op.add_string(1, i);
    for (const std::string& i : o.outputs) op.add_string(2, i);
    op.add_string(4, o.type);
    for (const auto& [name, value] : o.args) {
      pbf_writer arg(op, 5);
      arg.add_string(1, name);
      arg.add_int64(3, value);
    }
  }
  for (const std::string& i : inputs) w.add_string(7, i);
  for (const std::string& o : outputs) w.add_string(8, o);
  return out;
}

TEST_F(NetDefTest, ABlobWrittenInPlaceIsANewValue) {
  const auto g =
      load_pair({"", net({{"Relu", {"x"}, {"x"}, {}}, {"Sigmoid", {"x"}, {"x"}, {}}}, {"x"}, {"x"})});
  EXPECT_EQ(count(*g, "relu"), 1);
  EXPECT_EQ(count(*g, "sigmoid"), 1);
  EXPECT_EQ(g->outputs()[0]->producer()->op_name(), "sigmoid");
  EXPECT_EQ(g->outputs()[0]->producer()->input(0)->producer()->op_name(), "relu");
}

TEST_F(NetDefTest, ADummyFillOfTheInputIsNoParameter) {
  const auto g = load_pair({net({{"ConstantFill", {}, {"x"}, {{"shape", 1}}}}, {}, {}),
                            net({{"Relu", {"x"}, {"y"}, {}}}, {"x"}, {"y"})});
  ASSERT_EQ(g->inputs().size(), 1u);
  EXPECT_EQ(g->inputs()[0]->name, "x");
}

TEST_F(NetDefTest, WindowsAreReadInAllTheirSpellings) {
  for (const auto& args :
       std::vector<std::vector<std::pair<std::string, int64_t>>>{{{"kernel", 3}, {"stride", 2}, {"pad", 1}},
                                                                 {{"kernel_h", 3},
                                                                  {"kernel_w", 3},
                                                                  {"stride_h", 2},
                                                                  {"stride_w", 2},
                                                                  {"pad_t", 1},
                                                                  {"pad_b", 1},
                                                                  {"pad_l", 1},
                                                                  {"pad_r", 1}}}) {
    LoadOptions options;
    options.inputs["x"] = Type::tensor(DType::F32, Dims{1, 1, 9, 9});
    const auto g = load_pair({"", net({{"MaxPool", {"x"}, {"y"}, args}}, {"x"}, {"y"})}, options);
    EXPECT_EQ(g->outputs()[0]->type, Type::tensor(DType::F32, Dims{1, 1, 5, 5}));
  }
}

TEST_F(NetDefTest, ErrorsNameOperatorAndNet) {
  try {
    load_pair({"", net({{"Reluu", {"x"}, {"y"}, {}}}, {"x"}, {"y"})});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("operator Reluu is not known; near it: "), std::string::npos) << e.message();
    EXPECT_NE(e.message().find("Relu\n"), std::string::npos) << e.message();
    EXPECT_NE(e.message().find("In operator Reluu -> 'y' of the predict net"), std::string::npos)
        << e.message();
  }
}

TEST_F(NetDefTest, LayoutsAndTrainingModeAreRefusedNotGuessed) {
  EXPECT_THROW(load_pair({"", net({{"MaxPool", {"x"}, {"y"}, {{"kernel", 2}, {"order", 1}}}}, {"x"}, {"y"})}),
               Error);
  EXPECT_THROW(load_pair({"", net({{"Dropout", {"x"}, {"y", "m"}, {}}}, {"x"}, {"y"})}), Error);
}

TEST_F(NetDefTest, AFillThatAsksForMuchMemoryIsRefused) {
  std::string init;
  {
    pbf_writer w(init);
    pbf_writer op(w, 2);
    op.add_string(2, "w");
    op.add_string(4, "ConstantFill");
    pbf_writer arg(op, 5);
    arg.add_string(1, "shape");
    arg.add_int64(6, int64_t(1) << 20);
    arg.add_int64(6, int64_t(1) << 20);
  }
  EXPECT_THROW(load_pair({init, net({{"Relu", {"w"}, {"y"}, {}}}, {}, {"y"})}), Error);
}

TEST_F(NetDefTest, AMetaNetHoldsBothNets) {
  const Pair pair = save(*small_network());
  std::string meta;
  pbf_writer w(meta);
  for (auto [key, bytes] :
       {std::pair{"PREDICT_INIT_NET_TYPE", &pair.init_net}, {"PREDICT_NET_TYPE", &pair.predict_net}}) {
    pbf_writer entry(w, 2);
    entry.add_string(1, key);
    entry.add_message(2, *bytes);
  }
  EXPECT_EQ(count(*load_meta(Bytes::copy(meta), "meta"), "conv2d"), 1);
}

}  // namespace
}  // namespace moka::netdef
