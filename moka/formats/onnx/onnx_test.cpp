// ONNX in and out without running: round trips, hostile bytes, external data.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/onnx.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <protozero/pbf_writer.hpp>

#include "moka/formats/spelling/builder.h"
#include "moka/ops/all.h"

namespace moka::onnx {
namespace {

using graph::Graph;
using graph::Type;
using graph::Value;
using protozero::pbf_writer;

class Onnx : public testing::Test {
 protected:
  void SetUp() override { register_all_ops(); }
};

// conv -> relu -> pool -> flatten -> linear -> softmax with a named batch size
std::unique_ptr<Graph> small_network() {
  auto g = std::make_unique<Graph>("net");
  Type image = Type::tensor(DType::F32, Dims{1, 3, 8, 8});
  image.dims[0] = graph::Dim{-1, "batch"};
  Value* x = g->add_input("image", image);
  spelling::Builder build(*g, {g->main()});
  auto state = [&](const char* name, Dims sizes) {
    Tensor t = new_tensor(sizes, DType::F32);
    for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = static_cast<float>(i % 7) - 3;
    g->states[name] = {name, Any(t), Type::tensor(DType::F32, sizes), true, false};
    graph::Node* get = g->create_named(graph::NodeKind::Get, name, build.at, {}, 1);
    get->output()->type = g->states[name].type;
    return get->output();
  };
  using spelling::named;
  build.source.scope = "features.conv";
  Value* y = build.call("conv2d", {x, state("features.conv.weight", {4, 3, 3, 3}),
                                   state("features.conv.bias", {4}), named("padding", Dims{1, 1})});
  build.source.scope = "features";
  y = build.call("max_pool2d", {build.call("relu", {y}), Dims{2, 2}});
  y = build.call("flatten", {y, int64_t(1), int64_t(-1)});
  build.source.scope = "head";
  y = build.call("linear", {y, state("head.weight", {5, 64}), state("head.bias", {5})});
  g->add_output(build.call("softmax", {y, int64_t(-1)}), "scores");
  return g;
}

std::vector<std::string> op_names(const Graph& g) {
  std::vector<std::string> out;
  for (graph::Node* n : *g.main())
    if (n->kind == graph::NodeKind::Op) out.emplace_back(n->op_name());
  return out;
}

TEST_F(Onnx, ANetworkComesBackAsItWas) {
  for (int opset : {13, 18, 21, latest_opset}) {
    const std::string bytes = save(*small_network(), {.opset = opset});
    const auto back = load(Bytes::copy(bytes), "net.onnx");
    graph::verify(*back);
    EXPECT_EQ(op_names(*back), op_names(*small_network()));
    EXPECT_EQ(back->inputs()[0]->name, "image");
    EXPECT_EQ(back->inputs()[0]->type.dims[0].symbol, "batch");
    EXPECT_EQ(back->output_names, std::vector<std::string>{"scores"});
    EXPECT_EQ(back->states.size(), 4u);
    EXPECT_TRUE(back->states.count("features.conv.weight"));
    EXPECT_EQ(save(*back, {.opset = opset}).size() > 0, true);
  }
}

TEST_F(Onnx, EveryCutOffFileIsAClearError) {
  const std::string whole = save(*small_network());
  int loaded = 0;
  for (size_t n = 0; n < whole.size(); n++) {
    try {
      load(Bytes::copy(std::string_view(whole).substr(0, n)), "cut.onnx");
      loaded++;  // what is missing may be metadata only
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::File || e.kind() == ErrorKind::NotImplemented ||
                  e.kind() == ErrorKind::Runtime)
          << n << ": " << e.message();
      EXPECT_NE(e.message().find("cut.onnx"), std::string::npos) << e.message();
    }
  }
  EXPECT_LT(loaded, 20);
}

TEST_F(Onnx, EveryFlippedByteIsReadOrRefused) {
  const std::string whole = save(*small_network());
  for (size_t n = 0; n < whole.size(); n++) {
    std::string damaged = whole;
    damaged[n] = static_cast<char>(damaged[n] ^ (1 << (n % 8)));
    try {
      load(Bytes::copy(damaged), "damaged.onnx");
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::Internal) << n << ": " << e.message();
    }
  }
}

