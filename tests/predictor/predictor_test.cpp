// The predictor from C++ and from C: models of each format, errors, threads, deadlines.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/predictor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "moka/base/error.h"
#include "moka/formats/netdef/netdef.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/package/package.h"
#include "moka/ops/all.h"
#include "moka/predictor/cost.h"
#include "moka/predictor/moka.h"

namespace moka {
namespace {

constexpr std::string_view model_text = R"(moka-ir 1
graph main(%x: float32[batch, 4]) {
  metadata "author" = "tests"
  state parameter "weight": float32[3, 4] = float32[3, 4] @"weight"
  state parameter "bias": float32[3] = float32[3] @"bias"
  %w: float32[3, 4] = get "weight"
  %b: float32[3] = get "bias"
  %y: float32[batch, 3] = linear(%x, %w, %b)
  %z: float32[batch, 3] = relu(%y)
  return %z as "scores"
}
)";

Tensor numbers(Dims sizes, float first, float step) {
  Tensor t = new_tensor(sizes, DType::F32);
  for (int64_t i = 0; i < t.numel(); i++) t.data<float>()[i] = first + step * static_cast<float>(i);
  return t;
}

// What the model must give for x, by its definition.
std::vector<float> expected(const Tensor& x) {
  std::vector<float> out;
  for (int64_t row = 0; row < x.size(0); row++)
    for (int c = 0; c < 3; c++) {
      float sum = -1.0f + static_cast<float>(c);
      for (int k = 0; k < 4; k++)
        sum += x.data<float>()[row * 4 + k] * (-0.5f + 0.125f * static_cast<float>(c * 4 + k));
      out.push_back(std::max(sum, 0.0f));
    }
  return out;
}

void expect_scores(const Tensor& scores, const Tensor& x) {
  const std::vector<float> want = expected(x);
  ASSERT_EQ(Dims(scores.sizes()), (Dims{x.size(0), 3}));
  for (size_t i = 0; i < want.size(); i++) EXPECT_NEAR(scores.data<float>()[i], want[i], 1e-5) << i;
}

class PredictorTest : public testing::Test {
 protected:
  std::string folder;
  std::unique_ptr<graph::Graph> graph;

