// Compiled regions against the formulas' own kernels; the cache; object files that are damaged; CUDA source.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/regions.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "moka/backends/llvm/cache.h"
#include "moka/backends/llvm/library.h"
#include "moka/backends/llvm/object.h"
#include "moka/backends/load.h"
#include "moka/graph/interpret.h"
#include "moka/ops/all.h"
#include "moka/ops/generated/print.h"
#include "moka/passes/passes.h"
#include "moka/runtime/executable.h"
#include "moka/runtime/random_region.h"

namespace moka::llvm {
namespace {

class Regions : public testing::Test {
 protected:
  void SetUp() override {
    register_all_ops();
    register_backends();
    folder_ = std::filesystem::temp_directory_path() / cat("moka_regions_test.", getpid());
    std::filesystem::remove_all(folder_);
    setenv("MOKA_CACHE", folder_.c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static bool can_compile() { return find_library() && lanes::host_target(); }
#ifdef MOKA_PREDICTOR  // runs regions in tiles
  static bool compiles_while_running() { return false; }
#else
  static bool compiles_while_running() { return can_compile(); }
#endif
  std::filesystem::path folder_;
};

Tensor random_tensor(std::initializer_list<int64_t> sizes, DType dtype, std::mt19937& random) {
  Tensor t = new_tensor(Dims(sizes), dtype);
  std::normal_distribution<double> normal(0, 3);
  for (int64_t i = 0; i < t.numel(); i++) {
    double number = is_floating(dtype) ? normal(random) : static_cast<double>(random() % 6);
    if (is_floating(dtype) && random() % 30 == 0) number = random() % 3 ? (random() % 2 ? INFINITY : 0) : NAN;
    convert_elements(&number, DType::F64, t.data<char>() + i * static_cast<int64_t>(item_size(dtype)), dtype,
                     1);
  }
  return t;
}

std::vector<Tensor> run_all(const RegionPlan& plan, std::string_view program, std::span<const Tensor> inputs,
                            bool compiled) {
  const Op& op = get_op("fused_region_all");
  const Arg args[] = {Arg(inputs), Arg(program)};
  Frame f(op, args, 2);
  op.shape(f);
  run_region(f, plan, compiled);
  std::vector<Tensor> out;
  for (size_t r = 0; r < f.outs.size(); r++) out.push_back(f.outs[r]);
  return out;
}
Tensor run(const RegionPlan& plan, std::string_view program, std::span<const Tensor> inputs, bool compiled) {
  return run_all(plan, program, inputs, compiled)[0];
}

// Sanitizers' builds optimise less and contract fewer products and sums, which shows where terms cancel.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double most_ulps = 64;
#else
constexpr double most_ulps = 4;
#endif

// How far two elements are apart, in steps of their type; those below 1 may be differences of numbers near it, in the
// type that they were computed in.
double distance(double x, double y, DType dtype) {
  if ((std::isnan(x) && std::isnan(y)) || x == y) return 0;
  if (!is_floating(dtype) || std::isnan(x) || std::isnan(y) || std::isinf(x) || std::isinf(y))
    return INFINITY;
  const double step = dtype == DType::F64   ? 0x1p-52
                      : dtype == DType::F32 ? 0x1p-23
                      : dtype == DType::F16 ? 0x1p-10
                                            : 0x1p-7;
  const double apart = std::abs(x - y), of_computing = apart / std::min(step, 0x1p-23);
  return of_computing <= 4 ? of_computing : apart / step / std::max(std::abs(x), std::abs(y));
}

TEST_F(Regions, every_formula_computes_what_its_kernel_computes) {
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  std::mt19937 random(1);
  int compiled = 0;
  for (const Op* op : all_ops()) {
    const Formula& f = op->formula;
    const Schema& schema = info(*op).schema;
    if (!f) continue;
    for (DType dtype : {DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::I64, DType::I16,
                        DType::U8, DType::Bool}) {
      std::string program = "(", call = cat(schema.name, "(");
      std::vector<Tensor> few, many;
      for (int k = 0; k < f.streams; k++) {
        const DType own = k == 0 && f.rule == DTypeRule::Condition ? DType::Bool : dtype;
        many.push_back(k == 1 ? random_tensor({40}, own, random) : random_tensor({9, 40}, own, random));
        few.push_back(random_tensor({5}, own, random));
        program += cat(k ? ", %" : "%", k);
        call += cat(k ? ", %" : "%", k);
      }
      for (int u = 0; u < f.uniforms; u++) call += ", 2";
      program += cat(") { %r = ", call, ") return %r }");
      std::shared_ptr<const RegionPlan> plan;
      try {
        plan = region_plan(program, many);
      } catch (const Error&) {
        continue;  // not defined for this type
      }
      compile_regions(std::span(&plan, 1));
      if (!plan->code.load()) continue;
      compiled++;
      for (const std::vector<Tensor>& inputs : {many, few}) {
        const Tensor a = run(*plan, program, inputs, true), b = run(*plan, program, inputs, false);
        for (int64_t i = 0; i < a.numel(); i++)
          ASSERT_LE(distance(element_as_double(a, i), element_as_double(b, i), a.dtype()), most_ulps)
              << program << " of " << info(dtype).name << ", element " << i << ": " << element_as_double(a, i)
              << " and " << element_as_double(b, i);
      }
    }
  }
  EXPECT_GT(compiled, 300);
}

TEST_F(Regions, work_on_rows_computes_what_its_kernels_compute) {
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  const char* programs[] = {
      "(%0) { %1 = sum(%0, [-1]) return %1 }",
      "(%0) { %1 = mul(%0, %0) %2 = mean(%1, [-1], true) %3 = add(%2, 1) %4 = rsqrt(%3) %5 = mul(%0, %4) "
      "return %5 }",
      "(%0, %1, %2) { %3 = add(%0, %2) %4 = amax(%3, [-1], true) %5 = amin(%3, [-1]) %6 = sub(%3, %4) return "
      "%6, %5 }",
      "(%0) { %1 = mul(%0, 0.5) %2 = softmax(%1, -1) %3 = sum(%2, [-1], true) %4 = mul(%3, %2) return %4 }",
      "(%0, %1) { %2 = mul(%0, %1) %3 = log_softmax(%2, -1) return %3, %2 }",
      "(%0, %1) { %2 = gelu(%0) %3 = layer_norm(%2, [N], %1, %1) %4 = relu(%3) return %4, %2 }",
      "(%0, %1, %2) { %3 = rms_norm(%0, [N], %1, 0.1) %4 = mul(%3, %2) return %4 }",
      "(%0, %1, %2) { %3 = softmax(%0, -1) %4 = amax(%3, [-1], true) %5 = add(%4, %3) %6 = mul(%5, %0) "
      "return %6 }",
  };
  std::mt19937 random(7);
  int compiled = 0;
  for (DType dtype : {DType::F32, DType::F64, DType::F16, DType::BF16})
    for (const char* text : programs)
      for (int64_t n : {5, 32, 33, 45, 64, 100, 257, 1000}) {
        std::string program = text;
        if (const size_t at = program.find('N'); at != std::string::npos) program.replace(at, 1, cat(n));
        const Tensor x = random_tensor({6, n}, dtype, random), w = random_tensor({n}, dtype, random),
                     line = random_tensor({6, 1}, dtype, random);
        const Tensor wide = random_tensor({n, 6}, dtype, random);
        for (const Tensor& first : {x, strided_view(wide, Dims{6, n}, Dims{1, 6}, 0)}) {
          const size_t count = static_cast<size_t>(std::count(text, std::strchr(text, ')'), '%'));
          const std::vector<Tensor> inputs = {first, w, line};
          const std::span<const Tensor> given(inputs.data(), count);
          const auto plan = region_plan(program, given);
          compile_regions(std::span(&plan, 1));
          ASSERT_TRUE(plan->code.load()) << program;
          compiled++;
          const std::vector<Tensor> a = run_all(*plan, program, given, true),
                                    b = run_all(*plan, program, given, false);
          for (size_t r = 0; r < a.size(); r++)
            for (int64_t i = 0; i < a[r].numel(); i++) {
              const double u = element_as_double(a[r], i), v = element_as_double(b[r], i);
              const double step = dtype == DType::F64 ? 1e-13 : item_size(dtype) == 4 ? 2e-5 : 2e-2;
              ASSERT_TRUE(u == v || (std::isnan(u) && std::isnan(v)) ||
                          std::abs(u - v) <= step * (1 + std::abs(v)))
                  << program << " of " << info(dtype).name << ", element " << i << ": " << u << " and " << v;
            }
        }
      }
  EXPECT_EQ(compiled, 4 * 8 * 8 * 2);
}

TEST_F(Regions, rows_may_want_many_loops) {
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  std::string softmaxes = "(%0) { ", sums = softmaxes;
  for (int i = 0; i < 12; i++) {
    softmaxes +=
        cat("%", 2 * i + 1, " = mul(%", 2 * i, ", 3.0) %", 2 * i + 2, " = softmax(%", 2 * i + 1, ", -1) ");
    sums += cat("%", 2 * i + 1, " = mean(%", 2 * i, ", [-1], true) %", 2 * i + 2, " = sub(%", 2 * i, ", %",
                2 * i + 1, ") ");
  }
  for (const std::string& program : {softmaxes + "return %24 }", sums + "return %24 }"})
    for (int64_t n : {40, 333}) {
      Tensor x = new_tensor(Dims{5, n}, DType::F32);
      for (int64_t i = 0; i < x.numel(); i++) x.data<float>()[i] = std::sin(0.7f * static_cast<float>(i));
      const auto plan = region_plan(program, std::span(&x, 1));
      compile_regions(std::span(&plan, 1));
      ASSERT_TRUE(plan->code.load()) << program;
      const Tensor a = run(*plan, program, std::span(&x, 1), true),
                   b = run(*plan, program, std::span(&x, 1), false);
      for (int64_t i = 0; i < a.numel(); i++)
        ASSERT_NEAR(element_as_double(a, i), element_as_double(b, i), 1e-5) << program;
    }
}

TEST_F(Regions, what_code_cannot_reach_is_left_to_the_kernels) {
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  for (DType dtype : {DType::F32, DType::F64})
    for (const char* program :
         {"(%0) { %1 = sin(%0) %2 = cos(%0) %3 = mul(%1, %2) return %3 }", "(%0) { %1 = tan(%0) return %1 }",
          "(%0) { %1 = sin(%0) %2 = sum(%1, [-1], true) %3 = cos(%2) %4 = add(%3, %0) return %4 }"})
      for (double large : {2.0, 1e6, 3e8, 1e30}) {
        Tensor x = new_tensor(Dims{3, 50}, dtype);
        for (int64_t i = 0; i < x.numel(); i++) {
          const double number = i == 77   ? large
                                : i == 78 ? -INFINITY
                                : i == 79 ? NAN
                                          : 0.1 * static_cast<double>(i);
          convert_elements(&number, DType::F64, x.data<char>() + i * static_cast<int64_t>(item_size(dtype)),
                           dtype, 1);
        }
        const auto plan = region_plan(program, std::span(&x, 1));
        compile_regions(std::span(&plan, 1));
        ASSERT_TRUE(plan->code.load());
        const Tensor a = run(*plan, program, std::span(&x, 1), true),
                     b = run(*plan, program, std::span(&x, 1), false);
        for (int64_t i = 0; i < a.numel(); i++)
          ASSERT_LE(distance(element_as_double(a, i), element_as_double(b, i), dtype),
                    std::max(most_ulps, 8.0))
              << program << " at " << element_as_double(x, i) << ": " << element_as_double(a, i) << " and "
              << element_as_double(b, i);
      }
}

TEST_F(Regions, powers_of_doubles_are_those_of_the_library) {
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  const char* program = "(%0, %1) { %2 = pow(%0, %1) return %2 }";
  std::mt19937_64 random(9);
  std::uniform_real_distribution<double> exponents(-320, 320), near(0.9, 1.1);
  const double odd[] = {
      0.0,        -0.0, 1.0,  -1.0,   INFINITY, -INFINITY, NAN,   0.5,    -0.5, 2,
      -2,         3,    -3.0, 1e-310, 5e-324,   1e308,     1e300, -1e300, 1e17, 9007199254740993.0,
      1 - 0x1p-53};
  std::vector<std::pair<double, double>> pairs;
  for (double x : odd)
    for (double y : odd) pairs.emplace_back(x, y);
  for (int i = 0; i < 20000; i++) {
    const double x = i % 2 ? std::pow(10.0, exponents(random)) : near(random);
    pairs.emplace_back(i % 3 ? x : -x,
                       i % 3 ? exponents(random) * (i % 2 ? 1 / std::abs(std::log(x) + 1e-9) : 20)
                             : std::floor(exponents(random)));
  }
  const int64_t n = static_cast<int64_t>(pairs.size());
  std::vector<Tensor> inputs = {new_tensor(Dims{n}, DType::F64), new_tensor(Dims{n}, DType::F64)};
  for (int64_t i = 0; i < n; i++) {
    inputs[0].data<double>()[i] = pairs[static_cast<size_t>(i)].first;
    inputs[1].data<double>()[i] = pairs[static_cast<size_t>(i)].second;
  }
  const auto plan = region_plan(program, inputs);
  compile_regions(std::span(&plan, 1));
  ASSERT_TRUE(plan->code.load());
  const Tensor found = run(*plan, program, inputs, true);
  for (int64_t i = 0; i < n; i++) {
    const auto [x, y] = pairs[static_cast<size_t>(i)];
    const double a = found.data<double>()[i], b = std::pow(x, y);
    const double apart = std::abs(a - b) <= 5e-324 ? 0 : std::abs(a - b) / std::abs(b) / 0x1p-52;
    ASSERT_TRUE(a == b || (std::isnan(a) && std::isnan(b)) || apart <= 2)
        << x << " to the power of " << y << ": " << a << " and " << b;
    if (a == b) ASSERT_EQ(std::signbit(a), std::signbit(b)) << x << " to the power of " << y;
  }
}

TEST_F(Regions, random_regions_agree_with_their_operators) {
  if (!compiles_while_running()) GTEST_SKIP() << "this build runs regions in tiles";
  double elements = 0, apart = 0;
  for (unsigned seed = 1000; seed < 1300; seed++) {
    testing_regions::RandomRegion made(seed);
    std::unique_ptr<graph::Graph> fused = made.graph().clone();
    passes::fuse_pointwise(*fused);
    runtime::Executable e(*fused);
    for (int64_t n : {3, 70}) {
      const std::vector<Any> inputs = made.inputs(n);
      std::vector<Any> expected;
      try {
        expected = graph::interpret(made.graph(), inputs, {});
      } catch (const Error&) {
        continue;
      }
      const std::vector<Any> found = e.run(inputs);
      for (size_t r = 0; r < found.size(); r++)
        for (int64_t i = 0; i < found[r].tensor().numel(); i++, elements++) {
          const double x = element_as_double(found[r].tensor(), i),
                       y = element_as_double(expected[r].tensor(), i);
          const bool close =
              x == y || (std::isnan(x) && std::isnan(y)) || std::abs(x - y) <= 1e-2 * std::abs(x);
          apart += !close;
        }
    }
  }
  // Where a last bit decides a comparison, or two large numbers cancel, the rest differs.
  EXPECT_GT(counts().compiled, 50u);
  EXPECT_LT(apart, 0.01 * elements);
}

TEST_F(Regions, other_sizes_compile_nothing) {
  if (!compiles_while_running()) GTEST_SKIP() << "this build runs regions in tiles";
  std::unique_ptr<graph::Graph> g = graph::parse(R"(moka-ir 1
graph main(%x: float32[n, m], %y: float32[m]) {
  %a = mul(%x, %y)
  %b = tanh(%a)
  return %b
}
)");
  passes::fuse_pointwise(*g);
  runtime::Executable e(*g);
  std::mt19937 random(3);
  uint64_t first = 0;
  for (int64_t n : {2, 7, 100, 1}) {
    std::vector<Any> inputs = {Any(random_tensor({n, n + 3}, DType::F32, random)),
                               Any(random_tensor({n + 3}, DType::F32, random))};
    e.run(inputs);
    if (!first) first = counts().compiled + counts().from_cache;
    EXPECT_EQ(counts().compiled + counts().from_cache, first);
  }
  EXPECT_GT(first, 0u);
}

TEST_F(Regions, eight_threads_plan_and_run_regions) {
  std::unique_ptr<graph::Graph> g = graph::parse(R"(moka-ir 1
graph main(%x: float32[n, m], %y: float32[m]) {
  %a = mul(%x, %y)
  %b = softmax(%a, -1)
  %c = sum(%b, [-1], true)
  %d = sub(%b, %c)
  %e = sin(%d)
  return %e, %c
}
)");
  passes::fuse_pointwise(*g);
  runtime::Executable e(*g);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 1000; i++) {
        const int64_t n = 1 + (t + i) % 5, m = i % 3 ? 40 : 7;
        Tensor x = new_tensor(Dims{n, m}, DType::F32), y = new_tensor(Dims{m}, DType::F32);
        std::fill_n(x.data<float>(), n * m, static_cast<float>(t));
        std::fill_n(y.data<float>(), m, 0.5f);
        const std::vector<Any> found = e.run(std::vector<Any>{Any(x), Any(y)});
        const double each = element_as_double(found[0].tensor(), n * m - 1),
                     sum = element_as_double(found[1].tensor(), n - 1);
        if (std::abs(sum - 1) > 1e-5 || std::abs(each - std::sin(1.0 / static_cast<double>(m) - 1)) > 1e-5)
          wrong++;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Regions, the_cache_gives_back_what_it_took_and_nothing_else) {
  std::string out;
  EXPECT_FALSE(find_in_cache("key", out));
  store_in_cache("key", "object");
  ASSERT_TRUE(find_in_cache("key", out));
  EXPECT_EQ(out, "object");
  EXPECT_FALSE(find_in_cache("another", out));
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) file = entry.path();
  const auto damage = [&](size_t at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(static_cast<std::streamoff>(at));
    f.put('~');
  };
  const size_t size = std::filesystem::file_size(file);
  for (size_t at : {size_t(0), size_t(9), size_t(24), size - 8, size - 1}) {
    store_in_cache("key", "object");
    ASSERT_TRUE(find_in_cache("key", out));
    damage(at);
    EXPECT_FALSE(find_in_cache("key", out)) << at;
  }
  store_in_cache("key", "object");
  std::filesystem::resize_file(file, size - 1);
  EXPECT_FALSE(find_in_cache("key", out));
  store_in_cache("key", "object");
  chmod(file.c_str(), 0666);
  EXPECT_FALSE(find_in_cache("key", out));  // others could have written it
  for (size_t i = 0; i < most_cached + 10; i++) store_in_cache(cat("key ", i), "object");
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) entries++;
  EXPECT_LE(entries, most_cached + 1);
  setenv("MOKA_CACHE", "0", 1);
  store_in_cache("key", "object");
  EXPECT_FALSE(find_in_cache("key", out));
}

TEST_F(Regions, damaged_object_files_are_refused) {
  std::string why, object;
  EXPECT_EQ(load_object("", "region", why), nullptr);
  EXPECT_EQ(load_object("\x7f"
                        "ELF and no more",
                        "region", why),
            nullptr);
  if (!can_compile()) GTEST_SKIP() << "libLLVM is not installed";
  const std::vector<Tensor> inputs = {new_tensor(Dims{64}, DType::F32)};
  const auto plan = region_plan("(%0) { %1 = exp(%0) return %1 }", inputs);
  const lanes::Target& target = *lanes::host_target();
  const std::string text =
      lanes::print_llvm_module(lanes::print_llvm(*lanes::read_region(*plan), "region", target), target);
  ASSERT_TRUE(compile(text, target.triple, target.name, object, why)) << why;
  EXPECT_NE(load_object(object, "region", why), nullptr) << why;
  EXPECT_EQ(load_object(object, "other", why), nullptr);
  std::mt19937 random(5);
  for (size_t end = 0; end < object.size(); end += 1 + random() % 64)
    load_object(std::string_view(object).substr(0, end), "region", why);  // refused or not, nothing breaks
  for (int k = 0; k < 2000; k++) {
    std::string other = object;
    for (int i = 0; i < 3; i++) other[random() % other.size()] = static_cast<char>(random());
    load_object(other, "region", why);
  }
  EXPECT_FALSE(compile("define void @region() { nonsense }", target.triple, target.name, object, why));
  EXPECT_NE(why.find("error"), std::string::npos) << why;
}

TEST_F(Regions, code_for_other_processors) {
  if (!find_library()) GTEST_SKIP() << "libLLVM is not installed";
  const std::vector<Tensor> inputs = {new_tensor(Dims{64}, DType::BF16)};
  const auto plan =
      region_plan("(%0) { %1 = gelu(%0) %2 = gt(%1, 0.5) %3 = where(%2, %1, %0) return %3 }", inputs);
  for (const char* name : {"x86-64-v3", "x86-64-v4", "aarch64"}) {
    const lanes::Target& target = *lanes::find_target(name);
    std::string object, why;
    EXPECT_TRUE(compile(
        lanes::print_llvm_module(lanes::print_llvm(*lanes::read_region(*plan), "region", target), target),
        target.triple, target.name == "aarch64" ? "generic" : target.name, object, why))
        << why;
  }
  EXPECT_EQ(lanes::find_target("pdp11"), nullptr);
}

TEST_F(Regions, cuda_source_compiles_where_the_toolkit_is) {
  const std::vector<Tensor> simple = {new_tensor(Dims{4}, DType::F32), new_tensor(Dims{4}, DType::F32)};
  const auto sum = region_plan("(%0, %1) { %2 = add(%0, %1, 2.0) %3 = gt(%2, %0) return %3 }", simple);
  EXPECT_EQ(
      lanes::print_cuda(*lanes::read_region(*sum), "region"),
      R"(extern "C" __global__ void region(long long n, signed char* __restrict__ out0, const float* __restrict__ in0, const float* __restrict__ in1) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n;
       i += (long long)gridDim.x * blockDim.x) {
    float v0 = in0[i];
    float v1 = in1[i];
    float v3 = v1 * __int_as_float(0x40000000);
    float v4 = v0 + v3;
    bool v5 = v0 < v4;
    signed char v6 = (signed char)(bool)v5;
    out0[i] = v6;
  }
}
)");
  void* nvrtc = nullptr;
  for (const char* name :
       {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"})
    if (!nvrtc) nvrtc = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!nvrtc) GTEST_SKIP() << "NVRTC is not installed";
  const auto create = reinterpret_cast<int (*)(void**, const char*, const char*, int, const char* const*,
                                               const char* const*)>(dlsym(nvrtc, "nvrtcCreateProgram"));
  const auto build =
      reinterpret_cast<int (*)(void*, int, const char* const*)>(dlsym(nvrtc, "nvrtcCompileProgram"));
  const auto log_size = reinterpret_cast<int (*)(void*, size_t*)>(dlsym(nvrtc, "nvrtcGetProgramLogSize"));
  const auto get_log = reinterpret_cast<int (*)(void*, char*)>(dlsym(nvrtc, "nvrtcGetProgramLog"));
  const auto destroy = reinterpret_cast<int (*)(void**)>(dlsym(nvrtc, "nvrtcDestroyProgram"));
  ASSERT_TRUE(create && build && log_size && get_log && destroy);
  for (DType dtype : {DType::F32, DType::F64, DType::BF16, DType::I64, DType::Bool}) {
    const std::vector<Tensor> inputs = {new_tensor(Dims{4}, dtype)};
    const auto plan = region_plan(
        "(%0) { %1 = erf(%0) %2 = log(%0) %3 = tanh(%1) %4 = floor(%2) %5 = maximum(%3, %4) %6 = mul(%5, %0) "
        "%7 = lt(%6, 1) %8 = logical_xor(%7, %0) %9 = sqrt(%6) %10 = where(%8, %9, %6) return %10 }",
        inputs);
    const std::string source = lanes::print_cuda(*lanes::read_region(*plan), "region");
    void* program = nullptr;
    ASSERT_EQ(create(&program, source.c_str(), "region.cu", 0, nullptr, nullptr), 0);
    const int status = build(program, 0, nullptr);
    size_t size = 0;
    log_size(program, &size);
    std::string text(size, '\0');
    get_log(program, text.data());
    destroy(&program);
    EXPECT_EQ(status, 0) << text << source;
  }
}

}  // namespace
}  // namespace moka::llvm