// A model with one node `op` on input x and the initializer bytes given.
std::string model_with(std::string_view op, const std::string& initializer = {},
                       std::string_view second_input = {}) {
  std::string out;
  pbf_writer w(out);
  w.add_int64(1, 8);
  {
    pbf_writer g(w, 7);
    {
      pbf_writer node(g, 1);
      node.add_string(1, "x");
      if (!second_input.empty()) node.add_string(1, second_input.data(), second_input.size());
      node.add_string(2, "y");
      node.add_string(3, "the_node");
      node.add_string(4, op.data(), op.size());
    }
    if (!initializer.empty()) g.add_message(5, initializer);
    for (uint32_t field : {11u, 12u}) {
      pbf_writer value(g, field);
      value.add_string(1, field == 11 ? "x" : "y");
      pbf_writer type(value, 2);
      pbf_writer tensor(type, 1);
      tensor.add_int32(1, 1);
      pbf_writer shape(tensor, 2);
      pbf_writer dim(shape, 1);
      dim.add_int64(1, 3);
    }
  }
  pbf_writer opset(w, 8);
  opset.add_string(1, "");
  opset.add_int64(2, 18);
  return out;
}

std::string error_of(const std::string& bytes, const Limits& limits = {}) {
  try {
    load(Bytes::copy(bytes), "model.onnx", limits);
  } catch (const Error& e) {
    return e.message();
  }
  return {};
}

TEST_F(Onnx, AnUnknownOperatorIsNamedWithItsNodeAndWhatIsNearIt) {
  const std::string error = error_of(model_with("Rleu"));
  EXPECT_NE(error.find("operator Rleu is not known; near it: "), std::string::npos) << error;
  EXPECT_NE(error.find("Relu\n"), std::string::npos) << error;
  EXPECT_NE(error.find("In node 'the_node' (Rleu -> 'y') of model.onnx"), std::string::npos) << error;
}

std::string external_tensor(std::string_view location, std::string_view offset = "0",
                            std::string_view length = "12") {
  std::string out;
  pbf_writer t(out);
  t.add_int64(1, 3);
  t.add_int32(2, 1);
  t.add_string(8, "w");
  for (auto [key, value] :
       {std::pair{std::string_view("location"), location}, {"offset", offset}, {"length", length}}) {
    pbf_writer pair(t, 13);
    pair.add_string(1, key.data(), key.size());
    pair.add_string(2, value.data(), value.size());
  }
  t.add_int32(14, 1);
  return out;
}

class External : public Onnx {
 protected:
  void SetUp() override {
    Onnx::SetUp();
    char room[] = "/tmp/moka_onnx_XXXXXX";
    folder_ = mkdtemp(room);
    mkdir((folder_ + "/model").c_str(), 0700);
    write_file(folder_ + "/secret.bin", std::string(64, '\1'));
    const float values[3] = {1, 2, 3};
    write_file(folder_ + "/model/weights.bin", std::string_view(reinterpret_cast<const char*>(values), 12));
    (void)!symlink("../secret.bin", (folder_ + "/model/link.bin").c_str());
  }
  std::string error_of(std::string_view location, std::string_view offset = "0",
                       std::string_view length = "12") {
    const std::string path = folder_ + "/model/model.onnx";
    write_file(path, model_with("Add", external_tensor(location, offset, length), "w"));
    try {
      last_ = load(path);
    } catch (const Error& e) {
      return e.message();
    }
    return {};
  }
  std::string folder_;
  std::unique_ptr<Graph> last_;
};

TEST_F(External, TensorsBesideTheModelAreRead) {
  ASSERT_EQ(error_of("weights.bin"), "");
  EXPECT_EQ(element_as_double(last_->states.at("w").value.tensor(), 2), 3.0);
}