  PredictorTest() {
    char name[] = "/tmp/moka_predictor_XXXXXX";
    folder = ::mkdtemp(name);
    register_all_ops();
    const graph::TensorTable table{
        {{"weight", numbers({3, 4}, -0.5f, 0.125f)}, {"bias", numbers({3}, -1, 1)}}};
    graph = graph::parse(model_text, &table);
  }
  ~PredictorTest() override { (void)!std::system(cat("rm -rf ", folder).c_str()); }
  std::string package() {
    const std::string path = folder + "/model.moka";
    package::write(path, *graph);
    return path;
  }
};

TEST_F(PredictorTest, APackageAnOnnxFileAndANetDefPairRunAlike) {
  const Tensor x = numbers({5, 4}, -1, 0.25f);
  const Predictor from_package = Predictor::load(package());
  expect_scores(from_package.run(std::vector{x})[0], x);
  EXPECT_EQ(from_package.format(), ModelFormat::Package);

  onnx::save(*graph, folder + "/model.onnx");
  const Predictor from_onnx = Predictor::load(folder + "/model.onnx");
  expect_scores(from_onnx.run(std::vector{x})[0], x);
  EXPECT_EQ(from_onnx.format(), ModelFormat::Onnx);

  netdef::save(*graph, folder + "/init_net.pb", folder + "/predict_net.pb");
  const Predictor from_netdef = Predictor::load_netdef(folder + "/init_net.pb", folder + "/predict_net.pb");
  expect_scores(from_netdef.run(std::vector{x})[0], x);
}

TEST_F(PredictorTest, FromBytesAndWithoutOptimizing) {
  const Bytes bytes = Bytes::of_file(package());
  const Tensor x = numbers({2, 4}, 0, 0.5f);
  expect_scores(Predictor::load(bytes, "memory").run(std::vector{x})[0], x);
  LoadOptions options;
  options.optimize = false;
  expect_scores(Predictor::load(bytes, "memory", options).run(std::vector{x})[0], x);
}

TEST_F(PredictorTest, SaysWhatItTakesAndGives) {
  const Predictor predictor = Predictor::load(package());
  ASSERT_EQ(predictor.inputs().size(), 1u);
  EXPECT_EQ(predictor.inputs()[0].name, "x");
  EXPECT_EQ(predictor.inputs()[0].type.text(), "float32[batch, 4]");
  EXPECT_EQ(predictor.outputs()[0].name, "scores");
}

TEST_F(PredictorTest, ByNameEveryInputAndNoOther) {
  const Predictor predictor = Predictor::load(package());
  const Tensor x = numbers({2, 4}, 0, 0.5f);
  expect_scores(predictor.run(std::map<std::string, Tensor>{{"x", x}}).at("scores"), x);
  auto message = [&](const std::map<std::string, Tensor>& inputs) -> std::string {
    try {
      predictor.run(inputs);
    } catch (const Error& e) {
      return e.message();
    }
    return "";
  };
  EXPECT_NE(message({}).find("no input 'x'"), std::string::npos);
  EXPECT_NE(message({{"x", x}, {"y", x}}).find("has no input 'y'; its inputs are: x"), std::string::npos);
}

TEST_F(PredictorTest, WrongInputsAreNamed) {
  const Predictor predictor = Predictor::load(package());
  auto message = [&](const std::vector<Tensor>& inputs) -> std::string {
    try {
      predictor.run(inputs);
    } catch (const Error& e) {
      return e.message();
    }
    return "";
  };
  EXPECT_NE(message({}), "");
  EXPECT_NE(message({numbers({2, 4}, 0, 1), numbers({2, 4}, 0, 1)}), "");
  const std::string shape = message({numbers({2, 5}, 0, 1)});
  EXPECT_NE(shape.find("x"), std::string::npos) << shape;
  EXPECT_NE(shape.find("[2, 5]"), std::string::npos) << shape;
  EXPECT_NE(message({numbers({4}, 0, 1)}), "");
  EXPECT_NE(message({new_tensor(Dims{2, 4}, DType::I64)}).find("int64"), std::string::npos);
  expect_scores(predictor.run(std::vector{numbers({1, 4}, 0, 1)})[0],
                numbers({1, 4}, 0, 1));  // and it still works
}

TEST_F(PredictorTest, ManyThreadsShareOnePredictor) {
  const Predictor predictor = Predictor::load(package());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; i++) {
        const Tensor x = numbers({1 + (t + i) % 3, 4}, static_cast<float>(t), 0.25f);
        const Tensor y = predictor.run(std::vector{x})[0];
        const std::vector<float> want = expected(x);
        for (size_t k = 0; k < want.size(); k++)
          wrong += std::fabs(y.data<float>()[k] - want[k]) > 1e-4f * std::max(1.0f, want[k]);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(PredictorTest, ADeadlineStopsARun) {
  const Predictor predictor = [&] {
    std::unique_ptr<graph::Graph> slow = graph::parse(R"(moka-ir 1
graph main(%x: float32[4]) {
  %go: bool = constant true
  %y: float32[4] = loop(1000000000, %go, %x) (%i: int, %v: float32[4]) {
    %w: float32[4] = relu(%v)
    yield true, %w
  }
  return %y as "y"
}
)");
    package::write(folder + "/slow.moka", *slow);
    return Predictor::load(folder + "/slow.moka");
  }();
  RunOptions options;
  options.deadline_seconds = 0.05;
  const auto start = std::chrono::steady_clock::now();
  try {
    predictor.run(std::vector{numbers({4}, 0, 1)}, options);
    FAIL() << "a billion iterations in " << options.deadline_seconds << " s";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Cancelled) << e.message();
  }
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5.0);
  options.deadline_seconds = -1;
  EXPECT_THROW(predictor.run(std::vector{numbers({4}, 0, 1)}, options), Error);
}

TEST_F(PredictorTest, FilesThatAreNoModelAreRefused) {
  write_file(folder + "/empty", "");
  write_file(folder + "/text", "hello");
  EXPECT_THROW(Predictor::load(folder + "/empty"), Error);
  EXPECT_THROW(Predictor::load(folder + "/text"), Error);
  EXPECT_THROW(Predictor::load(folder + "/missing"), Error);
  EXPECT_THROW(Predictor::load(folder), Error);
  netdef::save(*graph, folder + "/init_net.pb", folder + "/predict_net.pb");
  try {
    Predictor::load(folder + "/predict_net.pb");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("pair"), std::string::npos);
  }
}

TEST_F(PredictorTest, CostCountsMultiplyAdds) {
  const Cost cost = measure_cost(*graph);
  EXPECT_EQ(cost.nodes, 2);
  EXPECT_EQ(cost.operators.at("linear").flop, 2 * 4 * 3);  // for one row
  EXPECT_TRUE(cost.complete);
  EXPECT_TRUE(cost.free_sizes);
}

