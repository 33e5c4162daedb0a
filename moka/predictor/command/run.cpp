// `moka run`: a model on arrays, batch by batch; results, accuracy and times.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/formats/json.h"
#include "moka/formats/npy/npy.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/graph/dictionary.h"
#include "moka/predictor/command/command.h"
#include "moka/predictor/predictor.h"
#include "moka/runtime/trace.h"

namespace moka::command {

namespace {

Tensor rows(const Tensor& t, int64_t first, int64_t count) {
  Dims sizes(t.sizes());
  sizes[0] = count;
  return strided_view(t, sizes, t.strides(), t.impl()->offset + first * t.stride(0));
}

// Rows of a batch, filled up with zeros to `count` where the model takes only whole batches.
Tensor padded_rows(const Tensor& t, int64_t first, int64_t have, int64_t count) {
  if (have == count) return as_contiguous(rows(t, first, have));
  Dims sizes(t.sizes());
  sizes[0] = count;
  Tensor out = new_tensor(sizes, t.dtype());
  std::memset(out.raw_data(), 0, out.bytes());
  copy_elements(rows(t, first, have), rows(out, 0, have));
  return out;
}

// How the rows of the inputs are cut.
struct Batches {
  int64_t total = 0;   // rows of every input; 0: they are not cut
  int64_t size = 0;    // rows of one run
  bool whole = false;  // the model fixes the size: the last batch is filled up
};

Batches plan_batches(const std::vector<Any>& values, const std::vector<Port>& ports, int64_t wanted) {
  Batches out;
  int64_t fixed_size = 0;
  bool same = !values.empty();
  std::vector<Tensor> inputs;
  for (const Any& v : values)
    if (v.is_tensor()) inputs.push_back(v.tensor());
  if (inputs.size() != values.size()) {
    if (wanted) throw UsageError{"--batch: only tensors can be cut into batches"};
    return out;
  }
  for (size_t i = 0; i < inputs.size(); i++) {
    same = same && inputs[i].dim() > 0 && (i == 0 || inputs[i].size(0) == inputs[0].size(0));
    const graph::Type& type = ports[i].type;
    if (type.has_dims && !type.dims.empty() && type.dims[0].fixed()) fixed_size = type.dims[0].size;
  }
  if (!same) {
    if (wanted) throw UsageError{"--batch: the inputs have different numbers of rows"};
    return out;
  }
  const int64_t total = inputs[0].size(0);
  if (fixed_size > 0 && wanted && wanted != fixed_size)
    throw UsageError{
        cat("--batch ", wanted, ": the model takes ", fixed_size, " rows at once, no other number")};
  out.whole = fixed_size > 0 && total > fixed_size;
  out.size = out.whole ? fixed_size : wanted;
  if (out.size == 0 || (out.size >= total && !out.whole)) return Batches{};
  out.total = total;
  return out;
}

// Runs all batches; outputs are joined along their first dimension.
std::vector<Any> run_batches(const Predictor& predictor, const std::vector<Any>& inputs,
                             const Batches& batches, const RunOptions& options, Progress& progress) {
  if (!batches.total) {
    std::vector<Any> outs = predictor.run_values(inputs, options);
    progress.advance(1);
    return outs;
  }
  std::vector<Tensor> joined;
  for (int64_t first = 0; first < batches.total; first += batches.size) {
    const int64_t have = std::min(batches.size, batches.total - first);
    std::vector<Tensor> part;
    for (const Any& v : inputs)
      part.push_back(padded_rows(v.tensor(), first, have, batches.whole ? batches.size : have));
    const std::vector<Tensor> outs = predictor.run(part, options);
    joined.resize(outs.size());
    for (size_t i = 0; i < outs.size(); i++) {
      const int64_t given = batches.whole ? batches.size : have;
      MOKA_CHECK(outs[i].dim() > 0 && outs[i].size(0) == given, "output ", predictor.outputs()[i].name,
                 " has shape ", outs[i].sizes(), " for a batch of ", given,
                 ": it cannot be joined over batches; run without --batch");
      if (!joined[i]) {
        Dims sizes(outs[i].sizes());
        sizes[0] = batches.total;
        joined[i] = new_tensor(sizes, outs[i].dtype());
      }
      Dims sizes(outs[i].sizes());
      sizes[0] = have;
      Dims room(joined[i].sizes());
      room[0] = have;
      MOKA_CHECK(sizes == room, "output ", predictor.outputs()[i].name,
                 " changes its shape between batches: ", sizes, " after ", room);
      copy_elements(rows(outs[i], 0, have), rows(joined[i], first, have));
    }
    progress.advance(have);
  }
  return {joined.begin(), joined.end()};
}

struct Accuracy {
  int64_t right = 0, total = 0;
};

// Share of rows whose largest value stands at the labelled place; the first output must be [rows, classes].
Accuracy measure_accuracy(const Tensor& output, const Tensor& labels) {
  MOKA_CHECK_KIND(Value,
                  output.dim() >= 2 && output.size(0) == labels.numel() &&
                      output.numel() == output.size(0) * output.size(1) && output.size(1) > 0 &&
                      (is_integral(labels.dtype())),
                  "--labels: integers, one for each row of the first output, were expected; the output is ",
                  info(output.dtype()).name, " ", output.sizes(), ", the labels are ",
                  info(labels.dtype()).name, " ", labels.sizes());
  const Tensor scores = to_dtype(as_contiguous(output), DType::F64);
  const int64_t classes = output.size(1);
  Accuracy out{0, labels.numel()};
  for (int64_t row = 0; row < out.total; row++) {
    const double* p = scores.data<double>() + row * classes;
    out.right += std::max_element(p, p + classes) - p == element_as_int(labels, row);
  }
  return out;
}

struct Summary {
  double least = 0, mean = 0, most = 0;
};
Summary summarize(const Any& value) {
  Summary out;
  if (!value.is_tensor()) return out;
  const Tensor& t = value.tensor();
  if (t.numel() == 0 || is_complex(t.dtype()) || t.dtype() == DType::String) return out;
  const Tensor values = to_dtype(as_contiguous(t), DType::F64);
  const double* p = values.data<double>();
  out.least = out.most = p[0];
  double sum = 0;
  for (int64_t i = 0; i < values.numel(); i++) {
    if (std::isnan(p[i])) return {p[i], p[i], p[i]};
    out.least = std::min(out.least, p[i]);
    out.most = std::max(out.most, p[i]);
    sum += p[i];
  }
  out.mean = sum / static_cast<double>(values.numel());
  return out;
}

// JSON has no NaN and no infinity.
std::string json_number(double value) { return std::isfinite(value) ? cat(value) : "null"; }

struct Times {
  double load = 0, first = 0, median = 0, least = 0;  // seconds
  int64_t rows = 0;                                   // in one pass
};

// "float32[2, 3]", or what else it is.
std::string kind_of(const Any& value) {
  if (value.is_tensor()) return cat(info(value.tensor().dtype()).name, value.tensor().sizes());
  if (value.tag() == Tag::Tensors) return cat("list of ", value.tensors().size(), " tensors");
  if (value.tag() == Tag::List) return cat("list of ", value.list().size());
  return value.is_none() ? "none" : graph::dictionary_of(value.arg()) ? "map" : tag_name(value.tag());
}

void print_json(const Predictor& predictor, const std::vector<Any>& outs, const Accuracy* accuracy,
                const Times& times, int repeat) {
  std::string out = "{\"outputs\":[";
  for (size_t i = 0; i < outs.size(); i++) {
    const Summary s = summarize(outs[i]);
    out += i ? ",{\"name\":" : "{\"name\":";
    append_json_string(out, predictor.outputs()[i].name);
    if (!outs[i].is_tensor()) {
      out += cat(",\"kind\":\"", kind_of(outs[i]), "\"}");
      continue;
    }
    out += cat(",\"dtype\":\"", info(outs[i].tensor().dtype()).name,
               "\",\"shape\":", outs[i].tensor().sizes(), ",\"min\":", json_number(s.least),
               ",\"mean\":", json_number(s.mean), ",\"max\":", json_number(s.most), "}");
  }
  out += "]";
  if (accuracy)
    out +=
        cat(",\"accuracy\":",
            static_cast<double>(accuracy->right) / static_cast<double>(std::max<int64_t>(1, accuracy->total)),
            ",\"right\":", accuracy->right, ",\"total\":", accuracy->total);
  out += cat(",\"rows\":", times.rows, ",\"load_seconds\":", times.load, ",\"first_seconds\":", times.first,
             ",\"repeat\":", repeat, ",\"median_seconds\":", times.median, ",\"least_seconds\":", times.least,
             ",\"threads\":", num_threads(), "}");
  std::printf("%s\n", out.c_str());
}

void print_text(const Predictor& predictor, const std::vector<Any>& outs, const Accuracy* accuracy,
                const Times& times, int repeat) {
  for (size_t i = 0; i < outs.size(); i++) {
    if (!outs[i].is_tensor() || outs[i].tensor().dtype() == DType::String) {
      std::printf("%s: %s\n", predictor.outputs()[i].name.c_str(), kind_of(outs[i]).c_str());
      continue;
    }
    const Summary s = summarize(outs[i]);
    std::printf("%s: %s, least %.6g, mean %.6g, greatest %.6g\n", predictor.outputs()[i].name.c_str(),
                kind_of(outs[i]).c_str(), s.least, s.mean, s.most);
  }
  if (accuracy)
    std::printf(
        "accuracy: %.4f (%s of %s)\n",
        static_cast<double>(accuracy->right) / static_cast<double>(std::max<int64_t>(1, accuracy->total)),
        with_commas(accuracy->right).c_str(), with_commas(accuracy->total).c_str());
  std::printf("load: %.3f s; first run: %.3f s", times.load, times.first);
  if (repeat > 1)
    std::printf("; %d runs: median %.3f ms, least %.3f ms", repeat, 1e3 * times.median, 1e3 * times.least);
  if (times.rows > 1)
    std::printf("; %s rows a second",
                with_commas(std::llround(static_cast<double>(times.rows) / times.median)).c_str());
  std::printf("; %d threads\n", num_threads());
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int run(const RunArgs& args) {
  if (args.threads) set_num_threads(args.threads);
  Times times;
  auto start = std::chrono::steady_clock::now();
  LoadOptions load_options;
  load_options.optimize = !args.no_optimize;
  load_options.code_key = args.code_key;
  const Predictor predictor(load(args.model), load_options);
  times.load = seconds_since(start);

  const std::vector<Port>& ports = predictor.inputs();
  const std::vector<std::string> places = assign_files(args.outputs, predictor.outputs(), "--output");
  const std::vector<Any> inputs = read_inputs(args, ports, "run");
  Tensor labels;
  if (!args.labels.empty()) labels = npy::read(args.labels);

  const Batches batches = plan_batches(inputs, ports, args.inputs.empty() ? 0 : args.batch);
  times.rows = batches.total ? batches.total : 1;
  if (!batches.total && !inputs.empty() && inputs[0].is_tensor() && inputs[0].tensor().dim() > 0)
    times.rows = inputs[0].tensor().size(0);
  runtime::Trace trace;
  RunOptions options;
  options.deadline_seconds = args.deadline;
  if (!args.profile.empty()) options.trace = &trace;
  std::vector<Any> outs;
  std::vector<double> laps;
  {
    Progress progress(cat("running ", args.model.path), (batches.total ? batches.total : 1) * args.repeat);
    for (int i = 0; i < args.repeat; i++) {
      start = std::chrono::steady_clock::now();
      outs = run_batches(predictor, inputs, batches, options, progress);
      laps.push_back(seconds_since(start));
    }
  }
  times.first = laps.front();
  std::sort(laps.begin(), laps.end());
  times.least = laps.front();
  times.median = laps[laps.size() / 2];

  if (options.trace) write_file(args.profile, trace.chrome_json());
  Accuracy accuracy;
  const bool judged = labels && !outs.empty();
  if (judged) accuracy = measure_accuracy(outs[0].tensor(), labels);
  for (size_t i = 0; i < outs.size(); i++) {
    if (places[i].empty()) continue;
    const Port& port = predictor.outputs()[i];
    if (places[i].ends_with(".pb")) write_file(places[i], onnx::write_value(outs[i], port.name, port.type));
    else if (outs[i].is_tensor()) npy::write(places[i], outs[i].tensor());
    else
      fail_kind(ErrorKind::NotImplemented, "output ", port.name, " is a ", kind_of(outs[i]),
                ", which .npy cannot hold; write it as ", port.name, "=FILE.pb");
  }
  (args.json ? print_json : print_text)(predictor, outs, judged ? &accuracy : nullptr, times, args.repeat);
  return 0;
}

}  // namespace moka::command
