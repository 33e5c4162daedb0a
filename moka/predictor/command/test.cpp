// `moka test`: models on the test data that lie beside them, compared with what they should give.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "moka/base/parallel.h"
#include "moka/formats/json.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/predictor/command/command.h"
#include "moka/tensor/strings.h"

namespace moka::command {

namespace {

namespace fs = std::filesystem;

struct Tolerance {
  double relative, absolute;
};

// Half of bfloat16's digits, for results that are rounded at every step.
constexpr double bfloat16_relative = 0x1p-6;

bool is_near(double found, double wanted, const Tolerance& t) {
  if (std::isnan(wanted) || std::isnan(found)) return std::isnan(wanted) && std::isnan(found);
  if (found == wanted) return true;
  return std::isfinite(wanted) && std::fabs(found - wanted) <= t.absolute + t.relative * std::fabs(wanted);
}

std::string kind_of(const Any& value) {
  if (value.is_tensor()) return cat(moka::info(value.tensor().dtype()).name, value.tensor().sizes());
  return value.is_none() ? "none" : cat("a ", tag_name(value.tag()));
}

// What is wrong with an output; empty: nothing.
std::string compared(const Tensor& found, const Tensor& wanted, Tolerance t) {
  if (found.dtype() != wanted.dtype() || Dims(found.sizes()) != Dims(wanted.sizes()))
    return cat(kind_of(Any(found)), " came, ", kind_of(Any(wanted)), " was expected");
  const int64_t count = wanted.numel();
  int64_t wrong = 0, first = -1;
  auto note = [&](bool good, int64_t i) {
    if (good) return;
    wrong++;
    if (first < 0) first = i;
  };
  std::string values;
  if (wanted.dtype() == DType::String) {
    for (int64_t i = 0; i < count; i++) note(texts_of(found)[i] == texts_of(wanted)[i], i);
    if (first >= 0) values = cat("'", texts_of(found)[first], "' for '", texts_of(wanted)[first], "'");
  } else if (is_floating(wanted.dtype())) {
    if (wanted.dtype() == DType::BF16) t.relative = std::max(t.relative, bfloat16_relative);
    const Tensor a = to_dtype(as_contiguous(found), DType::F64),
                 b = to_dtype(as_contiguous(wanted), DType::F64);
    for (int64_t i = 0; i < count; i++) note(is_near(a.data<double>()[i], b.data<double>()[i], t), i);
    if (first >= 0) values = cat(a.data<double>()[first], " for ", b.data<double>()[first]);
  } else if (is_complex(wanted.dtype())) {
    const Tensor a = to_dtype(as_contiguous(found), DType::C128),
                 b = to_dtype(as_contiguous(wanted), DType::C128);
    const auto *x = static_cast<const double*>(a.raw_data()), *y = static_cast<const double*>(b.raw_data());
    for (int64_t i = 0; i < count; i++)
      note(is_near(x[2 * i], y[2 * i], t) && is_near(x[2 * i + 1], y[2 * i + 1], t), i);
  } else {
    const Tensor a = as_contiguous(found), b = as_contiguous(wanted);
    for (int64_t i = 0; i < count; i++) note(element_as_int(a, i) == element_as_int(b, i), i);
    if (first >= 0) values = cat(element_as_int(a, first), " for ", element_as_int(b, first));
  }
  if (!wrong) return {};
  return cat(wrong, " of ", count, " elements are wrong", values.empty() ? "" : cat(", the first ", values));
}
std::string compared(const Any& found, const Any& wanted, const Tolerance& t) {
  if (found.is_tensor() && wanted.is_tensor()) return compared(found.tensor(), wanted.tensor(), t);
  if (found.is_none() && wanted.is_none()) return {};
  auto elements = [](const Any& v) {
    if (v.tag() == Tag::Tensors) return std::vector<Any>(v.tensors().begin(), v.tensors().end());
    return v.tag() == Tag::List ? std::vector<Any>(v.list().begin(), v.list().end()) : std::vector<Any>();
  };
  auto is_list = [](const Any& v) { return v.tag() == Tag::Tensors || v.tag() == Tag::List; };
  if (!is_list(found) || !is_list(wanted))
    return cat(kind_of(found), " came, ", kind_of(wanted), " was expected");
  const std::vector<Any> a = elements(found), b = elements(wanted);
  if (a.size() != b.size()) return cat("a list of ", a.size(), " came, one of ", b.size(), " was expected");
  for (size_t i = 0; i < a.size(); i++)
    if (const std::string wrong = compared(a[i], b[i], t); !wrong.empty())
      return cat("element ", i, ": ", wrong);
  return {};
}

// The model in a folder: model.onnx, or the only .onnx file; empty: there is none.
std::string model_in(const fs::path& folder) {
  if (fs::is_regular_file(folder / "model.onnx")) return (folder / "model.onnx").string();
  std::string only;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".onnx" || !entry.is_regular_file()) continue;
    if (!only.empty()) return {};
    only = entry.path().string();
  }
  return only;
}

