// Tensors beside an ONNX model, from C++ and from C: nothing outside of its folder is read or written.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <protozero/pbf_writer.hpp>

#include "moka/base/error.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/ops/all.h"
#include "moka/predictor/moka.h"
#include "moka/predictor/predictor.h"

namespace moka {
namespace {

namespace fs = std::filesystem;
using protozero::pbf_writer;

// y = Identity(w), where w is float32[4] in a file beside the model.
std::string model_of(std::string_view location) {
  std::string out;
  pbf_writer model(out);
  model.add_int64(1, 8);
  {
    pbf_writer graph(model, 7);
    {
      pbf_writer node(graph, 1);
      node.add_string(1, "w");
      node.add_string(2, "y");
      node.add_string(4, "Identity");
    }
    graph.add_string(2, "g");
    {
      pbf_writer tensor(graph, 5);
      tensor.add_int64(1, 4);
      tensor.add_int32(2, 1);
      tensor.add_string(8, "w");
      pbf_writer entry(tensor, 13);
      entry.add_string(1, "location");
      entry.add_string(2, location.data(), location.size());
      entry.commit();
      tensor.add_int32(14, 1);
    }
    pbf_writer output(graph, 12);
    output.add_string(1, "y");
  }
  pbf_writer opset(model, 8);
  opset.add_int64(2, 18);
  opset.commit();
  return out;
}

class OnnxPaths : public testing::Test {
 protected:
  void SetUp() override {
    register_all_ops();
    char room[] = "/tmp/moka_paths_XXXXXX";
    root_ = mkdtemp(room);
    folder_ = root_ / "model";
    fs::create_directories(folder_ / "parts");
    fs::create_directories(root_ / "other");
    for (const fs::path& at : {root_ / "secret", root_ / "other/secret", folder_ / "weights"})
      write_file(at.string(), secret);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string model_at(std::string_view location) const {
    const std::string path = (folder_ / "model.onnx").string();
    write_file(path, model_of(location));
    return path;
  }
  // What reading the model says, by each door; all doors must agree whether it may be read.
  std::string refused(std::string_view location) const {
    const std::string path = model_at(location);
    std::string said;
    int refusals = 0;
    auto door = [&](auto&& read) {
      try {
        read();
      } catch (const Error& e) {
        said = e.message();
        refusals++;
      }
    };
    door([&] { onnx::load(path); });
    door([&] { Predictor::load(path); });
    door([&] { onnx::convert(path, (folder_ / "new.onnx").string(), 21); });
    moka_predictor* predictor = nullptr;
    moka_status* status = moka_predictor_load(path.c_str(), nullptr, &predictor);
    EXPECT_EQ(status == nullptr, predictor != nullptr);
    if (status) refusals++;
    moka_status_free(status);
    moka_predictor_free(predictor);
    EXPECT_TRUE(refusals == 0 || refusals == 4) << location << ": " << refusals << " of 4 refuse";
    EXPECT_EQ(fs::exists(folder_ / "new.onnx"), refusals == 0) << location;
    EXPECT_TRUE(refusals == 0 || !said.empty());
    return said;
  }

  static constexpr std::string_view secret = "sixteen secrets!";
  fs::path root_, folder_;
};

TEST_F(OnnxPaths, AFileOfTheFolderIsRead) { EXPECT_EQ(refused("weights"), ""); }

TEST_F(OnnxPaths, NothingOutsideIsRead) {
  fs::create_symlink("../secret", folder_ / "link");
  fs::create_symlink(root_ / "secret", folder_ / "absolute");
  fs::create_symlink("../other", folder_ / "folder");
  fs::create_symlink("link", folder_ / "second");
  fs::create_hard_link(root_ / "secret", folder_ / "hard");
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  using namespace std::string_view_literals;
  const std::string outside = (root_ / "secret").string();
  for (std::string_view location :
       {"../secret"sv, "parts/../../secret"sv, "parts/.."sv, "parts//../../secret"sv, "..\\secret"sv,
        std::string_view(outside), "link"sv, "absolute"sv, "folder/secret"sv, "second"sv, "hard"sv,
        "/proc/self/fd/0"sv, "pipe"sv, "parts"sv, "."sv, ""sv, "weights\0.txt"sv})
    EXPECT_NE(refused(location), "") << location;
}

TEST_F(OnnxPaths, NothingOutsideIsWritten) {
  const std::string source = model_at("weights"), target = (folder_ / "out.onnx").string();
  const fs::path data = folder_ / "out.onnx.data";
  const std::unique_ptr<graph::Graph> graph = onnx::load(source);
  onnx::ExportOptions options;
  options.external_data = true;
  options.external_threshold = 0;
  auto attempt = [&](const char* what) {
    EXPECT_THROW(onnx::save(*graph, target, options), Error) << what;
    EXPECT_THROW(onnx::convert(source, target, 21), Error) << what;
    EXPECT_FALSE(fs::exists(target)) << what;
    EXPECT_EQ(Bytes::of_file((root_ / "secret").string()).text(), secret) << what;
    EXPECT_FALSE(fs::exists(root_ / "fresh")) << what;
    fs::remove(data);
  };
  fs::create_symlink("../secret", data);
  attempt("a link");
  fs::create_symlink("../fresh", data);
  attempt("a link to nothing");
  fs::create_symlink(root_ / "secret", data);
  attempt("an absolute link");
  fs::create_hard_link(root_ / "secret", data);
  attempt("a hard link");
  ASSERT_EQ(mkfifo(data.c_str(), 0600), 0);
  attempt("a pipe");
  fs::create_directory(data);
  attempt("a folder");
  onnx::save(*graph, target, options);
  EXPECT_TRUE(fs::exists(data));
  EXPECT_EQ(refused("weights"), "");
}

}  // namespace
}  // namespace moka
