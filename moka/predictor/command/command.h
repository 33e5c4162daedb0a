// What the subcommands of `moka` share: exit codes, formatting, the progress bar.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moka/predictor/model.h"

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
};
int info(const InfoArgs& args);

struct RunArgs {
  ModelArgs model;
  std::vector<std::string> inputs, outputs;  // "file.npy" in the model's order, or "name=file.npy"
  std::string labels, profile;
  int64_t batch = 0;  // 0: whole inputs, or the size that the model fixes
  int repeat = 1;
  int threads = 0;  // 0: as many as the process may use
  double deadline = 0;
  bool random = false, json = false, no_optimize = false;
};
int run(const RunArgs& args);

struct ConvertArgs {
  ModelArgs model;
  std::string output;
  int opset = 18;
};
int convert(const ConvertArgs& args);

}  // namespace moka::command
