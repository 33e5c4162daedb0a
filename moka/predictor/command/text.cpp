// Formatting of numbers, the progress bar, and loading with a look for Caffe2's second file.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "moka/base/error.h"
#include "moka/predictor/command/command.h"

namespace moka::command {

std::string fixed(double value, int decimals) {
  char room[64];
  const int n = std::snprintf(room, sizeof room, "%.*f", decimals, value);
  return std::string(room, n > 0 ? static_cast<size_t>(n) : 0);
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1024 && unit < 4; unit++) value /= 1024;
  return cat(fixed(value, unit ? 1 : 0), " ", units[unit]);
}

std::string human_count(double count) {
  constexpr const char* units[] = {"", " k", " M", " G", " T", " P"};
  int unit = 0;
  for (; count >= 1000 && unit < 5; unit++) count /= 1000;
  return cat(fixed(count, unit ? 2 : 0), units[unit]);
}

std::string with_commas(int64_t value) {
  std::string out = std::to_string(value);
  const size_t sign = value < 0;
  for (size_t at = out.size(); at > sign + 3;) {
    at -= 3;
    out.insert(at, ",");
  }
  return out;
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)),
      total_(total),
      shown_(::isatty(2) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);  // the line is free again for whatever comes
}

void Progress::advance(int64_t count) {
  done_ += count;
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || (now - last_ < std::chrono::milliseconds(50) && done_ < total_)) return;
  last_ = now;
  draw();
}

void Progress::draw() {
  constexpr int width = 30;
  const double part = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1;
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  const int full = static_cast<int>(std::lround(part * width));
  const double left = part > 0 ? seconds / part - seconds : 0;
  std::fprintf(stderr, "\r\x1b[K%s |%s%s| %3.0f%%  %s/%s  %.1f s, %.1f s left", label_.c_str(),
               std::string(static_cast<size_t>(full), '#').c_str(),
               std::string(static_cast<size_t>(width - full), ' ').c_str(), 100 * part,
               with_commas(done_).c_str(), with_commas(total_).c_str(), seconds, left);
}

std::string init_net_of(const std::string& predict_path) {
  const size_t folder = predict_path.rfind('/') + 1;
  std::string init = predict_path;
  if (const size_t at = init.find("predict", folder); at != init.npos) init.replace(at, 7, "init");
  else init.replace(folder, init.npos, "init_net.pb");
  return init;
}

Model load(const ModelArgs& args) {
  if (!args.init_path.empty()) return load_netdef(args.init_path, args.path);
  const Bytes bytes = Bytes::of_file(args.path);
  if (model_format(bytes.text().substr(0, 64), args.path) != ModelFormat::NetDef)
    return load_model(args.path);
  const std::string init = init_net_of(args.path);
  if (init == args.path || ::access(init.c_str(), R_OK) != 0)
    throw UsageError{cat(args.path, " is a NetDef; its init net was looked for at ", init,
                         " and is not there: name it with --init FILE")};
  std::fprintf(stderr, "moka: weights from %s\n", init.c_str());
  return load_netdef(init, args.path);
}

}  // namespace moka::command
