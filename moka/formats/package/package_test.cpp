// Packages: what is written comes back, and what is damaged is refused.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/package/package.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "moka/base/error.h"
#include "moka/formats/package/zip.h"
#include "moka/formats/safetensors/safetensors.h"

namespace moka::package {
namespace {

constexpr std::string_view program_text = R"(moka-ir 1
graph main(%x: float32[batch, 4]) {
  state parameter "w": float32[4, 8] = float32[4, 8] @"w"
  state parameter "tied": float32[4, 8] = float32[4, 8] @"w"
  %w: float32[4, 8] = get "w"
  return %w as "y", %x as "x"
}
graph other(%x: float32[4, 8]) {
  state parameter "w": float32[4, 8] = float32[4, 8] @"w"
  state buffer "count": int = 3
  return %x as "z"
}
)";

Tensor weights(float first) {
  Tensor t = new_tensor(Dims{4, 8}, DType::F32);
  for (int i = 0; i < 32; i++) t.data<float>()[i] = first + static_cast<float>(i);
  return t;
}

class PackageTest : public testing::Test {
 protected:
  std::string path = cat("/tmp/moka_package_test_", static_cast<int64_t>(::getpid()));
  graph::TensorTable table{{{"w", weights(1)}}};
  graph::Program program = graph::parse_program(program_text, &table);
  ~PackageTest() override { ::unlink(path.c_str()); }

  std::string written(const Extras& extras = {}) {
    write(path, program, "main", extras);
    return std::string(Bytes::of_file(path).text());
  }
  // The entries of a good package with one of them replaced, or added.
  Bytes with(std::string_view name, std::string_view content) {
    written();
    const auto entries = read_zip(Bytes::of_file(path), path);
    ZipWriter zip(path);
    bool replaced = false;
    for (const ZipEntry& e : entries) {
      zip.add(e.name, e.name == name ? content : e.data.text());
      replaced = replaced || e.name == name;
    }
    if (!replaced) zip.add(std::string(name), content);
    zip.commit();
    return Bytes::of_file(path);
  }
  std::string refusal(const Bytes& bytes) {
    try {
      read(bytes, "test.moka");
    } catch (const Error& e) {
      return e.message();
    }
    return "accepted";
  }
};

TEST_F(PackageTest, ProgramsMetadataAndFilesComeBack) {
  write(path, program, "main",
        {{{"author", "someone \u00e4"}}, {{"model.onnx", "view"}, {"extra/notes.txt", ""}}});
  const Package back = read(path);
  EXPECT_EQ(graph::print(back.program), graph::print(program));
  EXPECT_EQ(back.main, "main");
  EXPECT_EQ(back.metadata.at("author"), "someone \u00e4");
  EXPECT_EQ(back.files.size(), 2u);
  EXPECT_EQ(back.files.at("model.onnx").text(), "view");
  EXPECT_EQ(back.producer.substr(0, 5), "moka ");
}

TEST_F(PackageTest, WeightsAreAlignedViewsAndStayTied) {
  write(path, program, "main");
  const Package back = read(path);
  const graph::Graph& main = *back.program.graphs.at("main");
  const Tensor w = main.states.at("w").value.tensor();
  EXPECT_EQ(std::memcmp(w.raw_data(), weights(1).raw_data(), w.bytes()), 0);
  EXPECT_TRUE(w.impl()->storage->read_only);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw_data()) % 64, 0u);
  EXPECT_TRUE(main.states.at("tied").value.tensor() == w);
  EXPECT_TRUE(back.program.graphs.at("other")->states.at("w").value.tensor() == w);
}

TEST_F(PackageTest, TensorsOfOneNameInTwoMethodsStayApart) {
  program.graphs.at("other")->states.at("w").value = weights(100);
  write(path, program, "main");
  const Package back = read(path);
  EXPECT_EQ(back.program.graphs.at("main")->states.at("w").value.tensor().data<float>()[0], 1.0f);
  EXPECT_EQ(back.program.graphs.at("other")->states.at("w").value.tensor().data<float>()[0], 100.0f);
}

TEST_F(PackageTest, TheSameContentGivesTheSameBytes) { EXPECT_EQ(written(), written()); }

TEST_F(PackageTest, OneGraphAloneIsAPackageToo) {
  write(path, *program.graphs.at("other"));
  EXPECT_EQ(read(path).main, "other");
  EXPECT_THROW(write(path, program, "missing"), Error);
  EXPECT_THROW(write(path, program, "main", {{}, {{"../escape", "x"}}}), Error);
  EXPECT_THROW(write(path, program, "main", {{}, {{"program.txt", "x"}}}), Error);
  EXPECT_EQ(read(path).main, "other") << "a refused write must leave the old file";
}

TEST_F(PackageTest, ManifestsAreChecked) {
  auto manifest = [&](std::string_view text) { return refusal(with("manifest.json", text)); };
  EXPECT_NE(manifest("").find("'{'"), std::string::npos);
  EXPECT_NE(manifest("{}").find("no format"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":2,"main":"main"})").find("update Moka"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":0,"main":"main"})").find("format 0"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":1})").find("no main"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":1,"main":"missing"})").find("no graph 'missing'"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":1,"format":1,"main":"main"})").find("twice"), std::string::npos);
  EXPECT_NE(manifest(R"({"format":1,"main":"main","needs":["sparse"]})").find("needs 'sparse'"),
            std::string::npos);
  EXPECT_NE(manifest(R"({"format":1,"main":"main","metadata":{"a":1}})").find("a string"), std::string::npos);
  EXPECT_EQ(manifest(R"({"format":1,"main":"main","later":{"anything":[1,2,{}]}})"), "accepted");
}

TEST_F(PackageTest, MissingAndBrokenEntriesAreNamed) {
  {
    ZipWriter zip(path);
    zip.add("something", "else");
    zip.commit();
  }
  EXPECT_NE(refusal(Bytes::of_file(path)).find("no .moka package"), std::string::npos);
  EXPECT_NE(refusal(with("program.txt", "moka-ir 1\ngraph main( {}")).find("program.txt"), std::string::npos);
  EXPECT_NE(refusal(with("program.txt", "moka-ir 99\n")).find("99"), std::string::npos);
  const std::string without = refusal(with("weights.safetensors", safetensors::to_bytes({})));
  EXPECT_NE(without.find("there is no tensor"), std::string::npos) << without;
  EXPECT_NE(refusal(with("weights.safetensors", "")).find("too short"), std::string::npos);
  Tensor other = new_tensor(Dims{4, 8}, DType::I32);
  EXPECT_NE(refusal(with("weights.safetensors", safetensors::to_bytes({{"w", other}}))), "accepted");
}

TEST_F(PackageTest, EveryTruncationIsRefused) {
  const std::string text = written();
  for (size_t n = 0; n < text.size(); n++)
    EXPECT_NE(refusal(Bytes::copy(std::string_view(text).substr(0, n))), "accepted") << n;
}

TEST_F(PackageTest, LimitsHold) {
  const Bytes bytes = Bytes::copy(written());
  Limits limits;
  limits.max_text_bytes = 100;
  EXPECT_THROW(read(bytes, "t", limits), Error);
  limits = {};
  limits.max_tensor_bytes = 100;
  EXPECT_THROW(read(bytes, "t", limits), Error);
  limits = {};
  limits.max_entries = 2;
  EXPECT_THROW(read(bytes, "t", limits), Error);
}

}  // namespace
}  // namespace moka::package