// ---- the C interface

struct Status {
  explicit Status(moka_status* s) : status(s) {}
  ~Status() { moka_status_free(status); }
  moka_status* status;
};
#define EXPECT_OK(call)                                                                        \
  do {                                                                                         \
    Status result(call);                                                                       \
    EXPECT_EQ(moka_status_code(result.status), MOKA_OK) << moka_status_message(result.status); \
  } while (0)
#define EXPECT_CODE(expected_code, call)                                                             \
  do {                                                                                               \
    Status result(call);                                                                             \
    EXPECT_EQ(moka_status_code(result.status), expected_code) << moka_status_message(result.status); \
    EXPECT_GT(std::strlen(moka_status_message(result.status)), 5u);                                  \
  } while (0)

TEST_F(PredictorTest, CLoadsDescribesRunsAndFrees) {
  moka_predictor* predictor = nullptr;
  EXPECT_OK(moka_predictor_load(package().c_str(), nullptr, &predictor));
  ASSERT_NE(predictor, nullptr);
  ASSERT_EQ(moka_predictor_input_count(predictor), 1u);
  moka_port port = MOKA_INIT(moka_port);
  EXPECT_OK(moka_predictor_input(predictor, 0, &port));
  EXPECT_STREQ(port.name, "x");
  EXPECT_EQ(port.dtype.kind, MOKA_FLOAT);
  EXPECT_EQ(port.dtype.bits, 32);
  ASSERT_EQ(port.ndim, 2);
  EXPECT_EQ(port.shape[0], -1);
  EXPECT_EQ(port.shape[1], 4);
  EXPECT_CODE(MOKA_ERROR_INDEX, moka_predictor_input(predictor, 1, &port));

  const Tensor x = numbers({2, 4}, 0, 0.5f);
  const int64_t shape[] = {2, 4};
  moka_tensor input = MOKA_INIT(moka_tensor), output = MOKA_INIT(moka_tensor);
  input.data = x.raw_data();
  input.dtype = {MOKA_FLOAT, 32, 1};
  input.ndim = 2;
  input.shape = shape;
  EXPECT_OK(moka_predictor_run(predictor, &input, 1, &output, 1, nullptr));
  ASSERT_EQ(output.ndim, 2);
  EXPECT_EQ(output.shape[1], 3);
  const std::vector<float> want = expected(x);
  for (size_t i = 0; i < want.size(); i++) EXPECT_NEAR(static_cast<float*>(output.data)[i], want[i], 1e-5);
  moka_tensor_release(&output);
  EXPECT_EQ(output.owner, nullptr);
  moka_tensor_release(&output);  // once more is harmless

  // Columns of a wider array: strides.
  float wide[2][8] = {};
  for (int r = 0; r < 2; r++)
    for (int c = 0; c < 4; c++) wide[r][2 * c] = x.data<float>()[r * 4 + c];
  const int64_t strides[] = {8, 2};
  input.data = wide;
  input.strides = strides;
  EXPECT_OK(moka_predictor_run(predictor, &input, 1, &output, 1, nullptr));
  for (size_t i = 0; i < want.size(); i++) EXPECT_NEAR(static_cast<float*>(output.data)[i], want[i], 1e-5);
  moka_tensor_release(&output);

  // Memory that is not aligned to its elements.
  std::vector<char> bytes(x.bytes() + 1);
  std::memcpy(bytes.data() + 1, x.raw_data(), x.bytes());
  input.data = bytes.data() + 1;
  input.strides = nullptr;
  EXPECT_OK(moka_predictor_run(predictor, &input, 1, &output, 1, nullptr));
  for (size_t i = 0; i < want.size(); i++) EXPECT_NEAR(static_cast<float*>(output.data)[i], want[i], 1e-5);
  moka_tensor_release(&output);
  moka_predictor_free(predictor);
}

