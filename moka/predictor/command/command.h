// What the subcommands of `moka` share: exit codes, formatting, the progress bar.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moka/predictor/model.h"
#include "moka/predictor/predictor.h"

namespace moka::command {

// Raised for wrong usage that the parser of the command line cannot see; main() answers with exit code 2.
struct UsageError {
  std::string message;
};

struct ModelArgs {
  std::string path;       // .moka, .onnx, or Caffe2's predict net
  std::string init_path;  // Caffe2's init net; empty: looked for beside the predict net
};
// Loads whatever the file is; says on stderr when it had to look for the init net.
Model load(const ModelArgs& args);
// The usual place of the init net of a predict net: init_net.pb beside predict_net.pb, x_init_net.pb beside
// x_predict_net.pb, init_net.pb beside any other name.
std::string init_net_of(const std::string& predict_path);

std::string human_bytes(uint64_t bytes);        // "823.4 KiB"
std::string human_count(double count);          // "1.23 G"
std::string with_commas(int64_t value);         // "1,234,567"
std::string fixed(double value, int decimals);  // "0.123"

// A bar on stderr where that is a terminal, nothing elsewhere.
class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();
  void advance(int64_t count);

 private:
  void draw();
  std::string label_;
  int64_t total_, done_ = 0;
  bool shown_;
  std::chrono::steady_clock::time_point start_, last_;
};

struct InfoArgs {
  ModelArgs model;
  bool json = false;
  bool ops = false;  // only the operators' names, for MOKA_OPS_LIST
  std::string page;  // a file to write the graph to, to look at in a browser
};
int info(const InfoArgs& args);

// The arrays that a model is run on.
struct ArrayArgs {
  std::vector<std::string> inputs;  // "file.npy" or "file.pb" in the model's order, or "name=file.npy"
  int64_t batch = 0;                // 0: whole inputs, or the size that the model fixes
  bool random = false;
};
std::vector<Any> read_inputs(const ArrayArgs& args, const std::vector<Port>& ports, const char* command);
// "name=file" or "file"; files go to the names in order. Returns the place of each port's file, empty where none
// came.
std::vector<std::string> assign_files(const std::vector<std::string>& given, const std::vector<Port>& ports,
                                      const char* option);

struct RunArgs : ArrayArgs {
  ModelArgs model;
  std::vector<std::string> outputs;  // as inputs
  std::string labels, profile;
  int repeat = 1;
  int threads = 0;  // 0: as many as the process may use
  double deadline = 0;
  std::string code_key;
  bool json = false, no_optimize = false;
};
int run(const RunArgs& args);

struct TestArgs {
  std::vector<std::string> folders;  // with models and their data, or folders of such
  double rtol = 1e-3, atol = 1e-7;
  double deadline = 0;
  int threads = 0;
  bool json = false, no_optimize = false;
};
int test(const TestArgs& args);

struct ProfileArgs : ArrayArgs {
  ModelArgs model;
  std::string trace;  // a file for a viewer
  int repeat = 10;
  int threads = 0;
  int64_t top = 20;  // rows of each table; 0: all
  bool json = false, no_optimize = false;
};
int profile(const ProfileArgs& args);

struct BuildArgs {
  ModelArgs model;
  std::string output, key;  // empty: the package itself; MOKA_CODE_KEY
  std::vector<std::string> targets;
  std::vector<int64_t> batches;
};
int build(const BuildArgs& args);

struct ConvertArgs {
  ModelArgs model;
  std::string output;
  int opset = 0;  // 0: an ONNX file's own, else the default
};
int convert(const ConvertArgs& args);

}  // namespace moka::command