TEST_F(External, NothingOutsideTheFolderIsRead) {
  EXPECT_NE(error_of("../secret.bin").find("must stay inside"), std::string::npos);
  EXPECT_NE(error_of(folder_ + "/secret.bin").find("relative"), std::string::npos);
  EXPECT_NE(error_of("link.bin").find("symbolic links are not followed"), std::string::npos);
  EXPECT_NE(error_of("x/../../secret.bin").find("must stay inside"), std::string::npos);
  EXPECT_NE(error_of("").find("relative"), std::string::npos);
}

TEST_F(External, RangesAreChecked) {
  EXPECT_NE(error_of("weights.bin", "4").find("lie outside"), std::string::npos);
  EXPECT_NE(error_of("weights.bin", "0", "8").find("needs 12 bytes"), std::string::npos);
  EXPECT_NE(error_of("weights.bin", "-1").find("no byte count"), std::string::npos);
  EXPECT_NE(error_of("weights.bin", "18446744073709551615").find("no byte count"), std::string::npos);
  EXPECT_NE(error_of("missing.bin").find("cannot be opened"), std::string::npos);
}

TEST_F(Onnx, ExternalDataNeedsAPath) {
  EXPECT_NE(
      onnx::error_of(model_with("Add", external_tensor("weights.bin"), "w")).find("load it from its path"),
      std::string::npos);
}

TEST_F(Onnx, LimitsHold) {
  const std::string whole = save(*small_network());
  Limits limits;
  limits.max_bytes = 100;
  EXPECT_NE(error_of(whole, limits).find("the limit is 100"), std::string::npos);
  limits = {};
  limits.max_nodes = 10;
  EXPECT_NE(error_of(whole, limits).find("more than 10 nodes"), std::string::npos);
  limits = {};
  limits.max_tensor_bytes = 64;
  EXPECT_NE(error_of(whole, limits).find("the limit is 64"), std::string::npos);
}

TEST_F(Onnx, ATensorThatClaimsMoreThanTheFileHasTakesNoMemory) {
  std::string tensor;
  pbf_writer t(tensor);
  t.add_int64(1, int64_t(1) << 40);
  t.add_int32(2, 1);
  t.add_string(8, "w");
  const float one = 1;
  t.add_packed_float(4, &one, &one + 1);
  EXPECT_NE(error_of(model_with("Add", tensor, "w")).find("needs 1099511627776 elements, the file has fewer"),
            std::string::npos);
}

TEST_F(Onnx, OnlyKnownOpsetsAreWritten) {
  for (int opset : {8, latest_opset + 1}) EXPECT_THROW(save(*small_network(), {.opset = opset}), Error);
}

TEST_F(Onnx, WhatCannotBeWrittenIsNamedWithItsPlace) {
  Graph g;
  Value* x = g.add_input("x", Type::tensor(DType::F32, Dims{}));
  spelling::Builder build(g, {g.main()});
  build.source = {"model.py", 12, "encoder"};
  g.add_output(build.call("reduction_expand", {x, Dims{3}}), "y");
  try {
    save(g);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::NotImplemented);
    EXPECT_NE(e.message().find("reduction_expand (encoder, model.py:12)"), std::string::npos) << e.message();
  }
}

TEST_F(Onnx, SizesAreMadeDynamicWhenWriting) {
  Graph g;
  Value* x = g.add_input("x", Type::tensor(DType::F32, Dims{2, 3}));
  spelling::Builder build(g, {g.main()});
  g.add_output(build.call("relu", {x}), "y");
  const auto back = load(Bytes::copy(save(g, {.dynamic_sizes = {{"x", {{0, "rows"}}}}})), "m");
  EXPECT_EQ(back->inputs()[0]->type.text(), "float32[rows, 3]");
  EXPECT_EQ(back->outputs()[0]->type.text(), "float32[rows, 3]");
  EXPECT_THROW(save(g, {.dynamic_sizes = {{"z", {{0, "rows"}}}}}), Error);
}

}  // namespace
}  // namespace moka::onnx