TEST_F(PredictorTest, CRefusesWhatCannotBe) {
  moka_predictor* predictor = nullptr;
  EXPECT_CODE(MOKA_ERROR_VALUE, moka_predictor_load(nullptr, nullptr, &predictor));
  EXPECT_CODE(MOKA_ERROR_FILE, moka_predictor_load("/nowhere/model.moka", nullptr, &predictor));
  moka_load_options load = MOKA_INIT(moka_load_options);
  load.optimize = 1;
  load.max_bytes = 10;
  EXPECT_CODE(MOKA_ERROR_FILE, moka_predictor_load(package().c_str(), &load, &predictor));
  EXPECT_EQ(predictor, nullptr);
  EXPECT_OK(moka_predictor_load(package().c_str(), nullptr, &predictor));

  const int64_t shape[] = {2, 4}, negative[] = {-2, 4}, huge[] = {INT64_MAX, 4};
  float data[8] = {};
  moka_tensor good = MOKA_INIT(moka_tensor), output = MOKA_INIT(moka_tensor);
  good.data = data;
  good.dtype = {MOKA_FLOAT, 32, 1};
  good.ndim = 2;
  good.shape = shape;
  auto run = [&](const moka_tensor& input) {
    return moka_predictor_run(predictor, &input, 1, &output, 1, nullptr);
  };
  EXPECT_OK(run(good));
  moka_tensor_release(&output);
  moka_tensor bad = good;
  bad.shape = negative;
  EXPECT_CODE(MOKA_ERROR_RUNTIME, run(bad));
  bad.shape = huge;
  EXPECT_CODE(MOKA_ERROR_RUNTIME, run(bad));
  bad = good;
  bad.shape = nullptr;
  EXPECT_CODE(MOKA_ERROR_VALUE, run(bad));
  bad = good;
  bad.data = nullptr;
  EXPECT_CODE(MOKA_ERROR_VALUE, run(bad));
  bad = good;
  bad.dtype.bits = 31;
  EXPECT_CODE(MOKA_ERROR_TYPE, run(bad));
  bad = good;
  bad.struct_size = 0;
  EXPECT_CODE(MOKA_ERROR_VALUE, run(bad));
  const int64_t backwards[] = {-4, 1};
  bad = good;
  bad.strides = backwards;
  EXPECT_CODE(MOKA_ERROR_VALUE, run(bad));
  moka_tensor outputs[2] = {MOKA_INIT(moka_tensor), MOKA_INIT(moka_tensor)};
  EXPECT_CODE(MOKA_ERROR_VALUE, moka_predictor_run(predictor, &good, 1, outputs, 2, nullptr));
  EXPECT_NE(moka_status_code(Status(moka_predictor_run(predictor, nullptr, 0, &output, 1, nullptr)).status),
            MOKA_OK);
  EXPECT_EQ(output.owner, nullptr);
  EXPECT_CODE(MOKA_ERROR_VALUE, moka_set_num_threads(0));
  moka_predictor_free(predictor);
  moka_predictor_free(nullptr);
  moka_status_free(nullptr);
  EXPECT_STREQ(moka_status_message(nullptr), "");
  EXPECT_EQ(moka_c_major(), MOKA_C_MAJOR);
}

TEST_F(PredictorTest, OutputsOfTheCInterfaceShareNothing) {
  std::unique_ptr<graph::Graph> same = graph::parse(R"(moka-ir 1
graph main(%x: float32[n]) {
  state parameter "w": float32[2] = float32[2] {1, 2}
  %w: float32[2] = get "w"
  return %x as "x", %w as "w"
}
)");
  package::write(folder + "/same.moka", *same);
  moka_predictor* predictor = nullptr;
  EXPECT_OK(moka_predictor_load((folder + "/same.moka").c_str(), nullptr, &predictor));
  float data[3] = {1, 2, 3};
  const int64_t shape[] = {3};
  moka_tensor input = MOKA_INIT(moka_tensor);
  input.data = data;
  input.dtype = {MOKA_FLOAT, 32, 1};
  input.ndim = 1;
  input.shape = shape;
  moka_tensor outputs[2] = {MOKA_INIT(moka_tensor), MOKA_INIT(moka_tensor)};
  EXPECT_OK(moka_predictor_run(predictor, &input, 1, outputs, 2, nullptr));
  EXPECT_NE(outputs[0].data, data);
  data[0] = 9;
  EXPECT_EQ(static_cast<float*>(outputs[0].data)[0], 1.0f);
  static_cast<float*>(outputs[1].data)[0] = 100;  // the weights must not change
  moka_tensor_release(&outputs[0]);
  moka_tensor_release(&outputs[1]);
  EXPECT_OK(moka_predictor_run(predictor, &input, 1, outputs, 2, nullptr));
  EXPECT_EQ(static_cast<float*>(outputs[1].data)[0], 1.0f);
  moka_predictor_free(predictor);  // outputs outlive the predictor
  EXPECT_EQ(static_cast<float*>(outputs[0].data)[0], 9.0f);
  moka_tensor_release(&outputs[0]);
  moka_tensor_release(&outputs[1]);
}

}  // namespace
}  // namespace moka
