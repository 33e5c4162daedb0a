// Code in packages: what is run, and what is not.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/bundle.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "moka/backends/llvm/library.h"
#include "moka/ops/all.h"
#include "moka/ops/fused/region.h"
#include "moka/ops/generated/print.h"

namespace moka::llvm {
namespace {

const std::string key = "sixteen bytes or more";

std::vector<BundledRegion> some_regions(std::string_view mark) {
  return {{cat("(%0) { %1 = tanh(%0) %2 = add(%1, ", mark, ") return %2 }"),
           {shape_only(Dims{4, 70}, DType::F32)}},
          {cat("(%0) { %1 = mul(%0, ", mark, ") %2 = softmax(%1, -1) return %2 }"),
           {shape_only(Dims{4, 70}, DType::F32)}},
          {"(%0, %1) { %2 = gcd(%0, %1) %3 = neg(%2) return %3 }",
           {shape_only(Dims{4}, DType::I64), shape_only(Dims{4}, DType::I64)}}};
}

TEST(Bundle, code_with_the_mark_of_the_key_is_run_and_no_other) {
  register_all_ops();
  const lanes::Target* target = lanes::host_target();
  if (!target || !find_library()) GTEST_SKIP() << "nothing compiles here";
  const std::vector<BundledRegion> regions = some_regions("1.5");
  const Bundle bundle = make_bundle(target->name, regions, key);
  EXPECT_EQ(bundle.regions, 2);
  ASSERT_EQ(bundle.left.size(), 1u);
  EXPECT_NE(bundle.left[0].find("gcd"), std::string::npos);

  EXPECT_EQ(use_bundle(bundle.content, target->name, "sixteen other bytes!!"), "was not built with this key");
  EXPECT_EQ(use_bundle(bundle.content, "aarch32", key), "was not built with this key");
  EXPECT_EQ(use_bundle("", target->name, key), "is no compiled code");
  std::mt19937 random(3);
  for (int i = 0; i < 2000; i++) {
    std::string other = bundle.content;
    other[random() % other.size()] ^= static_cast<char>(1 << random() % 8);
    if (i % 4 == 0) other.resize(random() % other.size());
    EXPECT_NE(use_bundle(other, target->name, key), "");
  }
  const auto plan = region_plan(regions[1].program, regions[1].inputs);
  const runtime::RegionUse use{regions[1].program, regions[1].inputs};
  bundled_for_plan(std::span(&use, 1));
  EXPECT_EQ(plan->code.load(), nullptr);

  EXPECT_EQ(use_bundle(bundle.content, target->name, key), "");
  for (const BundledRegion& r : regions) {
    const runtime::RegionUse given{r.program, r.inputs};
    bundled_for_plan(std::span(&given, 1));
  }
  ASSERT_NE(plan->code.load(), nullptr);
  EXPECT_EQ(region_plan(regions[2].program, regions[2].inputs)->code.load(), nullptr);
  const Tensor x = new_tensor(Dims{4, 70}, DType::F32);
  for (int i = 0; i < 280; i++) x.data<float>()[i] = static_cast<float>(i % 13);
  const Arg args[] = {Arg(std::span(&x, 1)), Arg(std::string_view(regions[1].program))};
  for (const bool compiled : {false, true}) {
    Frame f(get_op("fused_region"), args, 2);
    f.op.shape(f);
    run_region(f, *plan, compiled);
    float sum = 0;
    for (int i = 0; i < 280; i++) sum += f.outs[0].data<float>()[i];
    EXPECT_NEAR(sum, 4, 1e-5);
  }
}

TEST(Bundle, packages_for_other_processors_and_keys_that_others_know) {
  register_all_ops();
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / cat("moka_bundle_test.", getpid());
  std::filesystem::create_directories(folder);
  const std::string path = folder / "key";
  const auto error_of = [&](const std::string& file) {
    try {
      read_code_key(file);
    } catch (const Error& e) {
      return std::string(e.message());
    }
    return std::string();
  };
  EXPECT_NE(error_of(path).find("cannot be read"), std::string::npos);
  std::ofstream(path) << "short";
  chmod(path.c_str(), 0600);
  EXPECT_NE(error_of(path).find("16 to 4,096 bytes"), std::string::npos);
  std::ofstream(path) << key;
  EXPECT_EQ(error_of(path), "");
  chmod(path.c_str(), 0644);
  EXPECT_NE(error_of(path).find("others may read"), std::string::npos);
  EXPECT_NE(error_of(folder).find("no file"), std::string::npos);
  chmod(path.c_str(), 0600);
  if (find_library()) {
#if defined(__aarch64__)
    const char* foreign = "x86-64-v3";
#else
    const char* foreign = "aarch64";
#endif
    const Bundle bundle = make_bundle(foreign, some_regions("2.5"), key);
    EXPECT_EQ(bundle.regions, 2);
    use_package_code({{cat(code_folder, foreign), Bytes::copy(bundle.content)}}, path);  // says so in the log
    EXPECT_THROW(
        use_package_code({{cat(code_folder, foreign), Bytes::copy(bundle.content)}}, folder / "none"), Error);
    EXPECT_THROW(make_bundle("pdp11", {}, key), Error);
  }
  use_package_code({{"code/readme", Bytes::copy("text")}}, folder / "none");  // no code, no key needed
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace moka::llvm