// Folders with a model and its data, in order of their names.
void find_cases(const fs::path& folder, std::vector<fs::path>& out) {
  if (!model_in(folder).empty()) {
    out.push_back(folder);
    return;
  }
  std::vector<fs::path> inside;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && !entry.is_symlink()) inside.push_back(entry.path());
  std::sort(inside.begin(), inside.end());
  for (const fs::path& path : inside) find_cases(path, out);
}

// input_0.pb, input_1.pb, ... of a data set; what is not there is None.
std::vector<Any> read_values(const fs::path& data, const char* kind, const std::vector<Port>& ports) {
  std::vector<Any> out(ports.size());
  for (size_t i = 0; i < ports.size(); i++) {
    const std::string path = (data / cat(kind, "_", i, ".pb")).string();
    if (fs::exists(path)) out[i] = onnx::read_value(Bytes::of_file(path), path, ports[i].type);
  }
  return out;
}

// What is wrong with one case; empty: nothing.
std::string run_case(const fs::path& folder, const TestArgs& args) {
  LoadOptions load_options;
  load_options.optimize = !args.no_optimize;
  const Predictor predictor = Predictor::load(model_in(folder), load_options);
  RunOptions options;
  options.deadline_seconds = args.deadline;
  int sets = 0;
  for (;; sets++) {
    const fs::path data = folder / cat("test_data_set_", sets);
    if (!fs::is_directory(data)) break;
    const std::vector<Any> found =
        predictor.run_values(read_values(data, "input", predictor.inputs()), options);
    const std::vector<Any> wanted = read_values(data, "output", predictor.outputs());
    for (size_t i = 0; i < found.size(); i++)
      if (const std::string wrong = compared(found[i], wanted[i], {args.rtol, args.atol}); !wrong.empty())
        return cat("output ", predictor.outputs()[i].name, sets ? cat(" of data set ", sets) : "", ": ",
                   wrong);
  }
  return sets ? "" : "there is no folder test_data_set_0 beside the model";
}

}  // namespace

int test(const TestArgs& args) {
  if (args.threads) set_num_threads(args.threads);
  std::vector<fs::path> cases;
  for (const std::string& folder : args.folders) {
    if (!fs::is_directory(folder)) throw UsageError{cat("test: ", folder, " is no folder")};
    try {
      find_cases(folder, cases);
    } catch (const fs::filesystem_error& e) {
      fail_kind(ErrorKind::File, e.path1().string(), ": cannot be read: ", e.code().message());
    }
  }
  if (cases.empty())
    throw UsageError{"test: there is no folder with model.onnx and test_data_set_0 in what was named"};
  std::map<std::string, std::string> wrong;
  {
    Progress progress("testing", static_cast<int64_t>(cases.size()));
    for (const fs::path& folder : cases) {
      std::string text;
      try {
        text = run_case(folder, args);
      } catch (const std::exception& e) {
        text = e.what();
      }
      std::replace(text.begin(), text.end(), '\n', ' ');
      if (!text.empty()) wrong.emplace(folder.string(), text);
      progress.advance(1);
    }
  }
  const size_t passed = cases.size() - wrong.size();
  if (args.json) {
    std::string out = cat("{\"passed\":", passed, ",\"total\":", cases.size(), ",\"failed\":{");
    bool first = true;
    for (const auto& [name, text] : wrong) {
      if (!std::exchange(first, false)) out += ",";
      append_json_string(out, name);
      out += ":";
      append_json_string(out, text);
    }
    std::printf("%s}}\n", out.c_str());
  } else {
    for (const auto& [name, text] : wrong) std::printf("%s: %s\n", name.c_str(), text.c_str());
    std::printf("%zu of %zu passed\n", passed, cases.size());
  }
  return wrong.empty() ? 0 : 1;
}

}  // namespace moka::command
